"""`--until`: at that time nothing new begins, agents end their phase, and the session can be resumed."""

from __future__ import annotations

import asyncio
import os
import signal
from pathlib import Path

import pytest

from codeswarm.process import gone
from codeswarm.sandbox.bubblewrap import probe
from tests.support.held_agent import begin, held_place, let_go
from tests.support.processes import left_behind
from tests.support.runs import Finished, Place

KIND = "bubblewrap" if probe().works else "none"
FAR = ("--workers", "1", "--until", "8h")


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return held_place(tmp_path)


async def ask(place: Place, *words: str) -> Finished:
    """A command from a second terminal."""
    return await asyncio.to_thread(place.run, *words)


async def test_at_its_time_a_session_stops_as_if_it_had_been_told_to_and_can_be_resumed(place: Place) -> None:
    run = await begin(place, KIND, "a", "b", more=FAR)
    assert any("until " in line and "left" in line for line in run.told)
    joined = await place.start("resume", "--until", "1s")
    stopped = await run.until("SessionSuspended")
    assert stopped["data"]["reason"] == "stopped"
    assert stopped["data"]["detail"].startswith("until ") and stopped["data"]["detail"].endswith(" is over")
    let_go(place, "a", "b")
    assert [await run.end(), await joined.end()] == [4, 4]
    kinds = [event["kind"] for event in run.events]
    assert kinds.count("AttemptLeased") == kinds.count("AttemptSucceeded") == 1, "the agent at work ended its phase"
    assert "until_ms" in (await ask(place, "--json", "status")).json["session"]
    done = await ask(place, "resume")
    assert done.code == 0, done.err
    assert (await ask(place, "--json", "status")).json["session"]["until_ms"] is None
    assert left_behind(place.root) == []


async def test_after_a_crash_the_time_still_holds(place: Place) -> None:
    run = await begin(place, KIND, "a", more=FAR)
    before = (await ask(place, "--json", "status")).json["session"]["until_ms"]
    assert "h" in (await ask(place, "status")).out.partition("until ")[2]
    os.kill(run.process.pid, signal.SIGKILL)
    await gone(run.process.pid)
    again = await place.start("resume")
    let_go(place, "a")
    assert await again.end() == 0, again.error
    assert (await ask(place, "--json", "status")).json["session"]["until_ms"] == before is not None
    assert left_behind(place.root) == []


@pytest.mark.parametrize("typed", ["25:00", "soon", "2020-01-01T00:00"])
def test_a_time_that_makes_no_sense_is_refused_before_anything_is_begun(place: Place, typed: str) -> None:
    tickets = place.tickets([{"id": "a", "title": "A"}])
    done = place.run("run", "--tickets", str(tickets), "--until", typed)
    assert done.code == 2
    assert [line.partition(":")[0] for line in done.err.splitlines()] == ["error", "why", "do"]
    assert typed in done.err
    assert not (place.data / "ledger.sqlite3").exists()
