"""Claim and complete: how many leases a second the kernel gives out and takes back, each one durable.

Many claimers run at once in one process. Each claims a ticket, waits until its lease is on disk, completes it, waits
again. An attempt must have been prepared and started before it can succeed: these two commands are part of each
pair's time, durable as well; so a pair is four commands and five events, each decided, appended, added up and
written to the tables.
"""

from __future__ import annotations

import asyncio
from pathlib import Path

from bench.clocks import clocks, since
from bench.figure import Figure, Scale
from bench.swarm import SESSION, alone, begin_commands, claim_command, complete_command, started
from codeswarm.domain import events as ev
from codeswarm.engine.kernel import Kernel


def measure(scale: Scale, folder: Path) -> list[Figure]:
    took = [asyncio.run(_seconds(scale, folder / str(run))) for run in range(scale.runs)]
    runs, processor = (tuple(scale.pairs / seconds for seconds in both) for both in zip(*took, strict=True))
    note = f"{scale.claimers} claimers; a pair is four commands and five events, all durable"
    return [Figure("claim + complete", "pairs/s", "more", runs, bar=20_000, note=note, processor=processor)]


async def _seconds(scale: Scale, folder: Path) -> tuple[float, float]:
    """Of the clock, and of the processor."""
    async with started(folder, alone(scale.pairs)) as kernel:
        begun = clocks()
        async with asyncio.TaskGroup() as group:
            claimers = [group.create_task(_claimer(kernel, number)) for number in range(scale.claimers)]
        took = since(begun)
    assert sum(task.result() for task in claimers) == scale.pairs
    return took


async def _claimer(kernel: Kernel, number: int) -> int:
    done = 0
    while recorded := await kernel.execute(SESSION, claim_command(number)):
        leased = recorded[0].event
        assert isinstance(leased, ev.AttemptLeased)
        for command in begin_commands(leased):
            await kernel.execute(SESSION, command)
        await kernel.execute(SESSION, complete_command(leased))
        done += 1
    return done
