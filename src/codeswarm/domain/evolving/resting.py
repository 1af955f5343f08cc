"""A ticket that a person takes over while it rests, and how it is put back."""

from __future__ import annotations

from codeswarm.domain import events as ev
from codeswarm.domain.budget import ticket_spent
from codeswarm.domain.evolving.moves import make_ready
from codeswarm.domain.resting import kept, left_off
from codeswarm.domain.session import Attempt, Rested, Session, Spent, Ticket
from codeswarm.domain.states import TicketStatus


def taken_over(session: Session, ticket: Ticket, event: ev.AttemptLeased) -> Rested:
    """Bring it to the phase that the person works in. What has failed gets a new set of tries by that, what is on hold
    a new count of interruptions, as one that is released.
    """
    rested = Rested(
        ticket.status,
        ticket.reason,
        ticket.waiting,
        ticket.waiting_detail,
        ticket.phase_index,
        ticket.advanced,
        ticket.not_before_ms,
    )
    if ticket.status is TicketStatus.FAILED:
        begin_again(ticket)
    if ticket.status is TicketStatus.ON_HOLD:
        ticket.interruptions = 0
    ticket.phase_index = next(i for i, phase in enumerate(ticket.phases) if phase.name == event.phase)
    last = left_off(ticket, ticket.phase.role, event.epoch)
    ticket.advanced = ticket.advanced or (last is not None and kept(last) is not None)
    return rested


def put_back(session: Session, ticket: Ticket, attempt: Attempt, at_ms: int, retry_at_ms: int) -> None:
    """As it was, and no sooner than it was to be; what it rests for is told by the events that follow. An agent may
    look at what was done.
    """
    rested = attempt.rested
    assert rested is not None
    ticket.phase_index, ticket.advanced = rested.phase_index, rested.advanced
    if not attempt.discarded:
        ticket.reference = kept(attempt) or ticket.reference
    make_ready(session, ticket, at_ms, max(retry_at_ms, rested.not_before_ms))


def begin_again(ticket: Ticket) -> None:
    """A new set of tries."""
    ticket.generation += 1
    ticket.failures = ticket.interruptions = 0
    ticket.change_rounds = ticket.bounces = ticket.disputes = 0
    ticket.rungs = {}


def forgive(ticket: Ticket) -> None:
    """A person lets it go on although its cap is reached: the cap counts from here."""
    spent = ticket_spent(ticket)
    ticket.forgiven = Spent(ticket.forgiven.usd + spent.usd, ticket.forgiven.tokens + spent.tokens)
