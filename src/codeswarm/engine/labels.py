"""Tickets that nobody here may take: said aloud, instead of waited for in silence."""

from __future__ import annotations

import asyncio

from codeswarm.domain import commands as cmd
from codeswarm.domain.landing import next_to_land
from codeswarm.domain.leasing import ALL_ROLES
from codeswarm.domain.scheduling import FOR_EVER
from codeswarm.domain.session import Session
from codeswarm.domain.states import SessionStatus, SuspendReason
from codeswarm.engine.kernel import Kernel
from codeswarm.engine.room import Room
from codeswarm.engine.workers import WorkerSupervisor
from codeswarm.errors import Refused
from codeswarm.ledger.base import Recorded


class LabelWatch:
    """Suspends a session in which nothing moves and only tickets are left whose labels no worker has."""

    def __init__(self, kernel: Kernel, workers: WorkerSupervisor, room: Room) -> None:
        self._kernel = kernel
        self._room = room
        self._workers = workers
        self._news = asyncio.Event()
        kernel.observe(self._observe)
        workers.observe(self._news.set)

    def _observe(self, records: list[Recorded]) -> None:
        self._news.set()

    async def run(self) -> None:
        """Look again after each change. Until cancelled."""
        while True:
            self._news.clear()
            for session in self._kernel.live_sessions():
                if lacking := self.lacking(session):
                    await self._room.patiently(self._suspend, session, lacking)
            await self._news.wait()

    def lacking(self, session: Session) -> str:
        """What workers would be needed for, as a sentence; empty where something moves, or can."""
        moving = session.in_progress or session.gates or session.landing or session.save or next_to_land(session)
        if session.status is not SessionStatus.ACTIVE or moving or not session.ready or not self._workers.live:
            return ""
        if any(self._has_work(session, process.labels) for process in self._workers.live):
            return ""
        first = session.tickets[next(session.ready.best(FOR_EVER, ALL_ROLES, None))]
        return f"ticket {first.id} requires a worker with {', '.join(sorted(first.spec.requires))}, and none is here"

    @staticmethod
    def _has_work(session: Session, labels: frozenset[str]) -> bool:
        return next(session.ready.best(FOR_EVER, ALL_ROLES, labels), None) is not None

    async def _suspend(self, session: Session, lacking: str) -> None:
        command = cmd.SuspendSession(reason=SuspendReason.MISSING_WORKER, detail=lacking)
        try:
            await self._kernel.execute(session.id, command)
        except Refused:
            return  # it has ended meanwhile
