"""Claim and complete: how many leases a second the kernel gives out and takes back, each one durable.

A hundred claimers, round by round: all of them ask for a ticket at once and wait until their lease is on disk; all
prepare and start; all complete at once and wait again. An attempt must have been prepared and started before it can
succeed, so that a lease's whole life is four commands and five events; the first row counts the time of claims and
completions alone, the second one of all four. Each command is decided, appended, added up and written to the tables.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path

from bench.clocks import Moment, clocks, since
from bench.figure import Figure, Scale
from bench.swarm import SESSION, alone, begin_commands, claim_command, complete_command, started
from codeswarm.domain import commands as cmd, events as ev
from codeswarm.engine.kernel import Kernel
from codeswarm.ledger.base import Recorded


def measure(scale: Scale, folder: Path) -> list[Figure]:
    runs = [asyncio.run(_seconds(scale, folder / str(run))) for run in range(scale.runs)]
    pairs, lives = zip(*runs, strict=True)
    alone_note = f"{scale.claimers} claimers; two commands and three events"
    return [
        _figure("claim + complete", pairs, scale, alone_note, bar=20_000),
        _figure("a lease's whole life", lives, scale, "the same claimers; four commands and five events"),
    ]


def _figure(name: str, took: tuple[Moment, ...], scale: Scale, note: str, bar: float | None = None) -> Figure:
    runs, processor = (tuple(scale.pairs / seconds for seconds in both) for both in zip(*took, strict=True))
    return Figure(name, "pairs/s", "more", runs, bar=bar, note=note, processor=processor)


async def _seconds(scale: Scale, folder: Path) -> tuple[Moment, Moment]:
    """Of claims and completions, and of everything; each by the clock, and of the processor."""
    alone_s = all_s = (0.0, 0.0)
    async with started(folder, alone(scale.pairs)) as kernel:
        for begin in range(0, scale.pairs, scale.claimers):
            claimers = range(min(scale.claimers, scale.pairs - begin))
            recorded, claiming_s = await _at_once(kernel, list(map(claim_command, claimers)))
            leased = [_lease(records) for records in recorded]
            prepare, start = map(list, zip(*map(begin_commands, leased), strict=True))
            _, preparing_s = await _at_once(kernel, prepare)
            _, starting_s = await _at_once(kernel, start)
            _, completing_s = await _at_once(kernel, list(map(complete_command, leased)))
            alone_s = _sum(alone_s, claiming_s, completing_s)
            all_s = _sum(all_s, claiming_s, preparing_s, starting_s, completing_s)
    return alone_s, all_s


async def _at_once(kernel: Kernel, commands: Sequence[cmd.Command]) -> tuple[list[list[Recorded]], Moment]:
    """What was recorded of each, and how long it took until all of it was on disk. They were made before: whoever
    sends them does that.
    """
    begun = clocks()
    recorded = await asyncio.gather(*(kernel.execute(SESSION, command) for command in commands))
    return recorded, since(begun)


def _lease(recorded: list[Recorded]) -> ev.AttemptLeased:
    leased = recorded[0].event
    assert isinstance(leased, ev.AttemptLeased)
    return leased


def _sum(*moments: Moment) -> Moment:
    return sum(moment[0] for moment in moments), sum(moment[1] for moment in moments)
