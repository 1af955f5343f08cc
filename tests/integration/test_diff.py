from __future__ import annotations

import subprocess
from pathlib import Path

from codeswarm.sandbox.bubblewrap import probe
from tests.support.runs import CODESWARM
from tests.support.small_swarm import small_place, ticket

AGENT = r"""
import pathlib
pathlib.Path("odd.txt").write_bytes(b"a\tb  \r\n\xff\x1b[2J\n")
lib = pathlib.Path("lib.py")
lib.write_text(lib.read_text() + "\n\nX = 1\t\n")
"""


def test_a_diff_that_goes_to_a_file_can_be_applied_byte_for_byte(tmp_path: Path) -> None:
    place = small_place(tmp_path)
    (tmp_path / "odd.py").write_text(AGENT)
    words = ["--tickets", str(place.tickets([ticket("a", pipeline="single")])), "--agent"]
    words += [f"command:python {tmp_path / 'odd.py'}", "--sandbox", "bubblewrap" if probe().works else "none"]
    done = place.run("run", *words)
    assert done.code == 0, done.err
    told = subprocess.run(
        [*CODESWARM, "diff", "a"], cwd=place.repository, env=place.env(), capture_output=True, check=True
    )
    (tmp_path / "a.patch").write_bytes(told.stdout)
    place.git("apply", str(tmp_path / "a.patch"))
    assert (place.repository / "odd.txt").read_bytes() == b"a\tb  \r\n\xff\x1b[2J\n"
    assert (place.repository / "lib.py").read_bytes().endswith(b"X = 1\t\n")
