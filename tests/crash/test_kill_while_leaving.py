"""SIGKILL in the middle of handing a session over to a background host, for the old process and for the new one."""

from __future__ import annotations

import asyncio
import signal
from pathlib import Path

import pytest

from codeswarm.process import gone
from codeswarm.sandbox.bubblewrap import probe
from tests.support.held_agent import held_place, let_go, words
from tests.support.processes import left_behind
from tests.support.runs import Place
from tests.support.small_swarm import ticket

KIND = "bubblewrap" if probe().works else "none"
TRIES = 3


async def until_done(place: Place) -> None:
    """Watch whoever hosts it, or resume it where nobody does, until it is landed."""
    for _ in range(TRIES):
        if (await asyncio.to_thread(place.run, "watch")).code == 0:
            return
        if (await asyncio.to_thread(place.run, "resume")).code == 0:
            return
    raise AssertionError(place.run("status").out)


@pytest.mark.parametrize("point", ["leaving.ready", "leaving.left", "background.ready", "background.hosting"])
async def test_a_kill_in_the_middle_of_leaving_loses_nothing(tmp_path: Path, point: str) -> None:
    place = held_place(tmp_path)
    token = tmp_path / "token"
    token.touch()
    typed = words(place, [ticket("a", pipeline="single")], KIND)
    run = await place.start(*typed, "--workers", "1", env={"CODESWARM_FAILPOINT": f"{point}@{token}"})
    await run.until("SnapshotTaken", ticket="a")
    run.process.send_signal(signal.SIGHUP)
    await gone(run.process.pid)
    assert not token.exists(), f"{point} was never reached"
    let_go(place, "a")
    await until_done(place)
    events = place.run("--json", "timeline").lines()
    kinds = [event["kind"] for event in events]
    assert kinds.count("TicketLanded") == 1
    assert not {"AttemptFailed", "AttemptTimedOut", "SlotRestarted"} & set(kinds)
    if point != "background.ready":  # then nothing was handed over: it was stopped, as nobody could be asked
        assert not {"AttemptLost", "AttemptCancelled"} & set(kinds)
        assert kinds.count("AttemptLeased") == 1, "its agent did not notice"
    assert place.run("ledger", "verify").code == 0
    assert left_behind(place.root) == []
