"""SIGKILL from outside for an agent in mid-work, and for a gate in mid-run: nobody is blamed, and the phase goes on."""

from __future__ import annotations

import asyncio
import os
import signal
from pathlib import Path
from typing import Any

import pytest

from codeswarm.process import gone
from codeswarm.sandbox.bubblewrap import probe
from tests.support.held_agent import begin, held_place, let_go
from tests.support.processes import left_behind, with_environment
from tests.support.runs import Place, Started

KIND = "bubblewrap" if probe().works else "none"

GATE = '''\
"""Runs the tests. For a ticket it first says that it has begun, and waits, unless it is let go already."""

import os, pathlib, subprocess, sys, time

held, begun = pathlib.Path(sys.argv[1], "gate"), pathlib.Path(sys.argv[1], "begun")
if os.environ["CODESWARM_TICKET"] and not held.exists():
    with begun.open("w") as fifo:
        fifo.write("begun")
    time.sleep(600)
sys.exit(subprocess.run([sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider"]).returncode)
'''


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return held_place(tmp_path)


async def kill(place: Place, word: bytes) -> None:
    """SIGKILL for what runs for ticket `a` of this place with a word in its command line; not for its walls."""
    marked = with_environment("CODESWARM_TICKET=a", word, os.fsencode(place.root / "let-go"))
    pids = [pid for pid in marked if Path(f"/proc/{pid}/comm").read_text().startswith("python")]
    assert len(pids) == 1, marked
    os.kill(pids[0], signal.SIGKILL)
    await gone(pids[0])


def of_kind(run: Started, kind: str) -> list[dict[str, Any]]:
    return [event["data"] for event in run.events if event["kind"] == kind]


def assert_done(place: Place, run: Started, attempts: int) -> None:
    """Landed once, nobody charged, and as many attempts as there should be."""
    assert len(of_kind(run, "TicketLanded")) == 1
    assert len(of_kind(run, "AttemptLeased")) == attempts
    row = place.run("--json", "status").json["tickets"][0]
    assert (row["status"], row["failures"]) == ("complete", 0)
    assert place.run("ledger", "verify").code == 0
    assert left_behind(place.root) == []


async def test_an_agent_that_is_killed_is_not_charged_and_its_phase_goes_on(place: Place) -> None:
    run = await begin(place, KIND, "a")
    await kill(place, b"agent.py")
    let_go(place, "a")
    assert await run.end() == 0, run.error
    ends = [(end["failure"]["failure_class"], end["charged"]) for end in of_kind(run, "AttemptFailed")]
    assert ends == [("lost", False)]
    first = of_kind(run, "SnapshotTaken")[0]["commit"]
    store = place.data / "store.git"
    assert place.git("--git-dir", str(store), "show", f"{first}:mod_a.py") == "half = True"
    assert_done(place, run, attempts=2)


async def test_a_gate_that_is_killed_is_run_again_and_is_not_red(place: Place) -> None:
    fifo = place.root / "let-go" / "begun"
    os.mkfifo(fifo)
    place.write({"gate.py": GATE, "codeswarm.toml": f'[gates]\nfast = "python gate.py {fifo.parent}"\n'})
    place.git("add", "--all")
    place.git("commit", "--quiet", "--message", "A gate of its own")
    let_go(place, "a")
    run = await begin(place, KIND, "a")
    assert await asyncio.to_thread(fifo.read_text) == "begun"
    let_go(place, "gate")
    await kill(place, b"gate.py")
    assert await run.end() == 0, run.error
    assert of_kind(run, "AttemptFailed") == []
    assert [report["outcome"] for report in of_kind(run, "AttemptSucceeded")[0]["report"]["gate_runs"]] == ["green"]
    assert_done(place, run, attempts=1)
