"""Carries bytes both ways, and looks at none of them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from codeswarm.egress.traffic import Deadline, Meter, Stream


async def tunnel(inside: Stream, outside: Stream, meter: Meter, deadline: Deadline) -> None:
    """Until both sides have ended, or one of them broke off. Raises: Refused at a bound."""
    there = asyncio.ensure_future(_carry(inside, outside, meter.sent, deadline))
    back = asyncio.ensure_future(_carry(outside, inside, meter.got, deadline))
    try:
        await asyncio.gather(there, back)
    finally:
        for way in (there, back):
            way.cancel()
        await asyncio.gather(there, back, return_exceptions=True)


async def _carry(source: Stream, sink: Stream, count: Callable[[int], None], deadline: Deadline) -> None:
    while data := await source.read():
        count(len(data))
        deadline.touch()
        if not await sink.write(data):
            source.break_off()
            return
    sink.finish()
