"""Bounded waiting by a clock that is handed in."""

from __future__ import annotations

import asyncio
import errno
from collections.abc import Coroutine
from typing import Any, TypeVar

from codeswarm.clock import Clock, within

T = TypeVar("T")


async def timely(clock: Clock, seconds: float, work: Coroutine[Any, Any, T]) -> T:
    """What `work` answers. Raises: TimeoutError (an OSError) once it takes longer, and whatever it raises."""
    task = asyncio.ensure_future(work)
    try:
        if await within(clock, seconds, task):
            return task.result()
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    raise TimeoutError(errno.ETIMEDOUT, f"there was no answer within {seconds:g} s")
