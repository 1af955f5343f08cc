"""Tickets on top of a plan that is being built."""

from __future__ import annotations

from collections.abc import Sequence

from codeswarm.domain import commands as cmd, events as ev
from codeswarm.domain.ids import TicketId
from codeswarm.domain.plan import Problem, problems_of
from codeswarm.domain.planning.agreements import agreements
from codeswarm.domain.planning.steps import standing
from codeswarm.domain.rejection import Rejection, invalid, wrong_state
from codeswarm.domain.session import Session
from codeswarm.domain.states import Purpose, TicketStatus
from codeswarm.domain.ticket import TicketSpec

Decision = list[ev.Event] | Rejection

MOST_TOLD = 20
"""Problems in the reason of one refusal."""


def add(session: Session, command: cmd.AddTickets, now_ms: int) -> Decision:
    """All of the tickets, or none. Blockers that have landed already are taken as done."""
    if session.plan is None or not session.plan.accepted:
        return wrong_state(
            f"the plan of session {session.id} is not accepted yet",
            "codeswarm approvals",
            "tickets are added to a plan that is",
        )
    if problems := problems_with(session, command.tickets):
        return refused(session, problems)
    kept = [ev.SourceKept(source=source) for source in command.kept]
    added = ev.TicketsAdded(tickets=command.tickets, by=command.by)
    return [*kept, added, *agreements(session, command.tickets)]


def problems_with(session: Session, tickets: Sequence[TicketSpec]) -> list[Problem]:
    """All that is wrong with tickets that are to come on top of a session's; empty where nothing is."""
    problems = problems_of(tickets, session.settings.pipelines, standing(session))
    return problems + [problem for spec in tickets for problem in dead_blockers(session, spec)]


def dead_blockers(session: Session, spec: TicketSpec) -> list[Problem]:
    """What nobody can wait for: a cancelled ticket never lands, and a planner's work lands nothing."""
    return [
        Problem(where=f"ticket {spec.id!r}.blocked_by", what=f"names {blocker!r}, {why}")
        for blocker in dict.fromkeys(spec.blocked_by)
        if (why := _dead(session, blocker)) is not None
    ]


def _dead(session: Session, blocker: TicketId) -> str | None:
    ticket = session.tickets.get(blocker)
    if ticket is None:
        return None
    if ticket.planning is not None and ticket.planning.purpose is not Purpose.INTERFACES:
        return "which is a planner's work: it lands nothing"
    return "which is cancelled: it never lands" if ticket.status is TicketStatus.CANCELLED else None


def refused(session: Session, problems: Sequence[Problem], hint: str = "") -> Rejection:
    more = f"; and {len(problems) - MOST_TOLD} more" if len(problems) > MOST_TOLD else ""
    return invalid(
        "; ".join(map(str, problems[:MOST_TOLD])) + more,
        hint or f"codeswarm ticket list {session.id}",
        "the plan could not be built like that; nothing was changed",
    )
