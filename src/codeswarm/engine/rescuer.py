"""The clock's hands: leases that ran out, approvals that nobody gave, retries and `--until` that have become due, and
agents whose time to be back has come.
"""

from __future__ import annotations

import asyncio

from codeswarm.clock import Clock, within
from codeswarm.domain import commands as cmd
from codeswarm.domain.ids import ApprovalId, SessionId
from codeswarm.domain.scheduling import FOR_EVER
from codeswarm.domain.session import AgentKey, Session
from codeswarm.domain.states import FINAL_SESSION, SessionStatus
from codeswarm.domain.until import due_ms
from codeswarm.engine.kernel import Kernel
from codeswarm.engine.leases import LeaseDesk
from codeswarm.engine.room import Room
from codeswarm.errors import Refused
from codeswarm.ledger.base import Recorded

_WAITS_FOR_NO_TIME = FINAL_SESSION | {SessionStatus.SUSPENDED}

LONGEST_S = 30.0
"""It looks at least this often, whatever it has been told."""


class Rescuer:
    def __init__(self, kernel: Kernel, desk: LeaseDesk, clock: Clock, room: Room) -> None:
        self._kernel = kernel
        self._desk = desk
        self._clock = clock
        self._room = room
        self._news: asyncio.Future[None] | None = None
        self._looked_ms, self._looked_s = 0, 0.0
        """When it looked last."""
        self._next_s = 0.0
        """When it looks next."""
        kernel.observe(self._observe)

    def _observe(self, records: list[Recorded]) -> None:
        """Look sooner where something has become due before the next look. Hardly anything that happens does that."""
        if self._news is None or self._news.done():
            return
        changed = [self._kernel.session(id_) for id_ in {record.session: None for record in records}]
        if self._due_s(changed) < self._next_s:
            self._news.set_result(None)

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            self._looked_ms, self._looked_s = self._clock.now_ms(), self._clock.monotonic()
            await self._room.patiently(self.rescue)
            await self._until_due()

    async def _until_due(self) -> None:
        """Wait for the next thing that was not due at the last look. What happens meanwhile only moves that moment."""
        while (pause_s := self._due_s(self._kernel.open_sessions()) - self._clock.monotonic()) > 0:
            self._next_s = self._clock.monotonic() + pause_s
            self._news = asyncio.get_running_loop().create_future()
            await within(self._clock, pause_s, self._news)

    async def rescue(self) -> None:
        """Everything that is due now. No lease is, while its holder can't get through to us for want of room."""
        if self._room.problem is not None:
            self._desk.renew()
        for session, subject, epoch in self._desk.overdue():
            usage = self._desk.meter.usage((session, subject, epoch))
            lose = cmd.LoseLease(subject=subject, epoch=epoch, reason="its worker fell silent", usage=usage)
            await self._try(session, lose)
        for live in self._kernel.open_sessions():
            for approval in self._overdue_approvals(live):
                await self._try(live.id, cmd.ExpireApproval(approval=approval))
            for agent, account in self._back(live):
                await self._try(live.id, cmd.UnparkAgent(agent=agent, account=account))
            if (until_ms := due_ms(live)) is not None and until_ms <= self._clock.now_ms():
                await self._try(live.id, cmd.TimeIsUp())
        self._desk.serve()

    async def _try(self, session: SessionId, command: cmd.Command) -> None:
        try:
            await self._kernel.execute(session, command)
        except Refused:
            return  # it has ended by itself in the meantime

    def _overdue_approvals(self, session: Session) -> list[ApprovalId]:
        now_ms = self._clock.now_ms()
        return [id_ for id_ in session.open_approvals if session.approvals[id_].expires_ms <= now_ms]

    def _back(self, session: Session) -> list[AgentKey]:
        """Parked agents whose time has come."""
        now_ms = self._clock.now_ms()
        return [key for key, parking in session.parked.items() if (parking.until_ms or FOR_EVER) <= now_ms]

    def _due_s(self, sessions: list[Session]) -> float:
        """When the next thing becomes due that was not at the last look, on the monotonic clock.

        What was due then has been dealt with, or waits for somebody (a free worker): looking again would not help it.
        """
        now_ms, now_s = self._clock.now_ms(), self._clock.monotonic()
        due = [
            now_s + (at_ms - now_ms) / 1000
            for session in sessions
            if session.status not in _WAITS_FOR_NO_TIME
            for at_ms in _due_ms(session, self._looked_ms)
        ]
        deadline = self._desk.next_deadline(self._looked_s)
        if deadline is not None:
            due.append(deadline)
        due.append(self._looked_s + LONGEST_S)
        return min(due)


def _due_ms(session: Session, after_ms: int) -> list[int]:
    next_ready = session.ready.next_due_ms(after_ms)
    due = [] if next_ready is None else [next_ready]
    due += [gate.not_before_ms for gate in session.gates.values() if gate.live_epoch is None]
    due += [session.approvals[id_].expires_ms for id_ in session.open_approvals]
    due += [parking.until_ms for parking in session.parked.values() if parking.until_ms is not None]
    if (until_ms := due_ms(session)) is not None:
        due.append(until_ms)
    return [at_ms for at_ms in due if at_ms > after_ms]
