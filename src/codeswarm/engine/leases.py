"""The lease desk: who waits for work, who is still alive, and what a lease's holder is told.

Deadlines live here, in memory, on a clock that stands still while the machine sleeps. They are not facts: after a
restart every live lease gets one full term. The desk asks the kernel for leases; it never makes one.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from contextlib import suppress
from dataclasses import dataclass, field
from math import inf

from codeswarm.clock import Clock, within
from codeswarm.domain import commands as cmd, events as ev
from codeswarm.domain.ids import SessionId, Subject, TicketId, WorkerId, is_gate
from codeswarm.domain.prices import Prices
from codeswarm.domain.rejection import Rejection, stale
from codeswarm.domain.resting import wishes
from codeswarm.domain.results import Usage, UsageWindow
from codeswarm.domain.session import Message, Session
from codeswarm.domain.states import Visit
from codeswarm.engine.gathering import Submitted
from codeswarm.engine.kernel import Kernel
from codeswarm.engine.meter import Key, Meter
from codeswarm.errors import Refused
from codeswarm.ledger.base import Recorded
from codeswarm.protocol import AgentOut, VitalSign

NO_PRICES = Prices()
TO_THE_END_S = 120.0
"""What a worker may take beyond the turn in which its agent hands back: to hear of it, and to bring its files home."""
_Submission = tuple[SessionId, Submitted]


@dataclass(frozen=True, slots=True)
class HandBack:
    """One more turn for an agent that came to a cap, and its bounds."""

    why: str
    seconds: float
    tokens: int


@dataclass(slots=True)
class Held:
    """A live lease as the desk sees it."""

    worker: WorkerId
    ttl_s: float
    deadline: float
    cancel: str | None = None
    """Why its holder must end it now."""
    hand_back: HandBack | None = None
    """That its agent must hand back, and what it may take for that."""
    hand_back_by: float = inf
    """A holder that has not ended by then must end at once."""
    news: asyncio.Event = field(default_factory=asyncio.Event)
    vital: VitalSign | None = None
    """What its agent was at, by its holder's last word of that; `heard` says when that was."""
    heard: float = 0.0


@dataclass(frozen=True, slots=True)
class Leased:
    """The answer to a claim."""

    session: SessionId
    subject: Subject
    epoch: int


@dataclass(frozen=True, slots=True)
class Pulse:
    """The answer to a heartbeat."""

    cancel: str | None
    messages: tuple[Message, ...]
    hand_back: HandBack | None = None
    attach: str = ""
    """Who wants to take the attempt over."""


@dataclass(slots=True, eq=False)
class _Waiter:
    claim: cmd.Claim
    answer: asyncio.Future[_Submission]


class LeaseDesk:
    def __init__(self, kernel: Kernel, clock: Clock, prices: Prices = NO_PRICES) -> None:
        self.meter = Meter(kernel, prices)
        self._kernel = kernel
        self._clock = clock
        self._held: dict[Key, Held] = {}
        self._waiters: list[_Waiter] = []
        self._served: SessionId | None = None
        """Who was given a lease last."""
        kernel.observe(self._observe)

    def start(self) -> None:
        """Give every live lease of a restarted ledger one full term."""
        for session in self._kernel.live_sessions():
            for id_ in session.in_progress:
                ticket = session.tickets[id_]
                if ticket.live is not None:
                    self._hold(session, id_, ticket.epoch, ticket.live.worker)
                    if ticket.live.breach is not None:
                        self._tell_to_hand_back(session, id_, ticket.epoch, ticket.live.breach.detail)
            for gate in session.gates.values():
                if gate.live_epoch is not None and gate.worker is not None:
                    self._hold(session, gate.id, gate.live_epoch, gate.worker)

    # ── claims ──

    async def claim(self, claim: cmd.Claim, wait_s: float) -> Leased | None:
        """The best lease that this worker can have, waiting up to `wait_s` for one. First come, first served."""
        self.serve()
        submission = self._submit(claim, self._in_turn())
        if submission is None and wait_s > 0:
            submission = await self._wait(claim, wait_s)
        if submission is None:
            return None
        try:
            await self._kernel.durable(submission[1])
        except asyncio.CancelledError:
            self._take_back(submission, claim.worker)
            raise
        return _leased(*submission)

    async def _wait(self, claim: cmd.Claim, wait_s: float) -> _Submission | None:
        waiter = _Waiter(claim, asyncio.get_running_loop().create_future())
        self._waiters.append(waiter)
        try:
            await within(self._clock, wait_s, waiter.answer)
        except asyncio.CancelledError:
            if waiter.answer.done():
                self._take_back(waiter.answer.result(), claim.worker)
            raise
        finally:
            if waiter in self._waiters:
                self._waiters.remove(waiter)
        return waiter.answer.result() if waiter.answer.done() else None

    def _take_back(self, submission: _Submission, worker: WorkerId) -> None:
        """The claimant went away before it was told. Where the commit failed, there never was a lease."""
        if not submission[1].failed:
            self.give_back(_leased(*submission), f"{worker} went away")

    def give_back(self, leased: Leased, reason: str) -> None:
        """Release a lease whose holder never heard of it."""
        command = cmd.ReleaseLease(subject=leased.subject, epoch=leased.epoch, reason=reason)
        with suppress(Refused):  # it has ended meanwhile
            self._kernel.submit(leased.session, command)

    def serve(self, changed: Collection[SessionId] | None = None) -> None:
        """Serve waiters, oldest first, as far as there is work. Called on every change and when time makes work due.

        `changed`: where there may be work now; in all other sessions there was none for those who wait.
        """
        if not self._waiters:
            return
        sessions = self._in_turn(changed)
        nothing_for: set[tuple[object, ...]] = set()
        for waiter in list(self._waiters):
            claim = waiter.claim
            kind = (claim.visits, claim.roles, claim.labels, claim.agents, *claim.accounts.items())
            if kind in nothing_for:
                continue
            submission = self._submit(claim, sessions)
            if submission is None:
                nothing_for.add(kind)
                continue
            self._waiters.remove(waiter)
            waiter.answer.set_result(submission)
            sessions = self._in_turn(changed)

    def _in_turn(self, changed: Collection[SessionId] | None = None) -> list[Session]:
        """Open sessions, first the one whose turn it is, so that none starves another; of them those in `changed`."""
        sessions = self._kernel.open_sessions()
        first = next((place + 1 for place, session in enumerate(sessions) if session.id == self._served), 0)
        in_turn = sessions[first:] + sessions[:first]
        return in_turn if changed is None else [session for session in in_turn if session.id in changed]

    def _submit(self, claim: cmd.Claim, sessions: list[Session]) -> _Submission | None:
        """Ask the sessions one after the other."""
        for session in sessions:
            if not self._may_have(session, claim):
                continue  # the common case, seen before anything is decided
            try:
                submitted = self._kernel.submit(session.id, self._in_session(claim, session.id))
            except Refused:
                continue
            if any(isinstance(event, ev.AttemptLeased | ev.GateLeased) for event in submitted.events):
                self._served = session.id
                return session.id, submitted
        return None

    def _may_have(self, session: Session, claim: cmd.Claim) -> bool:
        if claim.visits:
            return bool(wishes(session, self._clock.now_ms()))
        return bool(session.ready or session.gates or session.without_agent)

    def _in_session(self, claim: cmd.Claim, session: SessionId) -> cmd.Claim:
        overdrawn = self.meter.overdrawn(session)
        return claim.model_copy(update={"overdrawn": overdrawn}) if overdrawn else claim

    # ── live leases ──

    async def heartbeat(
        self,
        session: SessionId,
        subject: Subject,
        epoch: int,
        seen: int,
        wait_s: float,
        *,
        usage: Usage | None = None,
        windows: tuple[UsageWindow, ...] = (),
        handing_back: bool = False,
        attending: bool = False,
        vital: VitalSign | None = None,
    ) -> Pulse:
        """Renew a lease and wait up to `wait_s` for something to tell its holder: a cancellation, a message, a cap.

        `usage`: the newest figures of the attempt's conversation. `handing_back`: its agent was told to.
        `attending`: it lets a person in, or has.
        Raises: Refused (stale) where the lease is over.
        """
        held = self._held.get((session, subject, epoch))
        if held is None:
            raise Refused(_over(session, subject, epoch))
        held.heard = self._clock.monotonic()
        held.deadline, held.vital = held.heard + held.ttl_s, vital or held.vital
        if usage is not None and not is_gate(subject):
            self.meter.tell((session, subject, epoch), usage)
        if windows and not is_gate(subject):
            self.meter.tell_windows((session, subject, epoch), windows)
        known = {"handing_back": handing_back, "attending": attending}
        pulse = self._pulse(session, subject, held, seen, **known)
        if wait_s <= 0 or pulse.cancel or pulse.messages or pulse.hand_back or pulse.attach:
            return pulse
        held.news.clear()
        news = asyncio.ensure_future(held.news.wait())
        try:
            await within(self._clock, wait_s, news)
        finally:
            news.cancel()
        if (session, subject, epoch) not in self._held:
            raise Refused(_over(session, subject, epoch))
        return self._pulse(session, subject, held, seen, **known)

    def _pulse(
        self, session_id: SessionId, subject: Subject, held: Held, seen: int, *, handing_back: bool, attending: bool
    ) -> Pulse:
        if held.cancel is None and held.hand_back_by <= self._clock.monotonic():
            held.cancel = "it did not hand back in time after it came to a cap"
        if is_gate(subject):
            return Pulse(held.cancel, ())
        session = self._kernel.session(session_id)
        messages = tuple(message for message in session.messages[seen:] if message.ticket in (None, subject))
        live = session.tickets[TicketId(subject)].live
        wanted = live is not None and live.visit is Visit.ASKED and not attending
        attach = live.visitor if live is not None and wanted else ""
        return Pulse(held.cancel, messages, None if handing_back else held.hand_back, attach)

    def cancel_all(self, reason: str, session: SessionId | None = None) -> int:
        """Tell every holder to end now. Returns how many leases are live."""
        chosen = [held for key, held in self._held.items() if session in (None, key[0])]
        for held in chosen:
            held.cancel = reason
            held.news.set()
        return len(chosen)

    def of_worker(self, worker: WorkerId) -> list[Key]:
        return [key for key, held in self._held.items() if held.worker == worker]

    def worker_of(self, key: Key) -> WorkerId:
        return self._held[key].worker

    def live(self, session: SessionId | None = None) -> list[Key]:
        return [key for key in self._held if session in (None, key[0])]

    def agents(self, session: SessionId | None = None) -> list[AgentOut]:
        """What every agent is at, as far as their workers have told."""
        now = self._clock.monotonic()
        return [
            AgentOut(
                session=key[0],
                ticket=key[1],
                epoch=key[2],
                worker=held.worker,
                vital=held.vital.model_copy(update={"for_s": held.vital.for_s + now - held.heard}),
                heard_s=now - held.heard,
                silent=now - held.heard > held.ttl_s / 2,
                **self.meter.own(key),
            )
            for key, held in self._held.items()
            if held.vital is not None and session in (None, key[0])
        ]

    def renew(self) -> None:
        """Give every lease a full term from now."""
        now = self._clock.monotonic()
        for held in self._held.values():
            held.deadline = now + held.ttl_s

    def overdue(self) -> list[Key]:
        """Leases whose holder has been silent for a whole term."""
        now = self._clock.monotonic()
        return [key for key, held in self._held.items() if held.deadline <= now]

    def next_deadline(self, after: float) -> float | None:
        """The first deadline later than a moment of the monotonic clock."""
        return min((held.deadline for held in self._held.values() if held.deadline > after), default=None)

    # ── what was committed ──

    def _observe(self, records: list[Recorded]) -> None:
        for record in records:
            self._note(record)
        self.serve({record.session for record in records})

    def _note(self, record: Recorded) -> None:
        event = record.event
        match event:
            case ev.AttemptLeased():
                self._hold(self._kernel.session(record.session), event.ticket, event.epoch, event.worker)
            case ev.GateLeased():
                self._hold(self._kernel.session(record.session), event.gate, event.epoch, event.worker)
            case ev.BudgetBreached():
                in_session = self._kernel.session(record.session)
                self._tell_to_hand_back(in_session, event.ticket, event.epoch, event.detail)
            case ev.AttachRequested():
                if (asked := self._held.get((record.session, event.ticket, event.epoch))) is not None:
                    asked.news.set()
            case ev.MessageSent():
                for (session, subject, _), held in self._held.items():
                    if session == record.session and event.ticket in (None, subject):
                        held.news.set()
            case _ if isinstance(event, _ENDS):
                over = getattr(event, "ticket", None) or getattr(event, "gate", None)
                self._let_go([key for key in self._held if key[:2] == (record.session, over)])
            case ev.SessionCancelled() | ev.SessionFinalized() | ev.LandingBounced():
                self._drop_closed_gates(record.session)

    def _drop_closed_gates(self, session_id: SessionId) -> None:
        gates = self._kernel.session(session_id).gates
        self._let_go([key for key in self._held if key[0] == session_id and is_gate(key[1]) and key[1] not in gates])

    def _hold(self, session: Session, subject: Subject, epoch: int, worker: WorkerId) -> None:
        ttl_s = session.settings.leasing.lease_ttl_s
        self._held[session.id, subject, epoch] = Held(worker, ttl_s, self._clock.monotonic() + ttl_s)

    def _tell_to_hand_back(self, session: Session, subject: Subject, epoch: int, why: str) -> None:
        budget, held = session.settings.budget, self._held.get((session.id, subject, epoch))
        if held is not None and held.hand_back is None:
            held.hand_back = HandBack(why, budget.hand_back_s, budget.hand_back_tokens)
            held.hand_back_by = self._clock.monotonic() + budget.hand_back_s + TO_THE_END_S
            held.news.set()

    def _let_go(self, keys: list[Key]) -> None:
        for key in keys:
            self._held.pop(key).news.set()
            self.meter.forget(key)


_ENDS = (
    ev.AttemptSucceeded,
    ev.AttemptFailed,
    ev.AttemptTimedOut,
    ev.AttemptLost,
    ev.AttemptCancelled,
    ev.GateFinished,
    ev.GateLost,
    ev.GateAbandoned,
)


def _leased(session: SessionId, submitted: Submitted) -> Leased:
    for event in submitted.events:
        if isinstance(event, ev.AttemptLeased):
            return Leased(session, event.ticket, event.epoch)
        if isinstance(event, ev.GateLeased):
            return Leased(session, event.gate, event.epoch)
    raise LookupError("a claim was submitted without a lease")


def _over(session: SessionId, subject: Subject, epoch: int) -> Rejection:
    what = f"the lease {session}:{subject}:{epoch} is over"
    return stale(what, f"codeswarm timeline {session}", "it ran out, was taken back, or its attempt has ended")
