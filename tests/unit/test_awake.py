"""Sleeps and stops of the machine and of processes, on virtual time: nothing here sleeps."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

import pytest

from codeswarm.awake import LEAST_S, SLACK_S, TICK_S, Absence, AwakeClock, spoken
from codeswarm.testing.clock import VirtualClock, settle

NIGHT_S = 3 * 3600 + 12 * 60


class Watched:
    def __init__(self) -> None:
        self.machine = VirtualClock()
        self.clock = AwakeClock(self.machine)
        self.told: list[Absence] = []
        self.clock.observe(self.told.append)
        self.keeping = asyncio.create_task(self.clock.keep())


@pytest.fixture
async def watched() -> AsyncIterator[Watched]:
    made = Watched()
    await settle()
    yield made
    made.keeping.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await made.keeping


async def test_awake_time_is_the_monotonic_one_as_long_as_nothing_happens(watched: Watched) -> None:
    await watched.machine.advance(100)
    assert watched.clock.monotonic() == pytest.approx(100)
    assert watched.told == []


async def test_a_sleep_of_the_machine_is_told_once_and_does_not_count(watched: Watched) -> None:
    await watched.machine.advance(10)
    watched.machine.suspend(NIGHT_S)
    await watched.machine.advance(TICK_S)
    assert [str(absence) for absence in watched.told] == ["the machine slept for 3 h 12 min"]
    assert watched.clock.monotonic() == pytest.approx(10 + TICK_S)
    await watched.machine.advance(60)
    assert len(watched.told) == 1


async def test_a_stop_of_the_process_does_not_count_either_whoever_looks_first(watched: Watched) -> None:
    await watched.machine.advance(10.5)
    watched.machine.stop(600)
    assert watched.clock.monotonic() == pytest.approx(10 + TICK_S), "who asks before the next look is told right, too"
    await watched.machine.advance(TICK_S)
    assert [str(absence) for absence in watched.told] == ["the process was stopped for 10 min"]


async def test_a_machine_that_is_only_busy_was_not_away(watched: Watched) -> None:
    watched.machine.stop(TICK_S + SLACK_S)
    assert watched.clock.monotonic() == pytest.approx(TICK_S + SLACK_S)
    watched.machine.stop(LEAST_S)
    await watched.machine.advance(TICK_S)
    assert watched.told == [], "a short stop does not count, and is not worth a word"
    assert watched.clock.monotonic() < 5


async def test_who_sleeps_on_it_sleeps_his_whole_time_awake(watched: Watched) -> None:
    sleeping = asyncio.create_task(watched.clock.sleep(30))
    await watched.machine.advance(20)
    watched.machine.stop(3600)
    await watched.machine.advance(8)
    assert not sleeping.done()
    await watched.machine.advance(3)
    assert sleeping.done()


async def test_an_absence_is_known_to_whoever_asks_about_the_time_after_it(watched: Watched) -> None:
    await watched.machine.advance(10)
    watched.machine.suspend(NIGHT_S)
    await watched.machine.advance(100)
    found = watched.clock.away_since(watched.clock.monotonic() - 300)
    assert found is not None
    assert (found.asleep, found.seconds) == (True, pytest.approx(NIGHT_S))
    assert watched.clock.away_since(watched.clock.monotonic() - 50) is None


@pytest.mark.parametrize(
    ("seconds", "said"), [(12, "12 s"), (59.7, "1 min"), (600, "10 min"), (3599, "1 h 00 min"), (NIGHT_S, "3 h 12 min")]
)
def test_lengths_are_told_as_people_tell_them(seconds: float, said: str) -> None:
    assert spoken(seconds) == said
