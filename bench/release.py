"""Release of dependents: what it costs that a ticket has landed, until all that waited for it may be claimed.

A graph of tickets with two blockers each on average is built and landed to its end. Timed are the landings alone, from
the merge's record to the moment in which the commit point and the released dependents are on disk; claims and
completions run between them, untimed. The peers run the same graph, made of functions or commands that do nothing,
through their schedulers: there nothing is durable.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from bench import peers
from bench.clocks import Moment, Stopwatch
from bench.figure import Figure, Scale
from bench.swarm import SESSION, dag, started, submit_build, submit_landing
from codeswarm.domain.ticket import TicketSpec
from codeswarm.engine.kernel import Kernel


@dataclass(frozen=True, slots=True)
class Peer:
    """A scheduler of task graphs, and how it is held to us."""

    name: str
    script: str
    share: int = 1
    """Its graph has so many times fewer tasks than ours."""
    ratio_bar: float | None = None


PEERS = (
    Peer("dask.distributed", "dask_graph.py", ratio_bar=20),
    Peer("ray", "ray_graph.py"),
    Peer("ninja", "ninja_graph.py"),
    # Its worker looks through all of its tasks for the next one: ten thousand would take it the better part of an hour.
    Peer("luigi", "luigi_graph.py", share=10),
)


def measure(scale: Scale, folder: Path) -> list[Figure]:
    tickets = dag(scale.tickets)
    took: list[Moment] = []
    theirs: dict[Peer, list[float]] = {peer: [] for peer in PEERS}
    for run in range(scale.long_runs):
        took.append(asyncio.run(_landings_us(tickets, folder / str(run))))
        for peer in PEERS if peers.there() else ():
            theirs[peer].append(_peer_us(peer, dag(scale.tickets // peer.share)))
    return [_figure(peer, scale, took, theirs[peer]) for peer in PEERS]


def _figure(peer: Peer, scale: Scale, took: list[Moment], theirs: list[float]) -> Figure:
    ours, processor = zip(*took, strict=True)
    smaller = f"; {scale.tickets // peer.share:,} tasks for {peer.name}" if peer.share > 1 else ""
    return Figure(
        "release of dependents",
        "µs/ticket",
        "less",
        ours,
        bar=100 if peer.ratio_bar else None,
        peer=peer.name,
        peers=tuple(theirs),
        ratio_bar=peer.ratio_bar,
        note=f"{scale.tickets:,} tickets{smaller}",
        processor=processor,
    )


async def _landings_us(tickets: Sequence[TicketSpec], folder: Path) -> tuple[float, float]:
    """The time of all landings, divided by their number: by the clock, and of the processor."""
    async with started(folder, tickets) as kernel:
        watch = Stopwatch()
        while await _build_what_is_ready(kernel):
            await _land_what_is_built(kernel, watch)
        assert len(kernel.session(SESSION).landed) == len(tickets)
    timed_s, processor_s = watch.told
    return timed_s / len(tickets) * 1e6, processor_s / len(tickets) * 1e6


async def _build_what_is_ready(kernel: Kernel) -> bool:
    last = None
    while (submitted := submit_build(kernel)) is not None:
        last = submitted
    if last is not None:
        await kernel.durable(last)
    return last is not None


async def _land_what_is_built(kernel: Kernel, watch: Stopwatch) -> None:
    last = None
    while (submitted := submit_landing(kernel, watch)) is not None:
        last = submitted
    assert last is not None
    with watch:
        await kernel.durable(last)


def _peer_us(peer: Peer, tickets: Sequence[TicketSpec]) -> float:
    edges = {ticket.id: list(ticket.blocked_by) for ticket in tickets}
    return peers.run(peer.script, json.dumps(edges)) / len(tickets) * 1e6
