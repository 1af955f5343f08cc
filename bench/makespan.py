"""Makespan of simulated swarms over its lower bound, max(critical path, work ÷ workers).

The graphs: 50 to 500 tickets, uniformly; each but the first waits for 0 to 4 earlier ones (two on average, where there
are as many); durations are log-normal, σ 0.8, around ten minutes; 4 to 16 workers. Tickets
have one phase, nothing fails, landing takes no time, and no files are predicted. What is claimed when is decided by the
domain that runs real sessions. Once estimates are exact, once they are off by a log-normal factor of σ 0.5.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from bench.figure import Figure, Scale
from codeswarm.domain import dag
from codeswarm.domain.ids import TicketId
from codeswarm.domain.ticket import TicketSpec
from codeswarm.simulator.forecast import Wish, play_plan

MEDIAN_S = 600.0
SIGMA = 0.8
OFF_BY = 0.5
GRAPHS_PER_SWARM = 5


@dataclass(frozen=True)
class Swarm:
    """A graph, how long its tickets really take, and how many work on it."""

    blockers: dict[TicketId, tuple[TicketId, ...]]
    seconds: dict[TicketId, float]
    workers: int
    seed: int

    @property
    def bound_s(self) -> float:
        path = dag.critical_path(self.blockers, self.seconds)
        return max(sum(self.seconds[id_] for id_ in path), sum(self.seconds.values()) / self.workers)

    def ratio(self, off_by: float = 0.0) -> float:
        """Makespan over lower bound, with estimates that are off by a log-normal factor."""
        numbers = random.Random(f"estimates {self.seed}")  # noqa: S311 - what is wanted is that it can be foretold
        specs = tuple(
            TicketSpec(
                id=id_,
                title=id_,
                blocked_by=waits,
                estimate_s=self.seconds[id_] * numbers.lognormvariate(0.0, off_by),
            )
            for id_, waits in self.blockers.items()
        )
        wish = Wish(specs, self.workers, default_pipeline="single")
        return play_plan(wish, lambda ticket, epoch: self.seconds[ticket.id]).makespan_s / self.bound_s


def swarm(seed: int) -> Swarm:
    numbers = random.Random(seed)  # noqa: S311
    ids = [TicketId(f"t{number}") for number in range(numbers.randint(50, 500))]
    blockers = {}
    for place, id_ in enumerate(ids):
        blockers[id_] = tuple(numbers.sample(ids[:place], min(numbers.randint(0, 4), place)))
    seconds = {id_: MEDIAN_S * numbers.lognormvariate(0.0, SIGMA) for id_ in ids}
    return Swarm(blockers, seconds, numbers.randint(4, 16), seed)


def swarms(count: int) -> Iterator[Swarm]:
    return map(swarm, range(count))


def p99(values: list[float]) -> float:
    return sorted(values)[int(0.99 * (len(values) - 1))]


def ratios(count: int, off_by: float) -> list[float]:
    return [one.ratio(off_by) for one in swarms(count)]


def measure(scale: Scale, folder: Path) -> list[Figure]:
    count = scale.swarms * GRAPHS_PER_SWARM
    exact, off = ratios(count, 0.0), ratios(count, OFF_BY)
    note = f"{count:,} graphs"
    return [
        Figure("makespan, exact: median", "× bound", "less", (median(exact),), bar=1.005, note=note),
        Figure("makespan, exact: p99", "× bound", "less", (p99(exact),), bar=1.10, note=note),
        Figure("makespan, off by σ 0.5: median", "× bound", "less", (median(off),), bar=1.01, note=note),
        Figure("makespan, off by σ 0.5: p99", "× bound", "less", (p99(off),), bar=1.12, note=note),
    ]
