"""A person takes over the conversation and the workspace of an agent at work, and gives them back.

The lease stays with its worker: it interrupts the agent, lets the person in, and goes on as the person says. One that
has not begun yet is interrupted as soon as it has. Where no agent is at work, see `resting`.
"""

from __future__ import annotations

from codeswarm.domain import commands as cmd, events as ev, resting
from codeswarm.domain.leasing import holder
from codeswarm.domain.rejection import Rejection, known_names, unknown, wrong_state
from codeswarm.domain.session import Session
from codeswarm.domain.states import AttemptStatus, Visit

Decision = list[ev.Event] | Rejection


def attach(session: Session, command: cmd.AttachPerson, now_ms: int) -> Decision:
    """Ask to be let in. Asking again, while nobody has left, changes nothing."""
    ticket = session.tickets.get(command.ticket)
    if ticket is None:
        what = f"there is no ticket {command.ticket!r} in session {session.id}"
        return unknown(what, f"codeswarm ticket list {session.id}", known_names(command.ticket, session.tickets))
    attempt = ticket.live
    if attempt is None:
        return resting.ask(session, ticket, command.by)
    if attempt.status is AttemptStatus.GATING or not attempt.agent:
        what = f"no agent is at work on ticket {ticket.id}: it is at its gate"
        hint = f"codeswarm ticket hold {session.id}/{ticket.id}   # then again"
        return wrong_state(what, hint, "what is judged must not change meanwhile")
    if attempt.visit is not Visit.NONE:
        return []
    return [ev.AttachRequested(ticket=ticket.id, epoch=attempt.epoch, by=command.by)]


def begin(session: Session, command: cmd.BeginVisit, now_ms: int) -> Decision:
    held = holder(session, command.ticket, command.epoch)
    if isinstance(held, Rejection):
        return held
    _, attempt = held
    if attempt.visit is not Visit.ASKED:
        return []
    return [ev.PersonAttached(ticket=command.ticket, epoch=command.epoch, by=attempt.visitor, to=command.to)]


def end(session: Session, command: cmd.EndVisit, now_ms: int) -> Decision:
    held = holder(session, command.ticket, command.epoch)
    if isinstance(held, Rejection):
        return held
    _, attempt = held
    if attempt.visit is Visit.NONE:
        return []
    return [
        ev.PersonDetached(
            ticket=command.ticket, epoch=command.epoch, by=attempt.visitor, how=command.how, note=command.note
        )
    ]
