"""Who holds a folder keeps others from clearing it up, for as long as he lives."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any, cast

from codeswarm.clock import SystemClock
from codeswarm.environment import Environment
from codeswarm.redaction import Secrets
from codeswarm.sandbox.none import NoSandbox
from codeswarm.worker.locks import taken
from codeswarm.worker.places import Place, Places
from codeswarm.worker.salvage import salvage
from codeswarm.worker.tools import Tools
from codeswarm.worker.workspace import WorkspaceMaker

HOLD = """
import sys
from pathlib import Path
from codeswarm.worker.locks import taken
with taken(Path(sys.argv[1])) as ours:
    print(ours, flush=True)
    sys.stdin.read()
"""


def place_of(root: Path) -> Place:
    place = Places(root).attempt("s", "t", 1)
    place.create()
    return place


def tools(root: Path) -> Tools:
    nothing = cast(Any, None)
    places, sandbox = Places(root), NoSandbox()
    maker = WorkspaceMaker(places, sandbox, Environment({"PATH": "/usr/bin:/bin", "HOME": str(root)}), SystemClock())
    return Tools(nothing, SystemClock(), places, sandbox, maker, nothing, nothing, Secrets(), Secrets)


def test_one_holds_a_lock_and_it_is_free_when_he_is_done(tmp_path: Path) -> None:
    held = place_of(tmp_path).held
    with taken(held) as first, taken(held) as second:
        assert (first, second) == (True, False)
    with taken(held) as third:
        assert third


def test_a_lock_is_free_when_its_holder_dies(tmp_path: Path) -> None:
    held = place_of(tmp_path).held
    argv = [sys.executable, "-c", HOLD, str(held)]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "True\n"
        with taken(held) as ours:
            assert not ours
        holder.kill()
    with taken(held) as ours:
        assert ours


def test_a_lock_whose_folder_was_removed_meanwhile_is_nobodys(tmp_path: Path) -> None:
    place = place_of(tmp_path)
    with taken(place.held) as ours:
        assert ours
        WorkspaceMaker.remove(place)
    with taken(place.held) as ours:
        assert ours
    assert not place.root.exists()


async def test_a_folder_that_somebody_is_still_at_work_in_is_left_to_him(tmp_path: Path) -> None:
    place = place_of(tmp_path)
    with taken(place.held):
        assert not await salvage(tools(tmp_path), place)
        assert place.root.is_dir()
    assert not await salvage(tools(tmp_path), place)
    assert not place.root.exists(), "no agent had begun in it, and nobody is at work: it is removed"
