"""How well the real claim order uses its workers, on the graphs of `bench/makespan.py`."""

from __future__ import annotations

import random
from statistics import median

import pytest
from bench.makespan import Swarm, p99, ratios

from codeswarm.domain import dag
from codeswarm.domain.ids import TicketId

GRAPHS = 100


@pytest.mark.parametrize(("off_by", "most_median", "most_p99"), [(0.0, 1.005, 1.10), (0.5, 1.01, 1.12)])
def test_swarms_end_close_to_their_lower_bound(off_by: float, most_median: float, most_p99: float) -> None:
    found = ratios(GRAPHS, off_by)
    assert min(found) >= 1 - 1e-9
    assert median(found) <= most_median
    assert p99(found) <= most_p99


@pytest.mark.parametrize("seed", range(60))
def test_small_swarms_keep_grahams_bound(seed: int) -> None:
    """Makespan ≤ work/m + (1 − 1/m) · critical path, and so never above 2 − 1/m of the optimum."""
    numbers = random.Random(seed)
    ids = [TicketId(f"t{number}") for number in range(numbers.randint(2, 12))]
    blockers = {id_: tuple(b for b in ids[:place] if numbers.random() < 0.3) for place, id_ in enumerate(ids)}
    seconds = {id_: 60 * numbers.lognormvariate(0, 0.8) for id_ in ids}
    small = Swarm(blockers, seconds, numbers.randint(1, 5), seed)
    path_s = sum(seconds[id_] for id_ in dag.critical_path(blockers, seconds))
    share = 1 / small.workers
    assert small.ratio(0.5) * small.bound_s <= share * sum(seconds.values()) + (1 - share) * path_s + 1e-6
