"""Task branches show a ticket's newest work. It is kept under refs of its own, so they may lag behind.

Moved by the router itself and not by who reports: on a full disk the report counts, its worker goes, and nobody would
come back for the branch.
"""

from __future__ import annotations

import asyncio

from codeswarm.domain import events as ev
from codeswarm.domain.ids import SessionId, TicketId
from codeswarm.engine import refs
from codeswarm.engine.kernel import Kernel
from codeswarm.engine.room import Room
from codeswarm.engine.threads import in_thread
from codeswarm.git.store import Store
from codeswarm.ledger.base import Recorded


class TaskBranches:
    def __init__(self, kernel: Kernel, store: Store, room: Room) -> None:
        self._kernel = kernel
        self._store = store
        self._room = room
        self._news = asyncio.Event()
        self._behind: dict[tuple[SessionId, TicketId], None] = {}
        kernel.observe(self._observe)

    def _observe(self, records: list[Recorded]) -> None:
        for record in records:
            if isinstance(record.event, ev.AttemptSucceeded):
                self._behind[record.session, record.event.ticket] = None
                self._news.set()

    async def run(self) -> None:
        """Until cancelled: each branch to the newest work, as soon as there is some and room for it."""
        while True:
            await self._news.wait()
            self._news.clear()
            await self._room.patiently(self.move)

    async def move(self) -> None:
        """All that lag behind. Idempotent. Raises: GitError; what was not moved still lags."""
        while self._behind:
            (session, ticket), _ = self._behind.popitem()
            try:
                await self._to_newest(session, ticket)
            except BaseException:
                self._behind[session, ticket] = None
                raise

    async def _to_newest(self, session: SessionId, ticket: TicketId) -> None:
        work = self._kernel.session(session).tickets[ticket].work
        if work is not None:
            await in_thread(self._store.set_ref, refs.task(session, ticket), work)
