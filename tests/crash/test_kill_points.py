"""SIGKILL at every named point of router and workers: nothing acknowledged is lost, nothing lands twice, and no phase
that was finished is run again.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from codeswarm.failpoints import POINTS
from codeswarm.sandbox.bubblewrap import probe
from tests.support.processes import left_behind
from tests.support.runs import Finished, Place
from tests.support.small_swarm import agent_of, small_place, ticket

PROBE = probe()
TRIES = 4


def timeline(place: Place) -> list[dict[str, Any]]:
    return place.run("--json", "timeline").lines()


def run_until_done(place: Place, point: str) -> list[int]:
    """Run with a failpoint, then resume until the session is over; the exit codes."""
    token = place.root / "token"
    token.touch()
    tickets = place.tickets([ticket("a", labels=["slow"]), ticket("b", "a", pipeline="single")])
    words = ["run", "--tickets", str(tickets), "--agent", agent_of(place), "--workers", "2", "--save"]
    first = place.run("--json", *words, env={"CODESWARM_FAILPOINT": f"{point}@{token}"})
    assert not token.exists(), f"{point} was never reached"
    codes = [first.code]
    for _ in range(TRIES):
        if codes[-1] == 0:
            break
        again = ["resume"] if session_exists(place) else words
        codes.append(place.run("--json", *again).code)
    return codes


def session_exists(place: Place) -> bool:
    return bool(place.run("--json", "session", "list").json)


@pytest.mark.skipif(not PROBE.works, reason=f"{PROBE.why}: {PROBE.fix}")
@pytest.mark.parametrize("point", sorted(p for p in POINTS if not p.startswith(("leaving.", "background."))))
def test_a_kill_at_this_point_loses_nothing(tmp_path: Path, point: str) -> None:
    place = small_place(tmp_path)
    codes = run_until_done(place, point)
    events = timeline(place)
    kinds = Counter(event["kind"] for event in events)
    assert codes[-1] == 0, (codes, [e["kind"] for e in events][-12:])
    assert codes[0] == (0 if point.startswith("worker.") else -9)
    assert Counter(e["data"]["ticket"] for e in events if e["kind"] == "TicketLanded") == {"a": 1, "b": 1}
    assert kinds["CheckpointSaved"] == 1
    assert finished_phases(events) == {
        ("a", "contract"): 1,
        ("a", "implementation"): 1,
        ("a", "review"): 1,
        ("b", "implementation"): 1,
    }
    assert kinds["AttemptFailed"] == 0, "a kill is nobody's fault and is charged to nobody"
    assert_whole(place)


def finished_phases(events: list[dict[str, Any]]) -> Counter[tuple[str, str]]:
    """How often each phase was finished: once, whatever was killed."""
    phase = {
        (e["data"]["ticket"], e["data"]["epoch"]): e["data"]["phase"] for e in events if e["kind"] == "AttemptLeased"
    }
    done = [(e["data"]["ticket"], e["data"]["epoch"]) for e in events if e["kind"] == "AttemptSucceeded"]
    return Counter((id_, phase[id_, epoch]) for id_, epoch in done)


def assert_whole(place: Place) -> None:
    """Saved, tested, verified, and nothing left lying about."""
    assert place.git("status", "--porcelain") == ""
    assert sorted(p.name for p in place.repository.glob("mod_*.py")) == ["mod_a.py", "mod_b.py"]
    verified: Finished = place.run("--json", "ledger", "verify")
    assert verified.code == 0, verified.out
    assert left_behind(place.root) == []
    attempts = list((place.root / "cache").glob("codeswarm/*/attempts/*"))
    assert attempts == []
