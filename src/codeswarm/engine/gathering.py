"""What is told to one session within one turn of the loop goes to the ledger as one batch.

A hundred claimers that wake in one turn cost one set of rows of their session, one future and one call back into the
loop, instead of a hundred. A batch is made of whole commands; whoever waits is told the events of its own.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass, field
from threading import Lock

from codeswarm.domain import events as ev
from codeswarm.domain.ids import SessionId
from codeswarm.domain.session import Session
from codeswarm.ledger.base import Batch, Recorded, Reply
from codeswarm.ledger.projection import Touched, rows_of

_Waiter = tuple["asyncio.Future[list[Recorded]]", int, int]


@dataclass(slots=True, eq=False)
class Gathered:
    """A batch: open while it is added to, then on its way to the disk, then settled."""

    session: SessionId
    version: int
    """The session's before it."""
    events: list[ev.Event] = field(default_factory=list)
    moments: list[int] = field(default_factory=list)
    """When each of them happened, in ms."""
    replies: list[Reply] = field(default_factory=list)
    touched: Touched = field(default_factory=Touched)
    generation: int = 0
    """Of failures that the kernel had seen when it was handed over."""
    future: Future[list[Recorded]] | None = None
    """None: still open. Done without the ledger where it was given up before it was handed over."""
    _waiters: list[_Waiter] = field(default_factory=list)

    def packed(self, session: Session) -> Batch:
        """For the ledger, with the rows as they are now."""
        rows = rows_of(session, self.touched)
        return Batch(self.session, self.version, self.moments, self.events, rows, self.replies)

    @property
    def failed(self) -> bool:
        """Whether it is known by now that nothing of it is recorded."""
        return self.future is not None and self.future.done() and self.future.exception() is not None

    @property
    def settled(self) -> bool:
        return self.future is not None and self.future.done()

    def wait(self, begin: int, end: int) -> asyncio.Future[list[Recorded]]:
        """Settled in the running loop once the batch is: with its events from `begin` to `end`, as recorded.

        To cancel it changes nothing for the batch.
        """
        waiter: asyncio.Future[list[Recorded]] = asyncio.get_running_loop().create_future()
        self._waiters.append((waiter, begin, end))
        if self.settled:
            self.tell()
        return waiter

    def give_up(self, error: BaseException) -> None:
        """It was decided on top of what is lost."""
        self.future = Future()
        self.future.set_exception(error)
        self.tell()

    def tell(self) -> None:
        """Tell whoever waits for it. Only once it is settled."""
        assert self.future is not None
        waiters, self._waiters = self._waiters, []
        error = self.future.exception()
        recorded = self.future.result() if error is None else []
        for waiter, begin, end in waiters:
            if waiter.done():
                continue
            if error is not None:
                waiter.set_exception(error)
            else:
                waiter.set_result(recorded[begin:end])


@dataclass(slots=True)
class Submitted:
    """A decided command on its way to the disk."""

    events: list[ev.Event]
    batch: Gathered | None
    """None: nothing new, and what the answer rests on is committed already."""
    begin: int = 0
    """Where the command's own events begin among those of the batch."""

    @property
    def failed(self) -> bool:
        """Whether it is known by now that nothing of it is recorded."""
        return self.batch is not None and self.batch.failed


class Arrivals:
    """Calls from the ledger's thread on their way into the loop, in order: one wake-up for all that wait there."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._lock = Lock()
        self._waiting: deque[Callable[[], None]] = deque()

    def post(self, call: Callable[[], None]) -> None:
        """Have `call` called in the loop. One that fails keeps no other from it."""
        with self._lock:
            self._waiting.append(call)
            first = len(self._waiting) == 1
        if first:
            with suppress(RuntimeError):  # the loop is closed: there is nobody left to tell
                self._loop.call_soon_threadsafe(self._wake)

    def _wake(self) -> None:
        with self._lock:
            calls = list(self._waiting)
            self._waiting.clear()
        for call in calls:
            try:
                call()
            except Exception as error:  # noqa: BLE001 - as in asyncio: the loop goes on, its owner is told
                self._loop.call_exception_handler({"message": f"{call} failed", "exception": error})
