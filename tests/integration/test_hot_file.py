"""Eight tickets that all append to one file, by an agent that knows nothing of merges, on four workers."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from codeswarm.sandbox.bubblewrap import probe
from tests.support.runs import Place
from tests.support.small_swarm import LIBRARY, QUICK, ticket

AGENT = """\
import os, pathlib
name = os.environ["CODESWARM_TICKET"]
with pathlib.Path("lib.py").open("a") as file:
    file.write(f"\\n\\ndef {name}():\\n    return {name!r}\\n")
test = f"import lib\\n\\n\\ndef test_it():\\n    assert lib.{name}() == {name!r}\\n"
pathlib.Path(f"tests/test_{name}.py").write_text(test)
"""


def test_a_file_that_everyone_appends_to_holds_nobody_back_for_ever(tmp_path: Path) -> None:
    place = Place(tmp_path, dict(QUICK))
    place.begin(LIBRARY)
    (tmp_path / "agent.py").write_text(AGENT)
    names = [f"t{number}" for number in range(8)]
    tickets = place.tickets([ticket(name, pipeline="single") for name in names])
    words = [
        "--tickets",
        str(tickets),
        "--agent",
        f"command:python {tmp_path / 'agent.py'}",
        "--workers",
        "4",
        "--save",
    ]
    done = place.run("--json", "run", *words, "--sandbox", "bubblewrap" if probe().works else "none")
    assert done.code == 0, done.err
    kinds = Counter(event["kind"] for event in done.lines())
    assert kinds["LandingBounced"] > 0, "they met"
    text = (place.repository / "lib.py").read_text()
    assert sorted(name for name in names if f"def {name}():" in text) == names
    assert "<<<<<<<" not in text
    assert max(Counter(e["data"]["ticket"] for e in done.lines() if e["kind"] == "LandingBounced").values()) <= 2
