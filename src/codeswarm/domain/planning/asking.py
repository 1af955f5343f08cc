"""When planners are asked: by a person, by agents that propose tickets, at the end."""

from __future__ import annotations

from collections.abc import Collection

from codeswarm.domain import budget, events as ev
from codeswarm.domain.ids import TicketId
from codeswarm.domain.pipeline import Role
from codeswarm.domain.planning.steps import Row, planning_ticket
from codeswarm.domain.results import Report
from codeswarm.domain.session import Session, Ticket
from codeswarm.domain.states import Purpose, TicketStatus

_NAME = {Purpose.GOAL: "plan", Purpose.INTERFACES: "agreement"}


def request(
    session: Session,
    purpose: Purpose,
    text: str,
    by: str,
    *,
    about: tuple[TicketId, ...] = (),
    proposed: tuple[Row, ...] = (),
    taken: Collection[TicketId] = (),
) -> ev.PlanningRequested:
    """Ask a planner, under an id that no ticket has, nor one of those that come along (`taken`)."""
    name = _NAME.get(purpose, str(purpose))
    number = 1
    while (id_ := TicketId(name if number == 1 else f"{name}-{number}")) in session.tickets or id_ in taken:
        number += 1
    return ev.PlanningRequested(ticket=id_, purpose=purpose, text=text, by=by, about=about, proposed=proposed)


def can_plan(session: Session) -> bool:
    """Whether planners are asked for what nobody asked in words."""
    return session.settings.policy.planner and bool(session.settings.agents_for(Role.PLANNER))


def from_agents(session: Session, ticket: Ticket, report: Report) -> list[ev.Event]:
    """Tickets that an agent proposed while it worked: the planner decides, where there is one."""
    rows = report.proposed_tickets
    if not rows or ticket.planning is not None:
        return []
    by = f"{ticket.id}:{ticket.epoch}"
    if can_plan(session) and session.to_land < session.settings.policy.max_planned:
        return [request(session, Purpose.PROPOSALS, "", by, proposed=rows)]
    titles = ", ".join(str(row.get("title") or row.get("id") or "?") for row in rows[:5])
    what = f"ticket {ticket.id} proposed {len(rows)} more: {titles[:500]}; no planner takes them up"
    return [ev.Noted(subject="proposals", what=what, next_step="codeswarm delegate TEXT", ticket=ticket.id)]


def last_words(session: Session) -> list[ev.Event]:
    """Ask for the final answer, once for what landed, in a session that was planned from words."""
    asked_in_words = any(_purpose(session, id_) is Purpose.GOAL for id_ in session.plannings)
    if not asked_in_words or not can_plan(session) or session.answered == len(session.landed):
        return []
    asked = request(session, Purpose.ANSWER, "", "policy")
    wanted = budget.reservation(session, planning_ticket(session, asked, 0))
    if not budget.affordable(session, wanted) or not budget.role_affordable(session, wanted):
        return []
    return [asked]


def _purpose(session: Session, id_: TicketId) -> Purpose | None:
    planning = session.tickets[id_].planning
    return None if planning is None else planning.purpose


def unplanned(session: Session) -> Ticket | None:
    """The planner's work that a session without a plan hangs on, where nothing goes on with it; None otherwise."""
    if session.plan is not None or session.open_approvals or session.planning:
        return None
    stuck = [session.tickets[id_] for id_ in session.plannings if _purpose(session, id_) is Purpose.GOAL]
    return stuck[-1] if stuck else None


def again(session: Session, by: str) -> list[ev.Event]:
    """A person resumes a session whose plan was not made: the planner is asked once more."""
    events: list[ev.Event] = []
    for id_ in session.plannings:
        status = session.tickets[id_].status
        if id_ in session.without_agent:
            continue
        if status is TicketStatus.FAILED:
            events.append(ev.TicketRetried(ticket=id_, by=by))
        elif status in (TicketStatus.ON_HOLD, TicketStatus.WAITING):
            events.append(ev.TicketReleased(ticket=id_, by=by))
    return events
