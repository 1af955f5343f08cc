"""What a worker makes of a sleep of the machine: no limit runs out, and a crash after it is not the agent's."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any, cast

import pytest

from codeswarm.awake import Absence, AwakeClock
from codeswarm.domain.results import CHARGED, Failure, FailureClass
from codeswarm.domain.settings import Patience
from codeswarm.testing.clock import VirtualClock, settle
from codeswarm.worker.attempt import excused
from codeswarm.worker.watch import Watch
from tests.unit.worker.test_watch import FarEnd, offer, stage_without_processes

F = FailureClass
SLEPT = Absence(3 * 3600 + 12 * 60, asleep=True, ended=0.0)


@pytest.mark.parametrize("how", ["asleep", "stopped"])
async def test_neither_the_time_out_nor_the_silence_runs_on_while_nothing_can_run(how: str) -> None:
    machine = VirtualClock()
    clock = AwakeClock(machine)
    limits = offer(attempt_timeout_s=900, patience=Patience(thinking_s=300))
    stage = stage_without_processes(clock, limits)

    async def unchanged() -> bool:
        return False

    async def takes_none(_: str) -> bool:
        return False

    line = cast(Any, FarEnd(machine))
    watch = Watch(limits, line, stage, clock, unchanged, messages_seen=0, say=takes_none)
    keeping, watching = asyncio.create_task(clock.keep()), asyncio.create_task(watch.run())
    await settle()
    await machine.advance(290)
    (machine.suspend if how == "asleep" else machine.stop)(8 * 3600)
    await machine.advance(5)
    assert not watching.done()
    await machine.advance(10)
    assert watching.done()
    assert watching.result().failure_class is F.HUNG
    keeping.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await keeping


@pytest.mark.parametrize("class_", [F.CRASHED, F.HUNG])
def test_who_crashes_or_falls_silent_after_a_sleep_is_not_charged(class_: F) -> None:
    failure = excused(Failure(failure_class=class_, message="socket hang up"), SLEPT)
    assert failure is not None
    assert failure.failure_class not in CHARGED
    assert failure.message == "the machine slept for 3 h 12 min, and then: socket hang up"


@pytest.mark.parametrize("class_", sorted(set(F) - {F.CRASHED, F.HUNG}))
def test_a_sleep_excuses_nothing_else(class_: F) -> None:
    failure = Failure(failure_class=class_, message="m")
    assert excused(failure, SLEPT) is failure


def test_without_a_sleep_and_without_a_failure_there_is_nothing_to_excuse() -> None:
    crashed = Failure(failure_class=F.CRASHED, message="m")
    assert excused(crashed, None) is crashed
    assert excused(None, SLEPT) is None
