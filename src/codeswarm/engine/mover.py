"""What moves a session's tip, step by step: of all that do, one at a time."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod

from codeswarm.domain.ids import SessionId
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
        kernel.observe(self._observe)

    def _observe(self, records: list[Recorded]) -> None:
        self._news.set()

    async def run(self) -> None:
        """Take every session as far as it can go, again after each change. Until cancelled."""
        while True:
            self._news.clear()
            for session in self._kernel.open_sessions():
                while await self._room.patiently(self.step, session.id):
                    pass
            await self._news.wait()

    async def step(self, session_id: SessionId) -> bool:
        """One step of a session. Whether there was one to take."""
        async with self._turn:
            return await self._step(session_id)

    @abstractmethod
    async def _step(self, session_id: SessionId) -> bool: ...
