"""Time is handed in. `SystemClock` is the only place that reads it; `codeswarm.testing.clock` has a virtual one."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Awaitable
from typing import Any, Protocol


class Clock(Protocol):
    def now_ms(self) -> int:
        """Wall-clock milliseconds since 1970, UTC: for what people read and what must survive a restart."""
        ...

    def monotonic(self) -> float:
        """Seconds that only grow, and stand still while the machine sleeps: for leases and time-outs."""
        ...

    def sleep(self, seconds: float) -> Awaitable[None]: ...


_GOES_ON: int | None = getattr(time, "CLOCK_BOOTTIME", None)
if _GOES_ON is None and sys.platform == "darwin":
    _GOES_ON = getattr(time, "CLOCK_MONOTONIC_RAW", None)


class SystemClock:
    def now_ms(self) -> int:
        return time.time_ns() // 1_000_000

    def monotonic(self) -> float:
        return time.monotonic()

    def boottime(self) -> float:
        """Seconds that only grow, and go on while the machine sleeps.

        Source: clock_gettime(2): CLOCK_BOOTTIME on Linux; on a Mac it is the raw clock that goes on.
        """
        return time.clock_gettime(_GOES_ON) if _GOES_ON is not None else time.monotonic()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


async def within(clock: Clock, seconds: float, future: asyncio.Future[Any]) -> bool:
    """Wait up to `seconds` for `future`; whether it is done. It is not cancelled, and its error is not raised."""
    timer = asyncio.ensure_future(clock.sleep(seconds))
    try:
        await asyncio.wait({future, timer}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        timer.cancel()
    return future.done()
