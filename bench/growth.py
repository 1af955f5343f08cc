"""Growth: what a ticket costs in a session of 10,000, against what it costs in a session of 100.

A ticket's cost is its whole life: claimed, prepared, started, completed, merged, landed, all durable. It is counted in
processor time of the process (the loop's and the ledger's writer's), so that a neighbour's load is not taken for ours.
Each run goes through one large session and through many small ones, which hold a tenth of its tickets together.
"""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

from bench.figure import Figure, Scale
from bench.swarm import dag, run_through, started


def measure(scale: Scale, folder: Path) -> list[Figure]:
    runs = [_ratio(scale, folder / str(run)) for run in range(scale.long_runs)]
    note = f"{scale.tickets:,} tickets against {scale.few_tickets}"
    return [Figure("growth", "×", "less", tuple(runs), bar=1.2, note=note)]


def _ratio(scale: Scale, folder: Path) -> float:
    sessions = max(scale.tickets // scale.few_tickets // 10, 1)
    small = [asyncio.run(_cost_us(scale.few_tickets, folder / f"few{number}")) for number in range(sessions)]
    return asyncio.run(_cost_us(scale.tickets, folder / "many")) / (sum(small) / len(small))


async def _cost_us(tickets: int, folder: Path) -> float:
    async with started(folder, dag(tickets)) as kernel:
        begun = time.process_time()
        session = await run_through(kernel)
        took = time.process_time() - begun
    assert len(session.landed) == tickets
    return took / tickets * 1e6
