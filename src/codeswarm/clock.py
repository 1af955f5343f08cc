"""Time is handed in. `SystemClock` is the only place that reads it; `codeswarm.testing.clock` has a virtual one."""

from __future__ import annotations

import asyncio
import time
from typing import Any, Protocol


class Clock(Protocol):
    def now_ms(self) -> int:
        """Wall-clock milliseconds since 1970, UTC: for what people read and what must survive a restart."""
        ...

    def monotonic(self) -> float:
        """Seconds that only grow, and stand still while the machine sleeps: for leases and time-outs."""
        ...

    async def sleep(self, seconds: float) -> None: ...


class SystemClock:
    def now_ms(self) -> int:
        return time.time_ns() // 1_000_000

    def monotonic(self) -> float:
        return time.monotonic()

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
