"""Waiting for whatever comes first."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable


async def first_of(*waits: Awaitable[object]) -> tuple[bool, ...]:
    """Wait until one of them is over, and give up the others. Which of them came to an end, in their order.

    How they ended is nobody's business here: an exception in one of them is not raised.
    """
    tasks = [asyncio.ensure_future(wait) for wait in waits]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    return tuple(not task.cancelled() for task in tasks)
