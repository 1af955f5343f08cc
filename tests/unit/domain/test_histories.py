"""Ten thousand random histories with faults: no invariant may break, every replay agrees, everything comes to rest."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings, strategies as st

from codeswarm.domain.states import SessionStatus
from tests.support.histories import run_history

SHARDS = 20
HISTORIES_PER_SHARD = 500

AT_REST = {SessionStatus.AWAITING_REVIEW, SessionStatus.FINALIZED, SessionStatus.CANCELLED}

histories = st.tuples(st.integers(0, 2**32), st.lists(st.integers(0, 2**20), min_size=15, max_size=90))


@pytest.mark.parametrize("shard", range(SHARDS))
def test_random_histories_break_no_invariant_and_come_to_rest(shard: int) -> None:
    @settings(
        max_examples=HISTORIES_PER_SHARD,
        deadline=None,
        database=None,
        derandomize=True,
        suppress_health_check=list(HealthCheck),
    )
    @given(histories)
    def play(drawn: tuple[int, list[int]]) -> None:
        seed, numbers = drawn
        history = run_history(seed * SHARDS + shard, numbers)
        assert history.replayed() == history.session
        assert history.calm_down(), "the session never came to rest"
        assert not history.wrong()
        assert history.session.status in AT_REST

    play()


def test_the_same_history_gives_the_same_log() -> None:
    numbers = [n * 7919 % 100_003 for n in range(150)]
    assert run_history(7, numbers).log_hash() == run_history(7, numbers).log_hash()
    assert run_history(7, numbers).log_hash() != run_history(8, numbers).log_hash()
