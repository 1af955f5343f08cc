"""What moves a session's tip, step by step: of all that do, one at a time."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod

from codeswarm.domain.ids import SessionId
from codeswarm.domain.session import Session
from codeswarm.engine.kernel import Kernel
from codeswarm.engine.room import Room
from codeswarm.ledger.base import Recorded


class Mover(ABC):
    def __init__(self, kernel: Kernel, turn: asyncio.Lock, room: Room) -> None:
        """`turn`: shared by all movers, and held for each step."""
        self._kernel = kernel
        self._turn = turn
        self._room = room
        self._news = asyncio.Event()
        self._moved: dict[SessionId, None] = {}
        """Where something has happened since it looked last."""
        kernel.observe(self._observe)

    def _observe(self, records: list[Recorded]) -> None:
        for record in records:
            self._moved[record.session] = None
        self._news.set()

    async def run(self) -> None:
        """Take every session as far as it can go, again after each change. Until cancelled."""
        self._moved = {session.id: None for session in self._kernel.open_sessions()}
        while True:
            self._news.clear()
            moved, self._moved = self._moved, {}
            for id_ in moved:
                while self._concerns(self._kernel.session(id_)) and await self._room.patiently(self.step, id_):
                    pass
            await self._news.wait()

    async def step(self, session_id: SessionId) -> bool:
        """One step of a session. Whether there was one to take."""
        async with self._turn:
            return await self._step(session_id)

    @abstractmethod
    def _concerns(self, session: Session) -> bool:
        """Whether there may be a step to take: most of what happens in a session is no mover's matter."""

    @abstractmethod
    async def _step(self, session_id: SessionId) -> bool: ...
