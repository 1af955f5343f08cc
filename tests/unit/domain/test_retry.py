from __future__ import annotations

import pytest
from hypothesis import given, strategies as st

from codeswarm.domain.results import FailureClass
from codeswarm.domain.retry import AT_ONCE, backoff_ms, retry_at_ms
from codeswarm.domain.settings import Bounds

F = FailureClass
BOUNDS = Bounds(backoff_base_s=2, backoff_max_s=60, backoff_jitter=0.25)


@given(st.integers(0, 2**32), st.integers(1, 1000), st.integers(1, 200))
def test_the_wait_doubles_up_to_the_cap_with_up_to_a_quarter_on_top(seed: int, epoch: int, tries: int) -> None:
    plain_ms = min(2 * 2 ** min(tries - 1, 60), 60) * 1000
    assert plain_ms <= backoff_ms(BOUNDS, seed, "t1", epoch, tries) <= plain_ms * 1.25


def test_the_same_history_waits_the_same_time_and_another_one_differs() -> None:
    waits = [backoff_ms(BOUNDS, 7, "t1", 3, 2) for _ in range(5)]
    assert len(set(waits)) == 1
    others = {backoff_ms(BOUNDS, *cause, 2) for cause in ((8, "t1", 3), (7, "t2", 3), (7, "t1", 4))}
    assert len(others | set(waits)) == 4


def test_the_jitter_spreads_over_its_whole_range() -> None:
    shares = [(backoff_ms(BOUNDS, 0, "t", epoch, 1) - 2000) / 500 for epoch in range(1000)]
    assert min(shares) < 0.02
    assert max(shares) > 0.98
    assert 0.45 < sum(shares) / len(shares) < 0.55


def test_without_jitter_the_wait_is_exact() -> None:
    bounds = Bounds(backoff_base_s=1.5, backoff_max_s=10, backoff_jitter=0)
    assert [backoff_ms(bounds, 1, "t", 1, tries) for tries in (1, 2, 3, 4, 100)] == [1500, 3000, 6000, 10_000, 10_000]


def test_a_base_of_nothing_waits_for_nothing() -> None:
    assert backoff_ms(Bounds(backoff_base_s=0), 1, "t", 1, 50) == 0


@pytest.mark.parametrize("failure", list(FailureClass))
def test_only_what_ended_in_good_order_is_tried_again_at_once(failure: FailureClass) -> None:
    at_once = {
        F.NOTHING_CHANGED,
        F.GATE_RED,
        F.SETUP_BROKEN,
        F.CONTRACT_PASSES,
        F.CONFLICT_MARKERS,
        F.BAD_RESULT,
        F.OVER_BUDGET,
        F.CANCELLED,
    }
    assert (failure in AT_ONCE) == (failure in at_once)
    due = retry_at_ms(BOUNDS, 0, "t", 1, 1, 1_000_000, failure)
    assert (due == 1_000_000) == (failure in at_once)
