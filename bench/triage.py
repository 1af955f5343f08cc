"""Triage: which of 10,000 tickets to begin next, measured and ranked, from the state of a session in memory."""

from __future__ import annotations

import asyncio
from pathlib import Path

from bench.clocks import clocks, since
from bench.figure import Figure, Scale
from bench.swarm import SESSION, dag, started
from codeswarm.triage.items import of_session
from codeswarm.triage.ranking import triage


def measure(scale: Scale, folder: Path) -> list[Figure]:
    took = asyncio.run(_seconds(scale, folder))
    runs, processor = zip(*took, strict=True)
    note = f"{scale.tickets:,} tickets"
    return [Figure("triage", "s", "less", runs, bar=1.0, note=note, processor=processor)]


async def _seconds(scale: Scale, folder: Path) -> list[tuple[float, float]]:
    took = []
    async with started(folder, dag(scale.tickets)) as kernel:
        session = kernel.session(SESSION)
        for _ in range(scale.runs):
            begun = clocks()
            found = triage(of_session(session), kernel.clock.now_ms())
            took.append(since(begun))
            assert found.ranked
            assert len(found.items) == scale.tickets
    return took
