"""Time that moves only when a test says so.

`VirtualClock` is a `codeswarm.clock.Clock`. Whoever sleeps on it wakes when the test advances it that far, in the
order of the times to wake at (equals: in the order in which they fell asleep), and runs until it waits again before
the next one wakes. So a test of an hour takes a millisecond and goes the same way every time:

    clock = VirtualClock()
    rescuing = asyncio.create_task(rescuer.run())
    await clock.advance(61)

It knows of its own event loop only: work in other threads (a ledger's writer, `asyncio.to_thread`) takes real time,
and a test waits for its result before it goes on.
"""

from __future__ import annotations

import asyncio
from heapq import heapify, heappop, heappush

NS = 1_000_000_000
ROUNDS = 100
"""Turns of the event loop that a woken task gets before the clock goes on: more than any chain of wake-ups is long."""


class VirtualClock:
    """A clock that stands still until `advance` moves it. Use it from one event loop."""

    def __init__(self, *, start_ms: int = 1_700_000_000_000, alone: bool = False) -> None:
        """`start_ms`: what the wall clock shows at first. The monotonic one begins at 0. `alone`: nothing comes from
        outside of the loop (threads, pipes), so that time goes on as soon as nobody in it is ready: far faster.
        """
        self._alone = alone
        self._now_ns = 0
        self._wall_ns = start_ms * 1_000_000
        self._asleep_ns = 0
        self._sleepers: list[tuple[int, int, asyncio.Future[None]]] = []
        self._slept = 0

    def now_ms(self) -> int:
        return (self._wall_ns + self._now_ns) // 1_000_000

    def monotonic(self) -> float:
        return self._now_ns / NS

    def boottime(self) -> float:
        return (self._now_ns + self._asleep_ns) / NS

    async def sleep(self, seconds: float) -> None:
        """Until `advance` has moved the time that far. Nothing or less than nothing: only let others run."""
        if seconds <= 0:
            await asyncio.sleep(0)
            return
        waking: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        # At least a nanosecond, so that a rest of a rounding error does not sleep for ever in the same moment.
        entry = (self._now_ns + max(1, round(seconds * NS)), self._slept, waking)
        self._slept += 1
        heappush(self._sleepers, entry)
        try:
            await waking
        except asyncio.CancelledError:
            self._forget(entry)
            raise

    def _forget(self, entry: tuple[int, int, asyncio.Future[None]]) -> None:
        if entry in self._sleepers:
            self._sleepers.remove(entry)
            heapify(self._sleepers)

    # ── for the test ──

    async def advance(self, seconds: float) -> None:
        """Move time on by `seconds`, waking every sleeper at its own moment on the way.

        Tasks that are ready run first, so that one that was just created counts its sleep from now. When it returns,
        everything that could run in this loop has run.
        """
        await settle(alone=self._alone)
        until_ns = self._now_ns + max(0, round(seconds * NS))
        while self._sleepers and self._sleepers[0][0] <= until_ns:
            due_ns, _, waking = heappop(self._sleepers)
            self._now_ns = max(self._now_ns, due_ns)
            if not waking.done():
                waking.set_result(None)
                await settle(alone=self._alone)
        self._now_ns = until_ns
        await settle(alone=self._alone)

    def jump(self, seconds: float) -> None:
        """Set the wall clock forward or back, as a person or NTP does. Nobody wakes: sleeps are monotonic."""
        self._wall_ns += round(seconds * NS)

    def suspend(self, seconds: float) -> None:
        """Let the machine sleep: the wall clock and the boot clock go on, the monotonic one does not. Nobody wakes."""
        self._wall_ns += round(seconds * NS)
        self._asleep_ns += round(seconds * NS)

    def stop(self, seconds: float) -> None:
        """Stop the process (SIGSTOP): all clocks go on, and who was due meanwhile wakes with the next `advance`."""
        self._now_ns += round(seconds * NS)

    @property
    def slept(self) -> int:
        """How often anyone has begun to sleep, ever. It tells a loop that waits from one that spins."""
        return self._slept

    @property
    def next_wake_s(self) -> float | None:
        """Seconds until the first sleeper wakes; None: nobody sleeps."""
        return (self._sleepers[0][0] - self._now_ns) / NS if self._sleepers else None


async def settle(rounds: int = ROUNDS, *, alone: bool = False) -> None:
    """Let every task that can run do so, until all of them wait for something."""
    ready = getattr(asyncio.get_running_loop(), "_ready", None) if alone else None
    for _ in range(rounds):
        await asyncio.sleep(0)
        if ready is not None and not ready:
            return
