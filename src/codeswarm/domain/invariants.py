"""What must hold after any history. Random histories are held against these, and `ledger verify` checks them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from codeswarm.domain import events as ev
from codeswarm.domain.ids import Commit, TicketId, Tree
from codeswarm.domain.session import Session, Ticket
from codeswarm.domain.states import FINAL_SESSION, SessionStatus, TicketStatus, WaitReason

T = TicketStatus


def broken(session: Session) -> list[str]:
    """Every invariant of the state that does not hold, as a sentence; empty where all is well."""
    problems = [problem for ticket in session.tickets.values() for problem in _ticket(session, ticket)]
    return problems + list(_graph(session)) + list(_counts(session)) + list(_session(session))


def broken_after(session: Session, events: Iterable[ev.Event]) -> list[str]:
    """What `broken` would find, where it held before `events`: only what they can have changed is looked at."""
    touched: dict[TicketId, None] = {}
    for event in events:
        if isinstance(event, ev.PlanAccepted | ev.TicketsAdded | ev.TicketEdited):
            return broken(session)
        if (ticket := getattr(event, "ticket", None)) is not None:
            touched[ticket] = None
            if isinstance(event, ev.TicketLanded):
                touched.update(dict.fromkeys(session.dependents[ticket]))
    tickets = [session.tickets[id_] for id_ in touched if id_ in session.tickets]
    return [problem for ticket in tickets for problem in _ticket(session, ticket)] + list(_session(session))


def _ticket(session: Session, ticket: Ticket) -> Iterator[str]:
    name = f"ticket {ticket.id}"
    live = [attempt.epoch for attempt in ticket.attempts.values() if attempt.live]
    if len(live) > 1:
        yield f"{name} has {len(live)} live leases: {live}"
    if (live[0] if live else None) != ticket.live_epoch:
        yield f"{name} says its live epoch is {ticket.live_epoch}, but live are {live}"
    if (ticket.id in session.in_progress) != bool(live):
        yield f"{name} is counted in progress wrongly"
    if (ticket.status is T.IN_PROGRESS) != bool(live):
        yield f"{name} is {ticket.status} with live leases {live}"
    if ticket.attempts and max(ticket.attempts) != ticket.epoch:
        yield f"{name} has epoch {ticket.epoch} but attempts up to {max(ticket.attempts)}"
    open_blockers = sum(session.tickets[b].status is not T.COMPLETE for b in set(ticket.spec.blocked_by))
    if ticket.open_blockers != open_blockers:
        yield f"{name} counts {ticket.open_blockers} open blockers, but {open_blockers} are open"
    if live and open_blockers:
        yield f"{name} is worked on while a blocker is open"
    claimable = ticket.status is T.READY and open_blockers == 0
    if (ticket.id in session.ready) != claimable:
        is_not = "is not" if claimable else "is"
        yield f"{name} is {ticket.shown_status} but {is_not} in the ready queue"
    if (ticket.id in session.without_agent) != (ticket.status is T.WAITING and ticket.waiting is WaitReason.QUOTA):
        yield f"{name} is {ticket.status}, but counted otherwise among those that wait for an agent"
    if ticket.planning is None and (ticket.status is T.COMPLETE) != (ticket.id in session.landed):
        yield f"{name} is {ticket.status}, which disagrees with the list of what landed"
    yield from _bounds(session, ticket)


def _graph(session: Session) -> Iterator[str]:
    """What is kept of the graph, ticket by ticket. Waves that grow along every edge show that there is no cycle."""
    tickets, default_s = session.tickets, session.settings.default_estimate_s
    edges = {(blocker, id_) for id_, ticket in tickets.items() for blocker in ticket.spec.blocked_by}
    known = [(id_, dependent) for id_, ids in session.dependents.items() for dependent in ids]
    if len(known) != len(edges) or set(known) != edges:
        yield f"{edges} are the edges of the plan, but {known} are known"
        return
    for place, (id_, ticket) in enumerate(tickets.items()):
        if ticket.place != place:
            yield f"ticket {id_} says that it stands at place {ticket.place}, but it is at {place}"
        wave = max((tickets[blocker].wave + 1 for blocker in ticket.spec.blocked_by), default=0)
        if ticket.wave != wave:
            yield f"ticket {id_} is counted to wave {ticket.wave}, but belongs to wave {wave}"
        behind = max((tickets[dependent].road_s for dependent in session.dependents[id_]), default=0.0)
        road_s = (ticket.spec.estimate_s or default_s) + behind
        if ticket.road_s != road_s:
            yield f"ticket {id_} says that {ticket.road_s} s lie before it, but they are {road_s}"


def _bounds(session: Session, ticket: Ticket) -> Iterator[str]:
    if ticket.status in (T.ON_HOLD, T.CANCELLED):
        return
    bounds = session.settings.bounds
    for what, count, bound in (
        ("failures", ticket.failures, bounds.max_attempts),
        ("interruptions", ticket.interruptions, bounds.max_interruptions),
        ("bounces", ticket.bounces, bounds.max_bounces),
        ("disputes", ticket.disputes, bounds.max_disputes),
    ):
        if count > bound:
            yield f"ticket {ticket.id} has {count} {what}, beyond the bound of {bound}"


def _counts(session: Session) -> Iterator[str]:
    withdrawn = sum(ticket.status is T.CANCELLED and ticket.planning is None for ticket in session.tickets.values())
    if session.withdrawn != withdrawn:
        yield f"{session.withdrawn} tickets are counted as cancelled, but {withdrawn} are"


def _session(session: Session) -> Iterator[str]:
    if len(set(session.landed)) != len(session.landed):
        yield f"a ticket is counted as landed twice: {session.landed}"
    landing = session.landing
    if landing is not None and landing.old != session.tip:
        yield f"landing {landing.number} stands on {landing.old}, but the tip is {session.tip}"
    if landing is not None and landing.ticket and session.tickets[landing.ticket].status is not T.LANDING:
        yield f"landing {landing.number} is of ticket {landing.ticket}, which does not land"
    for id_ in session.landing_queue:
        if session.tickets[id_].status is not T.LANDING:
            yield f"ticket {id_} queues for a landing but is {session.tickets[id_].status}"
    for id_ in session.right_of_way:
        if session.tickets[id_].status not in (T.READY, T.IN_PROGRESS, T.LANDING):
            yield f"ticket {id_} has the right of way but is {session.tickets[id_].status}"
    yield from _approvals(session)
    yield from _spending(session)
    if session.status in FINAL_SESSION and (session.in_progress or session.gates or session.landing):
        yield f"session {session.id} is {session.status} but something is still under way"
    if session.status is SessionStatus.AWAITING_REVIEW and session.in_progress:
        yield f"session {session.id} awaits a review while agents work"


def _agents(session: Session) -> Iterator[str]:
    if session.without_agent and not session.parked:
        yield f"{', '.join(session.without_agent)} wait for an agent, but none is parked"


def _approvals(session: Session) -> Iterator[str]:
    for approval in session.approvals.values():
        if (approval.state == "open") != (approval.id in session.open_approvals):
            yield f"approval {approval.id} is {approval.state} but counted otherwise"
        if approval.used and approval.state == "open":
            yield f"approval {approval.id} was told to an agent before it was answered"
        if len(set(approval.given_by)) != len(approval.given_by):
            yield f"approval {approval.id} counts one person twice"
    yield from _agents(session)


def _spending(session: Session) -> Iterator[str]:
    live = [ticket.live for ticket in session.tickets.values() if ticket.live is not None]
    usd = sum(attempt.reserved_usd for attempt in live)
    tokens = sum(attempt.reserved_tokens for attempt in live)
    spending = session.spending
    if abs(spending.reserved_usd - usd) > 1e-6 or spending.reserved_tokens != tokens:
        found = f"{spending.reserved_usd} USD and {spending.reserved_tokens} tokens"
        yield f"{found} are set aside, but live attempts reserved {usd} and {tokens}"


class Audit:
    """What must hold of a history, event by event: fed in order, it collects what is wrong."""

    def __init__(self) -> None:
        self.problems: list[str] = []
        self._tip: Commit | None = None
        self._leases: set[tuple[str, int]] = set()
        self._landed: set[TicketId] = set()
        self._receipts: dict[str, Tree] = {}
        self._over = False

    def see(self, event: ev.Event) -> None:
        if self._over and not isinstance(
            event,
            ev.LateResultKept
            | ev.WorkSalvaged
            | ev.CommitsKept
            | ev.Noted
            | ev.CommandRejected
            | ev.TranscriptsForgotten,
        ):
            self.problems.append(f"{event.kind} after the session was over")
        match event:
            case ev.SessionStarted():
                self._tip = event.base
            case ev.AttemptLeased():
                self._lease(event.ticket, event.epoch)
            case ev.GateLeased():
                self._lease(event.gate, event.epoch)
            case ev.GateFinished() | ev.ReceiptsRecorded():
                self._receipts |= {receipt.id: receipt.tree for receipt in event.receipts if receipt.passes}
            case ev.TicketLanded():
                self._land(event)
            case ev.CaughtUp():
                self._move_tip(event)
            case ev.SaveIntended() if event.new != self._tip:
                self.problems.append(f"a save of {event.new} was intended, but the tip is {self._tip}")
            case ev.SessionFinalized() | ev.SessionCancelled():
                self._over = True

    def _lease(self, subject: str, epoch: int) -> None:
        if (subject, epoch) in self._leases:
            self.problems.append(f"{subject} was leased twice at epoch {epoch}")
        self._leases.add((subject, epoch))

    def _land(self, event: ev.TicketLanded) -> None:
        if event.ticket in self._landed:
            self.problems.append(f"ticket {event.ticket} landed twice")
        self._landed.add(event.ticket)
        self._move_tip(event)

    def _move_tip(self, event: ev.TicketLanded | ev.CaughtUp) -> None:
        if event.old != self._tip:
            self.problems.append(f"{event.kind} {event.landing} moves {event.old}, but the tip was {self._tip}")
        self._tip = event.new
        if not event.receipts:
            self.problems.append(f"{event.kind} {event.landing} has no receipt")
        for receipt in event.receipts:
            if self._receipts.get(receipt) != event.tree:
                self.problems.append(f"{event.kind} {event.landing} names receipt {receipt}, which is not for its tree")


def audit(events: Iterable[ev.Event]) -> list[str]:
    """Everything wrong with a whole history of one session."""
    auditor = Audit()
    for event in events:
        auditor.see(event)
    return auditor.problems
