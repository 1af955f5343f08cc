"""Task branches show a ticket's newest work. It is kept under refs of its own, so they may lag behind.

Where one can't be moved for want of room, the report that brought the work counts all the same, and its worker goes:
so it is the router that comes back for it.
"""

from __future__ import annotations

import asyncio

from codeswarm.domain import commands as cmd
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
        self._turn = asyncio.Lock()
        self._behind: dict[tuple[SessionId, TicketId], None] = {}

    async def show(self, session: SessionId, ticket: TicketId) -> None:
        """Move the branch of a ticket that has new work; where it can't be moved, `run` comes back for it."""
        self._behind[session, ticket] = None
        try:
            await self.move()
        except GitError:
            self._left.set()

    async def run(self) -> None:
        """Until cancelled: come back for what could not be moved for want of room. What anything else hinders is told,
        and waits for the next one, or for the next start: nothing depends on what a branch shows.
        """
        while True:
            await self._left.wait()
            self._left.clear()
            try:
                await self._room.patiently(self.move)
            except GitError as error:
                await self._room.patiently(self._tell, error)

    async def _tell(self, error: GitError) -> None:
        for session, ticket in list(self._behind):
            what = f"its branch {refs.task(session, ticket)} was not moved to its newest work: {error}"
            note = cmd.Note(subject="branch", what=what, next_step="codeswarm ledger verify", ticket=ticket)
            await self._kernel.execute(session, note)

    async def move(self) -> None:
        """All that lag behind, one at a time. Idempotent. Raises: GitError, once those are moved that can be."""
        hindered: GitError | None = None
        async with self._turn:
            for lagging in list(self._behind):
                try:
                    await self._to_newest(*lagging)
                except GitError as error:
                    hindered = error
        if hindered is not None:
            raise hindered

    async def _to_newest(self, session: SessionId, ticket: TicketId) -> None:
        work = self._kernel.session(session).tickets[ticket].work
        if work is not None:
            await in_thread(self._store.set_ref, refs.task(session, ticket), work)
        if self._kernel.session(session).tickets[ticket].work == work:  # else there is newer work by now
            del self._behind[session, ticket]
