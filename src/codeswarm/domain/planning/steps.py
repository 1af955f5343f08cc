"""The steps of planning: a skeleton (ids, titles, edges), then one expansion for each group of tickets; or words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import JsonValue

from codeswarm.domain import dag, events as ev
from codeswarm.domain.ids import TicketId
from codeswarm.domain.pipeline import Phase, Role
from codeswarm.domain.results import Report
from codeswarm.domain.session import Planning, Session, Ticket
from codeswarm.domain.states import Purpose
from codeswarm.domain.ticket import ContractKind, TicketSpec

GROUP = 8
"""Tickets that are expanded in one call."""
SKELETON = "skeleton"
EXPANSION = "expansion-"
WORDS = {Purpose.INTERFACES: "agreement", Purpose.ANSWER: "answer"}
"""What is answered in words, in one step of this name."""
DISPENSABLE = frozenset({Purpose.PROPOSALS, Purpose.INTERFACES, Purpose.ANSWER})
"""Work goes on without these, if no planner manages them."""
_TITLE = {
    Purpose.GOAL: "Plan the work",
    Purpose.DELEGATION: "Plan more work",
    Purpose.PROPOSALS: "Judge what agents propose",
    Purpose.INTERFACES: "Agree on interfaces",
    Purpose.ANSWER: "Answer the person",
}

Row = dict[str, JsonValue]


def planning_ticket(session: Session, event: ev.PlanningRequested, at_ms: int) -> Ticket:
    """The ticket that stands for a planner's work. It comes before all that waits for a plan."""
    title = _TITLE[event.purpose]
    spec = TicketSpec(id=event.ticket, title=title, priority=0, contract=ContractKind.NONE)
    planning = Planning(event.purpose, event.text, event.by, event.about, event.proposed)
    return Ticket(
        spec,
        place=len(session.tickets),
        wave=0,
        phases=first_steps(event.purpose),
        ready_ms=at_ms,
        road_s=session.settings.default_estimate_s,
        planning=planning,
    )


def first_steps(purpose: Purpose) -> tuple[Phase, ...]:
    return (Phase(name=WORDS.get(purpose, SKELETON), role=Role.PLANNER),)


def standing(session: Session) -> dict[TicketId, tuple[TicketId, ...]]:
    """The tickets that are there already, and what they wait for."""
    return {id_: ticket.spec.blocked_by for id_, ticket in session.tickets.items()}


def without_planners(session: Session, spec: TicketSpec) -> TicketSpec:
    """A ticket as it is in the plan: what a planner puts before it is no ticket there."""
    blockers = tuple(id_ for id_ in spec.blocked_by if session.tickets[id_].planning is None)
    return spec if blockers == spec.blocked_by else spec.model_copy(update={"blocked_by": blockers})


def is_whole(row: Mapping[str, Any]) -> bool:
    """Whether a ticket says all that it needs to, so that no expansion is asked for."""
    return bool(row.get("acceptance") or row.get("description"))


def group_of(ticket: Ticket, planning: Planning) -> tuple[str, ...] | None:
    """The tickets that the present step expands; None: it makes the skeleton."""
    return planning.groups[ticket.phase_index - 1] if ticket.phase_index else None


def merged(planning: Planning, rows: tuple[Row, ...], group: tuple[str, ...] | None) -> list[Row]:
    """The whole plan with these rows in it."""
    if group is None:
        return list(rows)
    expanded = {str(row.get("id")): row for row in rows if row.get("id") in group}
    return [{**row, **expanded.get(id_, {})} for id_, row in planning.rows.items()]


def take(ticket: Ticket, report: Report) -> None:
    """Keep what a step brought. The skeleton tells which steps follow."""
    planning = ticket.planning
    assert planning is not None
    if planning.purpose in WORDS:
        return
    group = group_of(ticket, planning)
    rows = merged(planning, report.tickets or (), group)
    planning.rows = {str(row["id"]): row for row in rows}
    if group is None:
        planning.groups = groups_of(planning.rows)
        names = [f"{EXPANSION}{number}" for number, _ in enumerate(planning.groups, 1)]
        ticket.phases = (*first_steps(planning.purpose), *(Phase(name=name, role=Role.PLANNER) for name in names))


def groups_of(rows: Mapping[str, Row]) -> list[tuple[str, ...]]:
    """The tickets that are still to be expanded, a few at a time and wave by wave, so that blockers come first."""
    edges = {id_: [str(b) for b in _blockers(row) if str(b) in rows] for id_, row in rows.items()}
    bare = [id_ for wave in dag.waves(edges) for id_ in wave if not is_whole(rows[id_])]
    return [tuple(bare[start : start + GROUP]) for start in range(0, len(bare), GROUP)]


def _blockers(row: Row) -> list[JsonValue]:
    blockers = row.get("blocked_by")
    return blockers if isinstance(blockers, list) else []
