"""Task branches show a ticket's newest work. It is kept under refs of its own, so they may lag behind.

Where one can't be moved for want of room, the report that brought the work counts all the same, and its worker goes:
so it is the router that comes back for it.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress

from codeswarm.domain.ids import SessionId, TicketId
from codeswarm.engine import refs
from codeswarm.engine.kernel import Kernel
from codeswarm.engine.room import Room
from codeswarm.engine.threads import in_thread
from codeswarm.errors import GitError
from codeswarm.git.store import Store


class TaskBranches:
    def __init__(self, kernel: Kernel, store: Store, room: Room) -> None:
        self._kernel = kernel
        self._store = store
        self._room = room
        self._left = asyncio.Event()
        self._behind: dict[tuple[SessionId, TicketId], None] = {}

    async def show(self, session: SessionId, ticket: TicketId) -> None:
        """Move the branch of a ticket that has new work. Raises: GitError; it is tried again once there is room."""
        self._behind[session, ticket] = None
        try:
            await self.move()
        except GitError:
            self._left.set()
            raise

    async def run(self) -> None:
        """Until cancelled: come back for what could not be moved for want of room. What anything else hinders waits for
        the next one, or for the next start: nothing depends on what a branch shows.
        """
        while True:
            await self._left.wait()
            self._left.clear()
            with suppress(GitError):
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
