"""Who waits for the disk is woken a whole group at a time: one call into the loop, not one for each command."""

from __future__ import annotations

import asyncio
from collections import deque
from concurrent.futures import Future
from contextlib import suppress
from functools import partial
from threading import Lock
from typing import Generic, TypeVar

T = TypeVar("T")


class Arrivals(Generic[T]):
    """Turns futures that another thread settles into futures of a loop. Use it from that loop."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._lock = Lock()
        self._settled: deque[tuple[asyncio.Future[T], Future[T]]] = deque()

    def of(self, future: Future[T]) -> asyncio.Future[T]:
        """Settled in the loop, soon after `future` is. To cancel it changes nothing for `future`."""
        waiter: asyncio.Future[T] = self._loop.create_future()
        future.add_done_callback(partial(self._arrived, waiter))
        return waiter

    def _arrived(self, waiter: asyncio.Future[T], future: Future[T]) -> None:
        with self._lock:
            self._settled.append((waiter, future))
            first = len(self._settled) == 1
        if first:
            with suppress(RuntimeError):  # the loop is closed: nobody waits any more
                self._loop.call_soon_threadsafe(self._wake)

    def _wake(self) -> None:
        with self._lock:
            settled = list(self._settled)
            self._settled.clear()
        for waiter, future in settled:
            if waiter.done():
                continue
            if (error := future.exception()) is not None:
                waiter.set_exception(error)
            else:
                waiter.set_result(future.result())
