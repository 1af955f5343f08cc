"""A person takes over a ticket on which no agent is at work: on hold, failed, waiting, or ready and not begun.

Their visit is an attempt as any: leased, under an epoch, its files brought home, its end told. It begins with what the
last one left. Its lease is given whatever stands in the way of an agent (a pause, a cap, a parking), since none starts.
Unless they hand back or complete, the ticket rests again as it did; so it does where their worker dies.
"""

from __future__ import annotations

from codeswarm.domain import commands as cmd, events as ev
from codeswarm.domain.cascade import kind_of
from codeswarm.domain.ids import Commit, TicketId
from codeswarm.domain.pipeline import WRITING_ROLES, Role
from codeswarm.domain.policy import before_landing, void_for
from codeswarm.domain.rejection import Rejection, wrong_state
from codeswarm.domain.results import CHARGED, FailureClass, Report
from codeswarm.domain.session import Attempt, Session, Ticket, Wish
from codeswarm.domain.states import Handover, SessionStatus, TicketStatus, WaitReason

WISH_MS = 60_000
"""So long a person is taken to wait for a worker that lets them in."""
RESTS = frozenset({TicketStatus.READY, TicketStatus.WAITING, TicketStatus.FAILED, TicketStatus.ON_HOLD})


def left_off(ticket: Ticket, role: Role, before: int) -> Attempt | None:
    """Whose files and conversation an attempt with epoch `before` goes on with, where it is a person's.

    The newest one that wrote anything; None where that had another role: then the ticket's work is what there is.
    """
    for attempt in reversed(ticket.attempts.values()):
        begun = attempt.start is not None and not attempt.discarded
        if attempt.epoch < before and begun and attempt.role in WRITING_ROLES:
            return attempt if attempt.role is role else None
    return None


def kept(attempt: Attempt) -> Commit | None:
    """The newest that there is of an attempt's files."""
    return attempt.head or attempt.snapshot


def phase_index(ticket: Ticket) -> int | None:
    """The phase that a person works in: the one it is in, or the last one before it that writes. None: none does."""
    last = min(ticket.phase_index, len(ticket.phases) - 1)
    return next((index for index in range(last, -1, -1) if ticket.phases[index].writes), None)


def ask(session: Session, ticket: Ticket, by: str) -> list[ev.Event] | Rejection:
    """A person wants a ticket at rest. Asking again is no error."""
    if (problem := _closed(session, ticket)) is not None:
        return problem
    return [ev.AttachRequested(ticket=ticket.id, epoch=ticket.epoch + 1, by=by, at_rest=True)]


def _closed(session: Session, ticket: Ticket) -> Rejection | None:
    """Why nobody can take a ticket over that no agent is at work on."""
    name = f"{session.id}/{ticket.id}"
    match ticket.status:
        case TicketStatus.COMPLETE:
            hint = f"codeswarm work {name}   # what was done on it; more is a new one: codeswarm ticket add"
            why = "what it changed can only be changed by another ticket"
            return wrong_state(f"ticket {ticket.id} has landed", hint, why)
        case TicketStatus.CANCELLED:
            why = "nothing of it is worked on any more"
            return wrong_state(f"ticket {ticket.id} is cancelled", f"codeswarm work {name}   # what was done", why)
        case TicketStatus.LANDING:
            why = "its work is on its way through the queue, and must not change there"
            return wrong_state(f"ticket {ticket.id} is landing", f"codeswarm ticket hold {name}   # then again", why)
    if ticket.open_blockers:
        missing = [id_ for id_ in ticket.spec.blocked_by if session.tickets[id_].status is not TicketStatus.COMPLETE]
        what = f"ticket {ticket.id} waits for {', '.join(missing)}"
        hint = f"codeswarm ticket unlink {name} {missing[0]}   # or take that one over"
        return wrong_state(what, hint, "what it builds on is not there yet")
    if SessionStatus.DRAFT in (session.status, session.suspended_from):
        why = "its plan is not accepted, or its base has not been looked at"
        return wrong_state(f"session {session.id} has not begun", f"codeswarm resume {session.id}", why)
    if ticket.planning is not None or phase_index(ticket) is None:
        what = f"there is nothing in ticket {ticket.id} that could be worked on by hand"
        return wrong_state(what, f"codeswarm work {name}", "none of its phases changes files")
    return None


def wishes(session: Session, now_ms: int) -> dict[TicketId, Wish]:
    """Who waits to be let in. Whoever has waited for too long has gone."""
    return {id_: wish for id_, wish in session.visits.items() if now_ms - wish.at_ms <= WISH_MS}


def lease(session: Session, claim: cmd.Claim, now_ms: int) -> list[ev.Event]:
    """The first ticket at rest that somebody waits for, as an attempt of theirs; nothing where nobody does."""
    for id_, wish in wishes(session, now_ms).items():
        ticket = session.tickets[id_]
        rests = ticket.status in RESTS and _closed(session, ticket) is None
        if rests and frozenset(ticket.spec.requires) <= claim.labels:
            voided = void_for(session, ticket, f"{wish.by} has taken the ticket over")
            return [*voided, _leased(session, ticket, claim, wish.by)]
    return []


def _leased(session: Session, ticket: Ticket, claim: cmd.Claim, by: str) -> ev.AttemptLeased:
    index = phase_index(ticket)
    assert index is not None
    phase, epoch = ticket.phases[index], ticket.epoch + 1
    last = left_off(ticket, phase.role, epoch)
    agent = last.agent if last is not None else next(iter(session.settings.agents_for(phase.role)), "")
    return ev.AttemptLeased(
        ticket=ticket.id,
        epoch=epoch,
        phase=phase.name,
        attempt=ticket.tries.get(phase.name, 0) + 1,
        worker=claim.worker,
        agent=agent,
        account=claim.accounts.get(kind_of(agent), ""),
        base=session.tip,
        visitor=by,
    )


# ── the end of it ──


def handed_back(attempt: Attempt, report: Report) -> bool:
    """Whether an agent goes on with what a person has done."""
    return attempt.left is Handover.HAND_BACK and report.work is not None


def judged(attempt: Attempt, class_: FailureClass) -> bool:
    """Whether a person's own attempt failed as an agent's would: they said that it is complete, and it is not."""
    return attempt.left is Handover.COMPLETE and class_ in CHARGED


def rest_again(session: Session, ticket: Ticket, attempt: Attempt, now_ms: int) -> list[ev.Event]:
    """A person's own attempt is over without a word of theirs that counts: the ticket rests as it did before.

    One that waited for an agent is ready: the next claim tells whether there is one by now.
    """
    rested = attempt.rested
    assert rested is not None
    match rested.status:
        case TicketStatus.FAILED:
            return [ev.TicketFailed(ticket=ticket.id, reason=rested.reason)]
        case TicketStatus.ON_HOLD:
            return [ev.TicketHeld(ticket=ticket.id, reason=rested.reason, by=attempt.visitor)]
        case TicketStatus.WAITING if rested.waiting is WaitReason.BUDGET:
            return [ev.TicketWaiting(ticket=ticket.id, reason=WaitReason.BUDGET, detail=rested.detail)]
        case TicketStatus.WAITING if rested.waiting is WaitReason.PERSON:
            return before_landing(session, ticket, ticket.work, ticket.files, now_ms)
    return []
