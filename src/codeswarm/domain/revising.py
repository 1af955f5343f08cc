"""What may be changed in a plan that is being built."""

from __future__ import annotations

from collections.abc import Sequence

from codeswarm.domain import commands as cmd, events as ev
from codeswarm.domain.plan import Problem, problems_of
from codeswarm.domain.rejection import Rejection, invalid, wrong_state
from codeswarm.domain.session import Session
from codeswarm.domain.states import TicketStatus
from codeswarm.domain.ticket import TicketSpec

Decision = list[ev.Event] | Rejection

MOST_TOLD = 20
"""Problems in the reason of one refusal."""


def add(session: Session, command: cmd.AddTickets, now_ms: int) -> Decision:
    """All of the tickets, or none. Blockers that have landed already are taken as done."""
    if session.plan is None or not session.plan.accepted:
        return wrong_state(f"the plan of session {session.id} is not accepted yet", "codeswarm approvals")
    standing = {id_: ticket.spec.blocked_by for id_, ticket in session.tickets.items()}
    problems = problems_of(command.tickets, session.settings.pipelines, standing)
    problems += [problem for spec in command.tickets for problem in _dead_blockers(session, spec)]
    if problems:
        return _refused(problems)
    return [ev.TicketsAdded(tickets=command.tickets, by=command.by)]


def _dead_blockers(session: Session, spec: TicketSpec) -> list[Problem]:
    """What is cancelled never lands: whoever waits for it waits for ever."""
    return [
        Problem(where=f"ticket {spec.id!r}.blocked_by", what=f"names {blocker!r}, which is cancelled: it never lands")
        for blocker in dict.fromkeys(spec.blocked_by)
        if blocker in session.tickets and session.tickets[blocker].status is TicketStatus.CANCELLED
    ]


def _refused(problems: Sequence[Problem]) -> Rejection:
    more = f"; and {len(problems) - MOST_TOLD} more" if len(problems) > MOST_TOLD else ""
    return invalid("; ".join(map(str, problems[:MOST_TOLD])) + more, "codeswarm ticket list")
