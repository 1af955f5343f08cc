"""Release of dependents: what it costs that a ticket has landed, until all that waited for it may be claimed.

A graph of tickets with two blockers each on average is built and landed to its end. Timed are the landings alone, from
the merge's record to the moment in which the commit point and the released dependents are on disk; claims and
completions run between them, untimed. The peer runs the same graph, made of functions that do nothing,
through its scheduler: there nothing is durable.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from pathlib import Path

from bench import peers
from bench.clocks import clocks, since
from bench.figure import Figure, Scale
from bench.swarm import SESSION, dag, started, submit_build, submit_landing
from codeswarm.domain.ticket import TicketSpec
from codeswarm.engine.kernel import Kernel

PEER = "dask.distributed"


def measure(scale: Scale, folder: Path) -> list[Figure]:
    tickets = dag(scale.tickets)
    took, theirs = [], []
    for run in range(scale.long_runs):
        took.append(asyncio.run(_landings_us(tickets, folder / str(run))))
        if peers.there():
            theirs.append(_dask_us(tickets))
    ours, processor = zip(*took, strict=True)
    return [
        Figure(
            "release of dependents",
            "µs/ticket",
            "less",
            ours,
            bar=100,
            peer=PEER,
            peers=tuple(theirs),
            ratio_bar=20,
            note=f"{scale.tickets:,} tickets",
            processor=processor,
        )
    ]


async def _landings_us(tickets: Sequence[TicketSpec], folder: Path) -> tuple[float, float]:
    """The time of all landings, divided by their number: by the clock, and of the processor."""
    async with started(folder, tickets) as kernel:
        timed_s = processor_s = 0.0
        while await _build_what_is_ready(kernel):
            begun = clocks()
            last = None
            while (submitted := submit_landing(kernel)) is not None:
                last = submitted
            assert last is not None
            await kernel.durable(last)
            took = since(begun)
            timed_s, processor_s = timed_s + took[0], processor_s + took[1]
        assert len(kernel.session(SESSION).landed) == len(tickets)
    return timed_s / len(tickets) * 1e6, processor_s / len(tickets) * 1e6


async def _build_what_is_ready(kernel: Kernel) -> bool:
    last = None
    while (submitted := submit_build(kernel)) is not None:
        last = submitted
    if last is not None:
        await kernel.durable(last)
    return last is not None


def _dask_us(tickets: Sequence[TicketSpec]) -> float:
    edges = {ticket.id: list(ticket.blocked_by) for ticket in tickets}
    return peers.run("dask_graph.py", json.dumps(edges)) / len(tickets) * 1e6
