from __future__ import annotations

import asyncio

import pytest

from codeswarm.clock import Clock, within
from codeswarm.testing.clock import VirtualClock, settle


@pytest.fixture
def clock() -> VirtualClock:
    return VirtualClock(start_ms=5_000)


async def sleeper(clock: Clock, name: str, seconds: float, woke: list[tuple[str, float]]) -> None:
    await clock.sleep(seconds)
    woke.append((name, clock.monotonic()))


async def test_time_stands_still_until_it_is_moved(clock: VirtualClock) -> None:
    assert (clock.now_ms(), clock.monotonic()) == (5_000, 0.0)
    await settle()
    assert (clock.now_ms(), clock.monotonic()) == (5_000, 0.0)
    await clock.advance(1.5)
    assert (clock.now_ms(), clock.monotonic()) == (6_500, 1.5)


async def test_sleepers_wake_at_their_own_moments_and_equals_in_the_order_in_which_they_fell_asleep(
    clock: VirtualClock,
) -> None:
    woke: list[tuple[str, float]] = []
    async with asyncio.TaskGroup() as tasks:
        for name, seconds in (("late", 3), ("first", 1), ("second", 1), ("never before ten", 10)):
            tasks.create_task(sleeper(clock, name, seconds, woke))
        await clock.advance(5)
        assert woke == [("first", 1.0), ("second", 1.0), ("late", 3.0)]
        assert clock.next_wake_s == 5.0
        await clock.advance(5)
    assert woke[-1] == ("never before ten", 10.0)
    assert clock.next_wake_s is None


async def test_a_woken_task_that_sleeps_again_wakes_again_within_the_same_advance(clock: VirtualClock) -> None:
    beats: list[float] = []

    async def beat() -> None:
        while len(beats) < 4:
            await clock.sleep(0.1)
            beats.append(clock.monotonic())

    task = asyncio.create_task(beat())
    await clock.advance(1)
    await task
    assert beats == pytest.approx([0.1, 0.2, 0.3, 0.4])
    assert clock.monotonic() == 1.0
    assert clock.slept == 4


async def test_each_woken_task_runs_until_it_waits_before_the_next_one_wakes(clock: VirtualClock) -> None:
    steps: list[str] = []

    async def long_chain(name: str) -> None:
        await clock.sleep(1)
        for step in range(20):
            await asyncio.sleep(0)
            steps.append(f"{name}{step}")

    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(long_chain("a"))
        tasks.create_task(long_chain("b"))
        await clock.advance(1)
        assert steps == [f"a{step}" for step in range(20)] + [f"b{step}" for step in range(20)]


async def test_a_cancelled_sleeper_is_forgotten(clock: VirtualClock) -> None:
    task = asyncio.create_task(clock.sleep(2))
    await settle()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert clock.next_wake_s is None


async def test_a_sleep_of_nothing_returns_at_once_and_a_rest_of_a_rounding_error_does_not_last_for_ever(
    clock: VirtualClock,
) -> None:
    await clock.sleep(0)
    await clock.sleep(-1)
    task = asyncio.create_task(clock.sleep(1e-15))
    await clock.advance(0.001)
    await task


async def test_a_jump_of_the_wall_clock_wakes_nobody(clock: VirtualClock) -> None:
    task = asyncio.create_task(clock.sleep(10))
    await settle()
    clock.jump(3600)
    await settle()
    assert not task.done()
    assert (clock.now_ms(), clock.monotonic()) == (3_605_000, 0.0)
    clock.jump(-7200)
    assert clock.now_ms() == -3_595_000
    await clock.advance(10)
    await task


async def test_many_small_steps_add_up_exactly(clock: VirtualClock) -> None:
    for _ in range(1000):
        await clock.advance(0.001)
    assert clock.monotonic() == 1.0
    assert clock.now_ms() == 6_000


async def test_waiting_with_a_bound_works_on_virtual_time(clock: VirtualClock) -> None:
    future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    waiting = asyncio.create_task(within(clock, 30, future))
    await clock.advance(29)
    assert not waiting.done()
    await clock.advance(1)
    assert waiting.result() is False
    assert not future.cancelled()

    again = asyncio.create_task(within(clock, 30, future))
    await settle()
    future.set_result(None)
    assert await again is True
    await settle()
    assert clock.next_wake_s is None, "the timer is gone with the wait"
