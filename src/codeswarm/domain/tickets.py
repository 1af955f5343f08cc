"""What a person may do to one ticket: hold, release, retry, cancel."""

from __future__ import annotations

from codeswarm.domain import commands as cmd, events as ev
from codeswarm.domain.ids import TicketId
from codeswarm.domain.landing import bounce_events
from codeswarm.domain.leasing import cancelled
from codeswarm.domain.pipeline import Role
from codeswarm.domain.planning.asking import request
from codeswarm.domain.planning.following import without
from codeswarm.domain.policy import before_landing, void_for
from codeswarm.domain.rejection import Rejection, invalid, known_names, unknown, wrong_state
from codeswarm.domain.session import Session, Ticket
from codeswarm.domain.states import Purpose, TicketStatus

Decision = list[ev.Event] | Rejection


def delegate(session: Session, command: cmd.DelegateTask, now_ms: int) -> Decision:
    """More work in words, through a planner."""
    if not command.text.strip():
        return invalid(
            "the task is empty",
            f"codeswarm delegate --session {session.id} 'what is wanted'",
            "a planner makes tickets of words",
        )
    if not session.settings.agents_for(Role.PLANNER):
        return wrong_state(
            "no agent is set for the role planner",
            f"codeswarm resume {session.id} --agent claude",
            "a planner makes the tickets",
        )
    if session.plan is None or not session.plan.accepted:
        return wrong_state(
            f"session {session.id} has no accepted plan yet", "codeswarm approvals", "more work is added to a plan"
        )
    return [request(session, Purpose.DELEGATION, command.text, command.by)]


def hold(session: Session, command: cmd.HoldTicket, now_ms: int) -> Decision:
    ticket = find(session, command.ticket)
    if isinstance(ticket, Rejection):
        return ticket
    if ticket.status is TicketStatus.FAILED:
        return wrong_state(
            f"ticket {ticket.id} has failed and rests already",
            f"codeswarm ticket retry {session.id}/{ticket.id}",
            "nothing of it is tried again unless you say so",
        )
    if ticket.status in (TicketStatus.COMPLETE, TicketStatus.CANCELLED, TicketStatus.ON_HOLD):
        return _rests(session, ticket)
    reason = command.reason or "held by a person"
    held = ev.TicketHeld(ticket=ticket.id, reason=reason, by=command.by)
    return [*interrupt(session, ticket, f"the ticket was put on hold: {reason}", now_ms), held]


def release(session: Session, command: cmd.ReleaseTicket, now_ms: int) -> Decision:
    """From hold, or from waiting for budget, back to where it stood; a due approval is asked for again."""
    ticket = find(session, command.ticket)
    if isinstance(ticket, Rejection):
        return ticket
    waits_for_budget = ticket.status is TicketStatus.WAITING and ticket.waiting == "budget"
    if ticket.status is not TicketStatus.ON_HOLD and not waits_for_budget:
        what = f"ticket {ticket.id} is {ticket.shown_status}, not on hold"
        return wrong_state(what, way_on(session, ticket), "only what is on hold can be released")
    released = ev.TicketReleased(ticket=ticket.id, by=command.by)
    if not ticket.done_with_phases:
        return [released]
    return [released, *before_landing(session, ticket, ticket.work, ticket.files, now_ms)]


def retry(session: Session, command: cmd.RetryTicket, now_ms: int) -> Decision:
    ticket = find(session, command.ticket)
    if isinstance(ticket, Rejection):
        return ticket
    if ticket.status is not TicketStatus.FAILED:
        what = f"ticket {ticket.id} is {ticket.shown_status}, not failed"
        return wrong_state(what, way_on(session, ticket), "only what has failed can be tried again")
    return [ev.TicketRetried(ticket=ticket.id, by=command.by)]


def cancel(session: Session, command: cmd.CancelTicket, now_ms: int) -> Decision:
    ticket = find(session, command.ticket)
    if isinstance(ticket, Rejection):
        return ticket
    if ticket.status in (TicketStatus.COMPLETE, TicketStatus.CANCELLED):
        return _rests(session, ticket)
    stopped = interrupt(session, ticket, "the ticket was cancelled", now_ms)
    if going_on := without(ticket, f"cancelled by {command.by}"):
        resting = ticket.status in (TicketStatus.ON_HOLD, TicketStatus.WAITING)
        released = [ev.TicketReleased(ticket=ticket.id, by=command.by)] if resting else []
        return [*stopped, *released, *going_on]
    return [*stopped, ev.TicketCancelled(ticket=ticket.id, by=command.by, reason=command.reason)]


def way_on(session: Session, ticket: Ticket) -> str:
    """The command that leads on from a ticket's state, where the one that was typed does not."""
    match ticket.status:
        case TicketStatus.FAILED:
            return f"codeswarm ticket retry {session.id}/{ticket.id}"
        case TicketStatus.ON_HOLD:
            return f"codeswarm ticket release {session.id}/{ticket.id}"
        case TicketStatus.COMPLETE | TicketStatus.CANCELLED:
            more = "more is a new one: codeswarm ticket add"
            return f"codeswarm work {session.id}/{ticket.id}   # what was done on it; {more}"
        case _:
            return f"codeswarm resume {session.id}   # there it is worked on, as soon as it can be"


def interrupt(session: Session, ticket: Ticket, reason: str, now_ms: int) -> list[ev.Event]:
    """Stop whatever is under way for the ticket."""
    events = void_for(session, ticket, reason)
    if ticket.live is not None:
        events.append(cancelled(ticket, ticket.live, reason, now_ms))
    if session.landing is not None and session.landing.ticket == ticket.id:
        events += bounce_events(session, session.landing, "held", reason)
    return events


def _rests(session: Session, ticket: Ticket) -> Rejection:
    why = {
        TicketStatus.COMPLETE: "it has landed: what it changed can only be changed by another ticket",
        TicketStatus.CANCELLED: "nothing of it is worked on any more",
        TicketStatus.ON_HOLD: "nothing of it is worked on until it is released",
    }[ticket.status]
    return wrong_state(f"ticket {ticket.id} is {ticket.status}", way_on(session, ticket), why)


def find(session: Session, id_: TicketId) -> Ticket | Rejection:
    ticket = session.tickets.get(id_)
    if ticket is None:
        return unknown(
            f"there is no ticket {id_!r} in session {session.id}",
            f"codeswarm ticket list {session.id}",
            known_names(id_, session.tickets),
        )
    return ticket
