"""The simulated world itself: it can be told what to do, and does the same each time."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys

import pytest

from codeswarm.simulator.__main__ import main
from codeswarm.simulator.faults import LEAST_RATE, Fault, Faults
from codeswarm.simulator.loop import LoopClock, Standstill, VirtualLoop, play
from codeswarm.simulator.world import Order, simulate


def test_the_same_seed_gives_the_same_log_and_another_one_another() -> None:
    one, again, other = (simulate(Order(seed, events=200)) for seed in (7, 7, 8))
    assert one.log_hash == again.log_hash
    assert one.events == again.events
    assert one.log_hash != other.log_hash


def test_the_log_does_not_depend_on_how_python_hashes() -> None:
    told = set()
    for hashing in ("1", "2"):
        done = subprocess.run(
            [sys.executable, "-m", "codeswarm.simulator", "--seed", "3", "--events", "200"],
            env={**os.environ, "PYTHONHASHSEED": hashing},
            capture_output=True,
            text=True,
            check=True,
        )
        told.add(done.stdout)
    assert len(told) == 1
    assert simulate(Order(3, events=200)).log_hash in told.pop()


def test_without_faults_everything_lands_and_nothing_is_done_twice() -> None:
    history = simulate(Order(5, events=150, only=frozenset()))
    assert not history.problem
    assert not history.struck
    assert history.kinds["AttemptFailed"] == history.kinds["AttemptLost"] == history.kinds["LandingBounced"] == 0
    assert history.kinds["TicketLanded"] > 0


def test_a_named_fault_strikes_and_no_other() -> None:
    wanted = simulate(Order(5, events=150)).struck[3].name
    assert [strike.name for strike in simulate(Order(5, events=150, only={wanted})).struck] == [wanted]


def test_every_kind_of_fault_strikes_often_enough_whatever_the_seed() -> None:
    for seed in range(50):
        assert min(Faults(seed).rates[fault] for fault in Fault) >= LEAST_RATE >= 0.05


def test_a_world_in_which_nothing_can_move_is_an_error() -> None:
    async def wait_for_ever(loop: VirtualLoop) -> None:
        await loop.create_future()

    with pytest.raises(Standstill, match="everything waits"):
        play(wait_for_ever)


def test_a_world_that_spins_is_an_error() -> None:
    async def spin(loop: VirtualLoop) -> None:
        while True:
            await asyncio.sleep(0)

    with pytest.raises(Standstill, match="something spins"):
        play(spin)


def test_an_hour_passes_at_once_and_the_wall_clock_can_be_set() -> None:
    async def sleep(loop: VirtualLoop) -> tuple[int, float]:
        clock = LoopClock(loop, 1000)
        await clock.sleep(3600)
        clock.wall_ms -= 500
        return clock.now_ms(), clock.monotonic()

    assert play(sleep) == (3_600_500, 3600.0)


def test_many_seeds_are_told_as_a_table(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--seeds", "2", "--events", "100"]) == 0
    printed = capsys.readouterr().out
    assert all(fault in printed for fault in Fault)
    assert "2 seeds" in printed
    assert "0 break a promise" in printed


@pytest.mark.parametrize("option", ["--seeds", "--events", "--tickets", "--sessions", "--jobs"])
def test_of_nothing_no_history_is_played(option: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main([option, "0"])
    assert ended.value.code == 2
    assert "must be 1 or more" in capsys.readouterr().err


def test_a_spent_budget_is_told_though_tickets_beyond_the_target_wait_for_a_verifier() -> None:
    """Seed 859 once waited for ever: a planner could not be paid, and a gate that nobody may run was waited for."""
    assert not simulate(Order(859)).problem
