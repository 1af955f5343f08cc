"""What comes of a planner's answer: a plan that is proposed, words that are kept, or going on without."""

from __future__ import annotations

from codeswarm.domain import events as ev
from codeswarm.domain.ending import loose_ends
from codeswarm.domain.planning.agreements import agreements
from codeswarm.domain.planning.judging import Look, look
from codeswarm.domain.planning.steps import DISPENSABLE, WORDS, group_of, groups_of, merged
from codeswarm.domain.policy import plan_approval
from codeswarm.domain.results import Report
from codeswarm.domain.session import Session, Ticket
from codeswarm.domain.states import Outcome, Purpose
from codeswarm.domain.ticket import TicketSpec


def follow(session: Session, ticket: Ticket, report: Report, now_ms: int) -> list[ev.Event]:
    """What comes of a planner's success, beside the next step."""
    planning = ticket.planning
    assert planning is not None
    if planning.purpose in WORDS:
        words = (report.answer or report.summary).strip()
        return [ev.PlanningFinished(ticket=ticket.id, result=words)]
    group = group_of(ticket, planning)
    rows = merged(planning, report.tickets or (), group)
    last = not groups_of({str(row["id"]): row for row in rows}) if group is None else _is_last(ticket)
    if not last:
        return []
    found = look(session, ticket, planning, report.tickets or ())
    finished: list[ev.Event] = [*_noted(ticket, found), ev.PlanningFinished(ticket=ticket.id)]
    return finished + propose(session, found.tickets, ticket, now_ms) if found.tickets else finished


def _is_last(ticket: Ticket) -> bool:
    return ticket.phase_index + 1 == len(ticket.phases)


def _noted(ticket: Ticket, found: Look) -> list[ev.Event]:
    """Concerns that the planner did not mend, and that the merge queue will have to bear."""
    concerns = found.concerns
    if not concerns:
        return []
    told = "; ".join(map(str, concerns[:5])) + (f"; and {len(concerns) - 5} more" if len(concerns) > 5 else "")
    return [ev.Noted(subject="plan", what=f"accepted although {told}", ticket=ticket.id)]


def propose(session: Session, tickets: tuple[TicketSpec, ...], planning: Ticket, now_ms: int) -> list[ev.Event]:
    """A planner's tickets: proposed, then a person is asked, or policy accepts them."""
    assert planning.planning is not None
    adds = planning.planning.purpose is not Purpose.GOAL
    number = session.plans + 1
    proposed = ev.PlanProposed(plan=number, tickets=tickets, by="planner", planning=planning.id, adds=adds)
    policy = session.settings.policy
    if policy.plan_only:
        over = ev.SessionFinalized(outcome=Outcome.PLANNED, reason="only the plan was asked for")
        return [proposed, *loose_ends(session, over.reason), over]
    if policy.approve_plan:
        return [proposed, plan_approval(session, number, tickets, now_ms)]
    return [proposed, ev.PlanAccepted(plan=number, by="policy"), *agreements(session, tickets)]


def without(ticket: Ticket, reason: str) -> list[ev.Event]:
    """Going on where no planner managed what can be done without; empty for everything else."""
    planning = ticket.planning
    if planning is None or planning.purpose not in DISPENSABLE:
        return []
    what = f"no planner managed it, and the work goes on without: {reason}"
    noted = ev.Noted(subject=str(planning.purpose), what=what, ticket=ticket.id)
    return [noted, ev.PlanningFinished(ticket=ticket.id)]
