"""A simulation that finds nothing proves nothing: each planted bug must be caught, and its history made small."""

from __future__ import annotations

import pytest

from codeswarm.simulator.__main__ import main
from codeswarm.simulator.shrink import replay_command, shrink, told
from codeswarm.simulator.world import History, Order, simulate
from tests.support.mutants import MUTANTS, Mutant, planted

SEEDS = 100


def first_failure(seeds: int = SEEDS) -> History | None:
    histories = (simulate(Order(seed)) for seed in range(seeds))
    return next((history for history in histories if history.problem), None)


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_a_planted_bug_is_caught_within_a_hundred_seeds(mutant: Mutant) -> None:
    with planted(mutant):
        assert first_failure() is not None, f"nobody notices that {mutant.name}"


def by_name(name: str) -> Mutant:
    return next(mutant for mutant in MUTANTS if mutant.name == name)


def test_a_failing_history_is_shrunk_and_can_be_played_again(capsys: pytest.CaptureFixture[str]) -> None:
    with planted(by_name("a late result is dropped")):
        failed = first_failure()
        assert failed is not None
        small = shrink(failed)
        assert small.problem
        assert 1 <= len(small.struck) <= 6, told(small)
        assert small.order.most_tickets < failed.order.most_tickets
        assert small.order.only == {strike.name for strike in small.struck}
        words = replay_command(small.order).split()
        assert words[:3] == ["python", "-m", "codeswarm.simulator"]
        assert main([word.strip("'") for word in words[3:]]) == 1
    printed = capsys.readouterr().out
    assert small.problem in printed
    assert small.log_hash in printed
    assert printed == told(small) + "\n"
    assert not simulate(small.order).problem, "without the bug the same history is a good one"


def test_a_mutant_is_gone_when_its_test_is_over() -> None:
    with planted(MUTANTS[0]):
        assert simulate(Order(0)).problem
    assert not simulate(Order(0)).problem
