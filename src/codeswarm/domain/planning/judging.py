"""Whether a planner's answer can be used. All that is wrong is told at once, and at most twice."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from codeswarm.domain.adding import dead_blockers
from codeswarm.domain.plan import Problem, read_plan
from codeswarm.domain.plan_review import review
from codeswarm.domain.planning.steps import WORDS, Row, group_of, is_whole, merged, standing
from codeswarm.domain.results import Failure, FailureClass, Report
from codeswarm.domain.session import Planning, Session, Ticket
from codeswarm.domain.states import Purpose
from codeswarm.domain.ticket import TicketSpec

MAX_FEEDBACK = 2
"""How often a planner is told what is wrong with one of its answers."""
MAX_TOLD = 40
"""Problems told in one feedback."""


def judge(session: Session, ticket: Ticket, report: Report) -> Failure | None:
    """Why a planner's answer can't be used; None: it can. All that is wrong is told at once."""
    planning = ticket.planning
    assert planning is not None
    if planning.purpose in WORDS:
        words = report.answer or report.summary
        return None if words.strip() else _bad('there is no answer: the result must hold {"answer": "…"}')
    if report.tickets is None:
        return _bad('there are no tickets: the result must hold {"tickets": [{"id": …, "title": …, …}]}')
    found = look(session, ticket, planning, report.tickets)
    if found.errors or (found.concerns and ticket.failures < bound(session) - 1):
        return _bad(_told([*found.errors, *found.concerns]))
    return None


def bound(session: Session) -> int:
    """How many answers of one step may be unusable."""
    return min(session.settings.bounds.max_attempts, MAX_FEEDBACK + 1)


@dataclass(frozen=True, slots=True)
class Look:
    """What the whole plan is with an answer in it: its tickets, what must be mended, what should be."""

    tickets: tuple[TicketSpec, ...] = ()
    errors: tuple[Problem, ...] = ()
    concerns: tuple[Problem, ...] = ()


def look(session: Session, ticket: Ticket, planning: Planning, rows: tuple[Row, ...]) -> Look:
    """Put an answer into the plan, and see what is wrong with it."""
    if not rows and planning.purpose is Purpose.PROPOSALS:
        return Look()
    group = group_of(ticket, planning)
    strangers = [] if group is None else _strangers(group, rows)
    together = merged(planning, rows, group)
    room = session.settings.policy.max_planned - session.to_land
    if group is None and len(rows) > room:
        what = f"has {len(rows)} tickets; at most {max(room, 0)} more fit into this session"
        return Look(errors=(Problem(where="tickets", what=what),))
    plan = read_plan({"tickets": together}, session.settings.pipelines, standing(session))
    if isinstance(plan, list):
        return Look(errors=(*strangers, *plan))
    strangers += [problem for spec in plan.tickets for problem in dead_blockers(session, spec)]
    edges: dict[str, Any] = {spec.id: [b for b in spec.blocked_by if b not in session.tickets] for spec in plan.tickets}
    due = group or ()
    whole = [spec for spec, row in zip(plan.tickets, together, strict=True) if is_whole(row) or spec.id in due]
    found = review(whole, edges, session.settings.leasing.attempt_timeout_s)
    return Look(plan.tickets, (*strangers, *found.errors), found.concerns)


def _strangers(group: tuple[str, ...], rows: tuple[Row, ...]) -> list[Problem]:
    """Tickets that nobody asked for, and those that are missing."""
    given = [str(row.get("id")) for row in rows]
    extra = [
        Problem(where=f"ticket {id_!r}", what="was not asked for in this step") for id_ in given if id_ not in group
    ]
    missing = [Problem(where=f"ticket {id_!r}", what="is missing in the answer") for id_ in group if id_ not in given]
    return extra + missing


def _told(problems: list[Problem]) -> str:
    lines = [f"- {problem}" for problem in problems[:MAX_TOLD]]
    if len(problems) > MAX_TOLD:
        lines.append(f"- and {len(problems) - MAX_TOLD} more")
    more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
    return f"the tickets can't be used as they are: {problems[0]}{more}\n" + "\n".join(lines)


def _bad(message: str) -> Failure:
    return Failure(failure_class=FailureClass.BAD_RESULT, message=message)
