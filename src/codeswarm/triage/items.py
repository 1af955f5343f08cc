"""What triage looks at: tickets of a session, or of a plan that nobody builds yet."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum

from codeswarm.domain.plan import Plan
from codeswarm.domain.planning.steps import without_planners
from codeswarm.domain.session import Session, Ticket
from codeswarm.domain.states import TicketStatus
from codeswarm.domain.ticket import TicketSpec

DEFAULT_S = 600.0


class Standing(StrEnum):
    STARTABLE = "startable"
    PENDING = "pending"
    UNDER_WAY = "under_way"
    HELD = "held"
    """On hold, or failed: a person must do something first."""


@dataclass(frozen=True, slots=True)
class Item:
    """An open ticket. What is done is no item, and nobody waits for it."""

    id: str
    title: str
    priority: int
    seconds: float
    blocked_by: tuple[str, ...]
    standing: Standing
    since_ms: int = 0
    """Since when it has not moved; 0: not known."""
    deadline_ms: int | None = None


_STANDING = {
    TicketStatus.ON_HOLD: Standing.HELD,
    TicketStatus.FAILED: Standing.HELD,
    TicketStatus.READY: Standing.STARTABLE,
    TicketStatus.PENDING: Standing.PENDING,
}
_OVER = (TicketStatus.COMPLETE, TicketStatus.CANCELLED)


def of_session(session: Session) -> list[Item]:
    """Open tickets, planners' work left out. Who waits for a cancelled ticket stays pending."""
    default_s = session.settings.default_estimate_s
    found = [t for t in session.tickets.values() if t.status not in _OVER and t.planning is None]
    return [_item(session, ticket, default_s) for ticket in found]


def _item(session: Session, ticket: Ticket, default_s: float) -> Item:
    spec = without_planners(session, ticket.spec)
    blockers = [id_ for id_ in dict.fromkeys(spec.blocked_by) if session.tickets[id_].status not in _OVER]
    standing = _STANDING.get(ticket.shown_status, Standing.UNDER_WAY)
    return _made(spec, blockers, standing, default_s, max(ticket.ready_ms, ticket.changed_ms))


def of_plan(plan: Plan, cut: Iterable[tuple[str, str]] = (), updated_ms: Mapping[str, int] | None = None) -> list[Item]:
    """`cut`: edges that are not in the plan since they close a cycle."""
    more: dict[str, list[str]] = {}
    for id_, blocker in cut:
        more.setdefault(id_, []).append(blocker)
    items = []
    for spec in plan.tickets:
        blockers = list(dict.fromkeys([*spec.blocked_by, *more.get(spec.id, ())]))
        standing = Standing.HELD if spec.hold else Standing.PENDING if blockers else Standing.STARTABLE
        items.append(_made(spec, blockers, standing, DEFAULT_S, (updated_ms or {}).get(spec.id, 0)))
    return items


def _made(spec: TicketSpec, blockers: Iterable[str], standing: Standing, default_s: float, since_ms: int) -> Item:
    deadline_ms = None if spec.deadline is None else int(spec.deadline.timestamp() * 1000)
    seconds = spec.estimate_s or default_s
    return Item(spec.id, spec.title, spec.priority, seconds, tuple(blockers), standing, since_ms, deadline_ms)
