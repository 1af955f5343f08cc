"""The ledger on a disk of virtual time: groups of batches are committed after a moment, or are not.

What is committed stays, whatever happens to the router; what was still on its way is gone with it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from concurrent.futures import Future

from codeswarm.domain.ids import SessionId
from codeswarm.errors import FREE_SOME, LedgerError, LedgerFull
from codeswarm.ledger.base import Batch, Recorded
from codeswarm.ledger.memory import MemoryLedger

COMMIT_S = 0.004
"""How long a commit takes: what is appended within it makes one group."""


class Disk:
    """Room for what is written, until something else has taken it."""

    def __init__(self) -> None:
        self.full = False

    def make_room(self) -> None:
        self.full = False


class SlowLedger(MemoryLedger):
    """The ledger in memory, with commits that take time and may not happen."""

    def __init__(self, loop: asyncio.AbstractEventLoop, disk: Disk) -> None:
        super().__init__()
        self._loop = loop
        self._disk = disk
        self._queue: list[tuple[Batch, Future[list[Recorded]]]] = []
        self._histories: dict[SessionId, list[Recorded]] = {}
        self.before_commit: Callable[[], bool] = lambda: True
        """Asked before each group; False: the router died, and the group with it."""
        self.after_commit: Callable[[list[Recorded]], None] = lambda records: None
        """Told of each group before anybody else is."""

    def append(self, batch: Batch) -> Future[list[Recorded]]:
        future: Future[list[Recorded]] = Future()
        future.set_running_or_notify_cancel()
        if self._failed is not None:
            future.set_exception(self._failed)
            return future
        if not self._queue:
            self._loop.call_later(COMMIT_S, self._commit)
        self._queue.append((batch, future))
        return future

    def _commit(self) -> None:
        if not self._queue or not self.before_commit():
            return
        group, self._queue = self._queue, []
        if self._disk.full:
            self._failed = LedgerFull("the disk is full", "a fault of the history that is played", FREE_SOME)
        done: list[tuple[Future[list[Recorded]], list[Recorded]]] = []
        for batch, future in group:
            try:
                done.append((future, self._take(batch)))
            except LedgerError as error:
                future.set_exception(error)
        self.after_commit([record for _, records in done for record in records])
        for future, records in done:
            future.set_result(records)

    def _write(self, batch: Batch, version: int) -> list[Recorded]:
        recorded = super()._write(batch, version)
        self._histories.setdefault(batch.session, []).extend(recorded)
        return recorded

    def history(self, session: SessionId) -> Iterator[Recorded]:
        """As committed, and not parsed again each time: `parsed` is what is read from the text."""
        return iter(list(self._histories.get(session, ())))

    def parsed(self, session: SessionId) -> Iterator[Recorded]:
        """The events as whoever starts anew reads them."""
        return super().history(session)

    def crash(self, death: Exception) -> None:
        """The router died: nobody listens any more, and what was on its way is gone. Who waits for it gets `death`."""
        lost, self._queue = self._queue, []
        self._listeners.clear()
        self.forgive()
        for _, future in lost:
            future.set_exception(death)
