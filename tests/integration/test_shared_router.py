"""Two `codeswarm run` on the same data: one is the router, the other joins, and neither is left alone by the other."""

from __future__ import annotations

import asyncio
import os
import signal
from pathlib import Path

import pytest

from codeswarm.process import gone
from codeswarm.sandbox.bubblewrap import probe
from tests.support.processes import left_behind
from tests.support.runs import Place, Started
from tests.support.small_swarm import agent_of, small_place, ticket

KIND = "bubblewrap" if probe().works else "none"

HELD_AGENT = '''\
"""Writes its file, and ends once a file with the name of its ticket lies in the folder that it is told."""

import json, os, pathlib, sys, time

name = os.environ["CODESWARM_TICKET"]
pathlib.Path(f"mod_{name}.py").write_text("half = True\\n")
print(json.dumps({"type": "turn", "text": "begun"}), flush=True)
while not pathlib.Path(sys.argv[1], name).exists():
    time.sleep(0.02)
pathlib.Path(f"mod_{name}.py").write_text("half = False\\n")
'''


@pytest.fixture
def place(tmp_path: Path) -> Place:
    place = small_place(tmp_path)
    (tmp_path / "agent" / "agent.py").write_text(HELD_AGENT)
    (tmp_path / "let-go").mkdir()
    place.environment["CODESWARM_SANDBOX_READ"] = f'["{tmp_path / "let-go"}"]'
    return place


def let_go(place: Place, ticket_id: str) -> None:
    (place.root / "let-go" / ticket_id).touch()


async def begin(place: Place, ticket_id: str) -> Started:
    """A run of one ticket, whose agent is at work and has been snapshotted once."""
    path = place.tickets([ticket(ticket_id, pipeline="single")], f"{ticket_id}.yaml")
    agent = f"{agent_of(place)} {place.root / 'let-go'}"
    run = await place.start("run", "--tickets", str(path), "--agent", agent, "--sandbox", KIND, "--workers", "2")
    await run.until("SnapshotTaken", ticket=ticket_id)
    return run


def kinds(run: Started) -> list[str]:
    return [event["kind"] for event in run.events]


async def test_the_host_stays_until_what_joined_it_rests_too(place: Place) -> None:
    first = await begin(place, "a")
    second = await begin(place, "b")
    let_go(place, "a")
    await first.until("TicketLanded", ticket="a")
    await first.until_told("this process hosts until that rests too")
    let_go(place, "b")
    assert await second.end() == 0, second.error
    assert await first.end() == 0, first.error
    assert "AttemptLost" not in kinds(second), "the second run's agent was not cut off"
    assert kinds(second).count("TicketLanded") == kinds(first).count("TicketLanded") == 1
    assert left_behind(place.root) == []


async def test_who_joined_a_host_that_is_killed_becomes_the_router(place: Place) -> None:
    first = await begin(place, "a")
    second = await begin(place, "b")
    os.kill(first.process.pid, signal.SIGKILL)
    await gone(first.process.pid)
    await second.until_told("going on without it")
    let_go(place, "a")
    let_go(place, "b")
    assert await second.end() == 0, second.error
    done = place.run("--json", "resume", first.events[0]["session"])
    assert done.code == 0, done.err
    whole = place.run("--json", "session", "list").json
    assert [(row["status"], row["landed"]) for row in whole] == [("awaiting_review", 1)] * 2
    for session in whole:
        events = place.run("--json", "timeline", session["id"]).lines()
        assert [e["kind"] for e in events].count("TicketLanded") == 1
        assert not {"AttemptFailed", "AttemptTimedOut"} & {e["kind"] for e in events}
    assert place.run("ledger", "verify").code == 0
    assert left_behind(place.root) == []


async def test_ctrl_c_hands_over_what_a_host_stays_for(place: Place) -> None:
    first = await begin(place, "a")
    second = await begin(place, "b")
    let_go(place, "a")
    await first.until_told("this process hosts until that rests too")
    first.process.send_signal(signal.SIGINT)
    assert await first.end() == 0, "its own session was done before"
    await second.until_told("going on without it")
    let_go(place, "b")
    assert await second.end() == 0, second.error
    assert not {"AttemptFailed", "AttemptTimedOut"} & set(kinds(second))
    assert left_behind(place.root) == []


async def test_two_runs_at_the_same_moment_are_one_router_and_one_guest(place: Place) -> None:
    let_go(place, "a")
    let_go(place, "b")
    runs = []
    for name in ("a", "b"):
        path = place.tickets([ticket(name, pipeline="single")], f"{name}.yaml")
        agent = f"{agent_of(place)} {place.root / 'let-go'}"
        runs.append(await place.start("run", "--tickets", str(path), "--agent", agent, "--sandbox", KIND))
    codes = await asyncio.gather(*(run.end() for run in runs))
    assert codes == [0, 0], [run.error for run in runs]
    assert sum(any("joined the router" in line for line in run.told) for run in runs) == 1
    assert left_behind(place.root) == []
