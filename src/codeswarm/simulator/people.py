"""The persons: they answer, resume, retry and save, and now and then they hold, cancel, pause and stop."""

from __future__ import annotations

from contextlib import suppress

from codeswarm.domain import commands as cmd
from codeswarm.domain.budget import roles_as_much_again
from codeswarm.domain.ids import ApprovalId, Commit, SessionId, TicketId
from codeswarm.domain.session import Parking, Session, Ticket
from codeswarm.domain.states import FINAL_SESSION, SessionStatus, SuspendReason, TicketStatus, WaitReason
from codeswarm.domain.ticket import TicketSpec
from codeswarm.errors import CodeswarmError
from codeswarm.simulator.faults import Fault
from codeswarm.simulator.router import RouterDied
from codeswarm.simulator.worker import World

NAMES = ("ada", "bob", "cyd")
LOOK_S = 45.0
MORE_USD = 3.0
"""What a person adds to a budget that is used up."""
MOST_RETRIES = 2
"""So often a failed ticket is tried again while things go wrong; afterwards once more."""

MENDS = 0.5
FORGETS = 0.05
MOST_HOURS = 1
"""Nobody waits longer than that for a quota: they buy more."""
MOST_SAVES = 3
"""So often a save that is refused is asked for again."""


class People:
    def __init__(self, world: World) -> None:
        self._world = world
        self._looks = 0
        self._asked: dict[tuple[SessionId, Commit], int] = {}
        """How often a save of this tip was asked for."""
        self._late: set[tuple[SessionId, ApprovalId]] = set()
        """Closed questions that were looked at once more."""
        self._ignored: dict[tuple[SessionId, ApprovalId], bool] = {}

    async def run(self) -> None:
        """Look at everything now and then. Until cancelled."""
        while True:
            await self._world.clock.sleep(LOOK_S)
            self._looks += 1
            router = self._world.router
            if router is None:
                continue
            self._mend()
            for session in router.kernel.live_sessions():
                await (self._forget if session.status in FINAL_SESSION else self._look)(session)

    def _mend(self) -> None:
        """Somebody looks after a login that was refused; not always at once."""
        for login in list(self._world.agents.refused):
            if self._world.faults.stopped or self._world.faults.draw("mends", *login, self._looks) < MENDS:
                del self._world.agents.refused[login]

    async def _look(self, session: Session) -> None:
        await self._disturb(session)
        if session.status is SessionStatus.SUSPENDED or any(map(self._is_far, session.parked.values())):
            await self._resume(session)
        for id_ in list(session.open_approvals):
            await self._answer(session, id_)
        for id_ in list(session.approvals):
            if id_ not in session.open_approvals and (session.id, id_) not in self._late:
                await self._answer_late(session, id_)
        for ticket in list(session.tickets.values()):
            await self._tend(session, ticket)
        if session.status is SessionStatus.AWAITING_REVIEW and not session.open_approvals:
            await self._finish(session)

    async def _forget(self, session: Session) -> None:
        """Somebody throws away what the agents of some session said, now that it is over."""
        if not session.forgotten and self._world.faults.draw("forgets", session.id, self._looks) < FORGETS:
            await self._do(session.id, cmd.ForgetTranscripts(by="bob", reason="it is over"))

    async def _do(self, session: SessionId, command: cmd.Command) -> None:
        router = self._world.router
        if router is not None:
            with suppress(CodeswarmError, RouterDied):
                await router.ask(session, command)

    def _strikes(self, fault: Fault, session: Session, *where: object) -> bool:
        return self._world.faults.strikes(fault, self._world.clock.monotonic(), session.id, *where)

    # ── what a person ought to do ──

    async def _resume(self, session: Session) -> None:
        budget = session.settings.budget.usd
        more = budget is not None and session.suspend_reason is SuspendReason.BUDGET
        usd = session.spending.usd + MORE_USD if more else None
        roles = roles_as_much_again(session) if session.suspend_reason is SuspendReason.BUDGET else {}
        buys = any(map(self._is_far, session.parked.values()))
        await self._do(session.id, cmd.ResumeSession(by="ada", budget_usd=usd, role_budgets=roles, unpark=buys))

    def _is_far(self, parking: Parking) -> bool:
        return (parking.until_ms or 0) > self._world.clock.now_ms() + MOST_HOURS * 3_600_000

    async def _answer(self, session: Session, id_: ApprovalId) -> None:
        """Yes; or, where the dice say so, no, or nothing at all until it is too late."""
        key = (session.id, id_)
        if key not in self._ignored:
            self._ignored[key] = self._strikes(Fault.APPROVAL_IGNORED, session, id_)
        if self._ignored[key] and not self._world.faults.stopped:
            return
        approval = session.approvals[id_]
        if not approval.given_by and self._strikes(Fault.APPROVAL_REJECTED, session, id_, self._looks):
            await self._do(session.id, cmd.RejectApproval(approval=id_, by="bob", why="not like this"))
            return
        by = next(name for name in NAMES if name not in approval.given_by)
        await self._do(session.id, cmd.GiveApproval(approval=id_, by=by))

    async def _answer_late(self, session: Session, id_: ApprovalId) -> None:
        """Somebody still has the question open, and answers it when it is closed: that must count for nothing."""
        self._late.add((session.id, id_))
        if self._strikes(Fault.APPROVAL_LATE, session, id_):
            await self._do(session.id, cmd.GiveApproval(approval=id_, by="cyd"))

    async def _tend(self, session: Session, ticket: Ticket) -> None:
        """Let what rests go on, or give it up for good."""
        calm = self._world.faults.stopped
        if ticket.status in _RESTS and self._strikes(Fault.ATTACH, session, ticket.id, self._looks):
            await self._do(session.id, cmd.AttachPerson(ticket=ticket.id, by="cyd"))
        elif ticket.status is TicketStatus.ON_HOLD:
            await self._do(session.id, cmd.ReleaseTicket(ticket=ticket.id, by="ada"))
        elif ticket.status is TicketStatus.FAILED:
            if ticket.generation < MOST_RETRIES + 1 + calm:
                await self._do(session.id, cmd.RetryTicket(ticket=ticket.id, by="ada"))
            elif calm:
                await self._give_up(session, ticket)
        elif ticket.waiting is WaitReason.BUDGET and not calm and not ticket.forgiven.usd:
            await self._do(session.id, cmd.ReleaseTicket(ticket=ticket.id, by="ada"))
        elif ticket.waiting is WaitReason.BUDGET and calm:
            await self._give_up(session, ticket)

    async def _give_up(self, session: Session, ticket: Ticket) -> None:
        await self._do(session.id, cmd.CancelTicket(ticket=ticket.id, by="ada", reason="given up"))

    async def _finish(self, session: Session) -> None:
        """Save what has landed; where nothing has, there is nothing to wait for."""
        if session.landed and session.save is None and session.tip != session.saved_tip:
            asked = self._asked[session.id, session.tip] = self._asked.get((session.id, session.tip), 0) + 1
            if session.review_reason == "full_gate_red" or asked > MOST_SAVES:
                await self._do(session.id, cmd.CancelSession(by="ada", reason="it can't be saved"))
            else:
                await self._do(session.id, cmd.RequestSave(by="ada"))
        elif not session.landed and session.tickets:
            await self._do(session.id, cmd.CancelSession(by="ada", reason="nothing landed"))

    # ── what comes in between ──

    async def _disturb(self, session: Session) -> None:
        look = self._looks
        alive = [t.id for t in session.tickets.values() if t.status not in _DONE]
        if alive:
            some: TicketId = self._world.faults.choose(tuple(alive), "some ticket", session.id, look)
            landing = session.landing.ticket if session.landing is not None else None
            if landing is not None:
                some = landing  # what is just landing is where a word of a person matters most
            if self._strikes(Fault.HOLD, session, look):
                await self._do(session.id, cmd.HoldTicket(ticket=some, by="bob"))
            if self._strikes(Fault.MESSAGE, session, look):
                await self._do(session.id, cmd.SendMessage(by="bob", text="mind the tests", ticket=some))
            if look % 4 == 1 and self._strikes(Fault.ADD_TICKETS, session, look):
                more = TicketSpec(id=TicketId(f"more-{look}"), title="more", blocked_by=(some,), files=("src/1.py",))
                await self._do(session.id, cmd.AddTickets(tickets=(more,), by="bob"))
            if look % 4 == 0 and self._strikes(Fault.CANCEL_TICKET, session, look):
                await self._do(session.id, cmd.CancelTicket(ticket=some, by="bob"))
        if look % 3 == 0 and self._strikes(Fault.PAUSE, session, look):
            await self._do(session.id, cmd.SuspendSession(reason=SuspendReason.PAUSED, by="bob"))
        if look % 6 == 1 and self._strikes(Fault.STOP, session, look):
            await self._do(session.id, cmd.SuspendSession(reason=SuspendReason.STOPPED, by="bob"))
            if self._world.router is not None:
                self._world.router.desk.cancel_all("the session was stopped", session.id)
        if session.landed and self._strikes(Fault.SAVE_ASKED, session, look):
            await self._do(session.id, cmd.RequestSave(by="bob"))
        if look % 20 == 0 and self._strikes(Fault.CANCEL_SESSION, session, look):
            await self._do(session.id, cmd.CancelSession(by="bob", reason="changed my mind"))


_DONE = frozenset({TicketStatus.COMPLETE, TicketStatus.CANCELLED})
_RESTS = frozenset({TicketStatus.ON_HOLD, TicketStatus.FAILED, TicketStatus.WAITING})
