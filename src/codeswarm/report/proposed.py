"""Tickets that wait for a person's word on their plan: nothing is known of them but what was asked for."""

from __future__ import annotations

from codeswarm.domain import dag
from codeswarm.domain.ids import TicketId
from codeswarm.domain.session import Session
from codeswarm.domain.states import FINAL_SESSION, TicketStatus
from codeswarm.domain.ticket import TicketSpec
from codeswarm.report.document import TicketPart
from codeswarm.report.shares import MOST_TICKETS, Share


def proposed(session: Session) -> list[TicketPart]:
    """Those of the plan while it is not accepted, and those that would come on top of it, in their order."""
    plans = [session.plan] if session.plan and not session.plan.accepted else []
    found = [(plan.by, spec) for plan in (*plans, *session.additions.values()) for spec in plan.tickets]
    if session.status in FINAL_SESSION:
        return []
    waves = _waves(session, [spec for _, spec in found])
    shown = found[:MOST_TICKETS]
    return [_part(by, spec, waves[spec.id], Share.of(len(shown))) for by, spec in shown]


def _waves(session: Session, specs: list[TicketSpec]) -> dict[TicketId, int]:
    """Ticket → its wave, behind whatever it waits for, old or new."""
    new = {spec.id: list(spec.blocked_by) for spec in specs}
    waves = {id_: ticket.wave for id_, ticket in session.tickets.items()}
    for id_ in dag.in_order({id_: [b for b in blockers if b in new] for id_, blockers in new.items()}):
        waves[id_] = 1 + max((waves[blocker] for blocker in new[id_] if blocker in waves), default=-1)
    return waves


def _part(by: str, spec: TicketSpec, wave: int, share: Share) -> TicketPart:
    return TicketPart(
        id=spec.id,
        title=share.cut(spec.title, share.line * 2),
        status=TicketStatus.PENDING,
        wave=wave + 1,
        phase="",
        proposed=True,
        description=share.cut(spec.description.strip(), share.text),
        acceptance=share.few(spec.acceptance),
        blocked_by=spec.blocked_by[: share.items],
        asked_by=by,
        labels=share.few(spec.labels),
    )
