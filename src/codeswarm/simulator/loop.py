"""An event loop in which time passes only when nothing else can happen, and then at once.

Everything in it runs in one thread and in one order, so that a history is the same each time it is played. Work that
goes to threads elsewhere is done on the spot here. It never waits for the machine, and never for ever: a world in which
nothing can move any more, or that goes round without time passing, is an error.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

T = TypeVar("T")

MOST_ROUNDS = 20_000
"""Turns of the loop in one moment of virtual time. No chain of wake-ups is nearly as long."""


class Standstill(Exception):
    """Nothing is scheduled and nothing can run, or everything runs and time does not pass."""


class _Waiting:
    """Stands where a loop has its selector: instead of waiting for the machine it moves the clock."""

    def __init__(self, loop: VirtualLoop) -> None:
        self._loop = loop
        self._rounds = 0

    def select(self, timeout: float | None) -> list[Any]:
        if timeout is None:
            raise Standstill("everything waits, and nothing is left that could wake it")
        if timeout > 0:
            self._loop.now_s += timeout
            self._rounds = 0
        elif (rounds := self._rounds + 1) > MOST_ROUNDS:
            self._rounds = 0
            raise Standstill(f"{MOST_ROUNDS} turns were taken without any time passing: something spins")
        else:
            self._rounds = rounds
        return []


class VirtualLoop(asyncio.BaseEventLoop):
    """An asyncio loop without files, signals or threads."""

    def __init__(self) -> None:
        super().__init__()
        self.now_s = 0.0
        self._selector = _Waiting(self)

    def time(self) -> float:
        return self.now_s

    def run_in_executor(self, executor: Any, func: Callable[..., T], *args: Any) -> asyncio.Future[T]:  # type: ignore[override]
        """Do it now. Its caller still goes on only with a later turn, as with a thread."""
        done: asyncio.Future[T] = self.create_future()
        try:
            done.set_result(func(*args))
        except Exception as error:  # noqa: BLE001 - it is handed on to whoever waits for it
            done.set_exception(error)
        return done

    def _process_events(self, event_list: list[Any]) -> None:
        """There are none: nothing outside of the loop can tell it anything."""

    def _write_to_self(self) -> None:
        """It never sleeps, so it need not be woken."""


class LoopClock:
    """A `codeswarm.clock.Clock` on a virtual loop. The wall clock can be set; sleeps do not care."""

    def __init__(self, loop: VirtualLoop, start_ms: int) -> None:
        self._loop = loop
        self.wall_ms = start_ms
        """What the wall clock shows at second 0 of the loop."""

    def now_ms(self) -> int:
        return self.wall_ms + int(self._loop.now_s * 1000)

    def monotonic(self) -> float:
        return self._loop.now_s

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


def play(main: Callable[[VirtualLoop], Coroutine[Any, Any, T]]) -> T:
    """Run a coroutine to its end in a loop of its own. What it leaves running is cancelled. Raises: Standstill."""
    loop = VirtualLoop()
    try:
        return loop.run_until_complete(main(loop))
    finally:
        try:
            _end(loop)
        finally:
            loop.close()


def _end(loop: VirtualLoop) -> None:
    left = asyncio.all_tasks(loop)
    for task in left:
        task.cancel()
    if left:
        loop.run_until_complete(asyncio.gather(*left, return_exceptions=True))
    loop.run_until_complete(loop.shutdown_asyncgens())
