"""The moves that events make, each checked against the machine in `states`, and the table of handlers."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import TypeVar

from codeswarm.domain.events import Event
from codeswarm.domain.pipeline import Role
from codeswarm.domain.scheduling import score_key
from codeswarm.domain.session import Feedback, Session, Ticket
from codeswarm.domain.states import SESSION_MOVES, TICKET_MOVES, SessionStatus, TicketStatus

E = TypeVar("E", bound=Event)
HANDLERS: dict[type[Event], Callable[[Session, Event, int], None]] = {}


_UNDER_WAY = (TicketStatus.READY, TicketStatus.IN_PROGRESS, TicketStatus.LANDING)
FIRST = -1
"""Before any priority that a person can give: others wait for this ticket."""


class IllegalMove(Exception):
    """An event asks for a move that the state machine does not have."""


def on(kind: type[E]) -> Callable[[Callable[[Session, E, int], None]], Callable[[Session, E, int], None]]:
    """Register the handler of one kind of event."""

    def register(handler: Callable[[Session, E, int], None]) -> Callable[[Session, E, int], None]:
        HANDLERS[kind] = handler  # type: ignore[assignment]
        return handler

    return register


def move_session(session: Session, to: SessionStatus) -> None:
    if to not in SESSION_MOVES[session.status]:
        raise IllegalMove(f"session {session.id}: {session.status} → {to}")
    session.status = to


def move(session: Session, ticket: Ticket, to: TicketStatus) -> None:
    if to not in TICKET_MOVES[ticket.status]:
        raise IllegalMove(f"ticket {ticket.id}: {ticket.status} → {to}")
    id_ = ticket.id
    session.ready.discard(id_)
    session.landing_queue.pop(id_, None)
    session.without_agent.pop(id_, None)
    if to not in _UNDER_WAY:
        session.right_of_way.pop(id_, None)
    if to is TicketStatus.CANCELLED and ticket.planning is None:
        session.withdrawn += 1
    ticket.status = to
    ticket.waiting = None
    ticket.waiting_detail = ""


def make_ready(session: Session, ticket: Ticket, at_ms: int, not_before_ms: int = 0) -> None:
    if ticket.status is TicketStatus.READY:
        session.ready.discard(ticket.id)
    else:
        move(session, ticket, TicketStatus.READY)
    ticket.ready_ms = at_ms
    ticket.not_before_ms = not_before_ms if not_before_ms > at_ms else 0
    enqueue(session, ticket)


def enqueue(session: Session, ticket: Ticket) -> None:
    if ticket.open_blockers == 0 and ticket.id not in session.ready:
        spec = ticket.spec
        deadline_ms = None if spec.deadline is None else int(spec.deadline.timestamp() * 1000)
        priority = FIRST if ticket.id in session.right_of_way else spec.priority
        key = score_key(priority, deadline_ms, ticket.road_s, ticket.ready_ms, ticket.place)
        lane = (ticket.phase.role, frozenset(spec.requires))
        session.ready.add(ticket.id, lane, key, ticket.not_before_ms, known=ticket.epoch > 0)


def release_dependents(session: Session, ticket: Ticket, at_ms: int) -> None:
    """A ticket is done: whoever waited for nothing else is ready now."""
    for name in session.dependents[ticket.id]:
        dependent = session.tickets[name]
        dependent.open_blockers -= 1
        if dependent.status is TicketStatus.READY and dependent.open_blockers == 0:
            dependent.ready_ms = at_ms
            enqueue(session, dependent)


def enter_phase(ticket: Ticket, index: int) -> None:
    ticket.phase_index = index
    ticket.failures = 0
    ticket.interruptions = 0
    ticket.bursts = ()
    ticket.passed_over = ""
    ticket.reference = None
    ticket.advanced = False
    ticket.conversation_epoch = None


def send_back(session: Session, ticket: Ticket, feedback: Feedback, at_ms: int, role: Role = Role.IMPLEMENTER) -> None:
    index = next((i for i, phase in enumerate(ticket.phases) if phase.role is role), 0)
    enter_phase(ticket, index)
    ticket.feedback = [feedback]
    make_ready(session, ticket, at_ms)


def count_restart(session: Session, what: str, at_ms: int) -> None:
    window_ms = int(session.settings.bounds.restart_window_s * 1000)
    recent = (moment for moment in session.restarts if at_ms - window_ms < moment <= at_ms)
    session.restarts = deque((*recent, at_ms))
    session.last_restart = what
