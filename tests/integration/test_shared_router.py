"""Two `codeswarm run` on the same data: one is the router, the other joins, and neither is left alone by the other."""

from __future__ import annotations

import asyncio
import os
import signal
from pathlib import Path

import pytest

from codeswarm.process import gone
from codeswarm.sandbox.bubblewrap import probe
from tests.support.held_agent import begin, held_place, let_go, words
from tests.support.processes import left_behind
from tests.support.runs import Place, Started
from tests.support.small_swarm import ticket

KIND = "bubblewrap" if probe().works else "none"


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return held_place(tmp_path)


def kinds(run: Started) -> list[str]:
    return [event["kind"] for event in run.events]


async def test_the_host_stays_until_what_joined_it_rests_too(place: Place) -> None:
    first = await begin(place, KIND, "a")
    second = await begin(place, KIND, "b")
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
    first = await begin(place, KIND, "a")
    second = await begin(place, KIND, "b")
    os.kill(first.process.pid, signal.SIGKILL)
    await gone(first.process.pid)
    await second.until_told("going on without it")
    let_go(place, "a", "b")
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
    first = await begin(place, KIND, "a")
    second = await begin(place, KIND, "b")
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
    let_go(place, "a", "b")
    typed = [words(place, [ticket(id_, pipeline="single")], KIND, f"{id_}.yaml") for id_ in ("a", "b")]
    runs = [await place.start(*one) for one in typed]
    codes = await asyncio.gather(*(run.end() for run in runs))
    assert codes == [0, 0], [run.error for run in runs]
    assert sum(any("joined the router" in line for line in run.told) for run in runs) == 1
    assert left_behind(place.root) == []
