"""The tables that are read off the log: which rows a batch of events changes.

The same function serves the live path, `rebuild` and `verify`, so a table can only differ from the log through
damage. A row is the whole row, written over the old one; its values stand in the order of its table's columns.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import cache
from typing import Any, NamedTuple

from pydantic_core import to_json

from codeswarm.domain import events as ev
from codeswarm.domain.evolving import graph
from codeswarm.domain.ids import ApprovalId, GateId, TicketId
from codeswarm.domain.results import Receipt
from codeswarm.domain.session import (
    AgentKey,
    Approval,
    Attempt,
    Checkpoint,
    Gate,
    Landing,
    Parking,
    Session,
    Ticket,
)
from codeswarm.domain.states import AttemptStatus
from codeswarm.ledger.tables import Row

Rows = dict[str, list[Row]]


@dataclass(slots=True)
class Touched:
    """The rows that events have changed, each named once and in order."""

    tickets: dict[TicketId, None] = field(default_factory=dict)
    attempts: dict[tuple[TicketId, int], None] = field(default_factory=dict)
    gates: dict[GateId, None] = field(default_factory=dict)
    landings: dict[int, None] = field(default_factory=dict)
    approvals: dict[ApprovalId, None] = field(default_factory=dict)
    checkpoints: dict[str, None] = field(default_factory=dict)
    parkings: dict[AgentKey, None] = field(default_factory=dict)
    receipts: list[tuple[Receipt, int]] = field(default_factory=list)
    """Each with the moment in which it came."""

    def see(self, session: Session, event: ev.Event, at_ms: int) -> None:
        """Take note of an event whose command was just applied to `session`."""
        kind = type(event)
        named = _naming(kind)
        if named.ticket and (ticket := event.ticket) is not None:  # type: ignore[attr-defined]
            self.tickets[ticket] = None
            if named.epoch:
                self.attempts[ticket, event.epoch] = None  # type: ignore[attr-defined]
        for name, rows in named.others:
            if (id_ := getattr(event, name)) is not None:
                getattr(self, rows)[id_] = None
        if named.further is not None:
            named.further(self, session, event, at_ms)


# ── rows that an event changes without naming them ───────────────────────────────────────────────────────────


def _plan_accepted(touched: Touched, session: Session, event: ev.PlanAccepted, at_ms: int) -> None:
    touched.tickets.update(dict.fromkeys(session.tickets))


def _planning_requested(touched: Touched, session: Session, event: ev.PlanningRequested, at_ms: int) -> None:
    for id_ in event.about:
        touched.tickets.update(dict.fromkeys(graph.behind(session, id_)))


def _tickets_added(touched: Touched, session: Session, event: ev.TicketsAdded, at_ms: int) -> None:
    touched.tickets.update((spec.id, None) for spec in event.tickets)


def _plan_rejected(touched: Touched, session: Session, event: ev.PlanRejected, at_ms: int) -> None:
    if event.back:
        touched.tickets.update(dict.fromkeys(session.plannings))


def _ticket_changed(
    touched: Touched, session: Session, event: ev.TicketEdited | ev.BlockersChanged, at_ms: int
) -> None:
    touched.tickets.update(dict.fromkeys(graph.behind(session, event.ticket)))


def _planning_finished(touched: Touched, session: Session, event: ev.PlanningFinished, at_ms: int) -> None:
    touched.tickets.update(dict.fromkeys(session.dependents[event.ticket]))


def _ticket_landed(touched: Touched, session: Session, event: ev.TicketLanded, at_ms: int) -> None:
    for id_ in session.dependents[event.ticket]:
        if not session.tickets[id_].open_blockers:  # the row of one that still waits says the same
            touched.tickets[id_] = None


def _landing_bounced(touched: Touched, session: Session, event: ev.LandingBounced, at_ms: int) -> None:
    if (gate := session.landings[event.landing].gate) is not None:
        touched.gates[gate] = None


def _receipts_came(
    touched: Touched, session: Session, event: ev.GateFinished | ev.ReceiptsRecorded, at_ms: int
) -> None:
    touched.receipts += [(receipt, at_ms) for receipt in event.receipts]


def _agent_changed(touched: Touched, session: Session, event: ev.AgentParked | ev.AgentUnparked, at_ms: int) -> None:
    touched.parkings[event.agent, event.account] = None


_Further = Callable[[Touched, Session, Any, int], None]

_FURTHER: dict[type[ev.Event], _Further] = {
    ev.PlanAccepted: _plan_accepted,
    ev.PlanningRequested: _planning_requested,
    ev.TicketsAdded: _tickets_added,
    ev.PlanRejected: _plan_rejected,
    ev.TicketEdited: _ticket_changed,
    ev.BlockersChanged: _ticket_changed,
    ev.PlanningFinished: _planning_finished,
    ev.TicketLanded: _ticket_landed,
    ev.LandingBounced: _landing_bounced,
    ev.GateFinished: _receipts_came,
    ev.ReceiptsRecorded: _receipts_came,
    ev.AgentParked: _agent_changed,
    ev.AgentUnparked: _agent_changed,
}
_OF_THEIR_OWN = ("gate", "landing", "approval", "checkpoint")
"""Fields that name a row of the table called alike."""


class _Naming(NamedTuple):
    """What a kind of event says of rows."""

    ticket: bool
    epoch: bool
    """Of an attempt at that ticket."""
    others: tuple[tuple[str, str], ...]
    """Its fields that name a row, and of what."""
    further: _Further | None


@cache
def _naming(kind: type[ev.Event]) -> _Naming:
    fields = kind.model_fields
    others = tuple((name, name + "s") for name in _OF_THEIR_OWN if name in fields)
    return _Naming("ticket" in fields, "epoch" in fields, others, _FURTHER.get(kind))


def rows_after(session: Session, events: Iterable[ev.Event], at_ms: int) -> Rows:
    """The rows that `events`, just applied to `session`, changed."""
    touched = Touched()
    for event in events:
        touched.see(session, event, at_ms)
    return rows_of(session, touched)


def rows_of(session: Session, touched: Touched) -> Rows:
    """The rows of all that was touched, as they are now."""
    rows: Rows = {"sessions": [_session_row(session)]}
    rows["tickets"] = [_ticket_row(session, found) for id_ in touched.tickets if (found := session.tickets.get(id_))]
    rows["attempts"] = [
        _attempt_row(session, id_, attempt)
        for id_, epoch in touched.attempts
        if id_ in session.tickets and (attempt := session.tickets[id_].attempts.get(epoch))
    ]
    rows["gates"] = [_gate_row(session, session.all_gates[id_]) for id_ in touched.gates]
    rows["landings"] = [_landing_row(session, session.landings[number]) for number in touched.landings]
    rows["approvals"] = [_approval_row(session, session.approvals[id_]) for id_ in touched.approvals]
    rows["checkpoints"] = [
        _checkpoint_row(session, session.checkpoints[id_]) for id_ in touched.checkpoints if id_ in session.checkpoints
    ]
    rows["parkings"] = [_parking_row(session, key, session.parkings[key]) for key in touched.parkings]
    rows["receipts"] = [_receipt_row(session, receipt, at_ms) for receipt, at_ms in touched.receipts]
    return {name: found for name, found in rows.items() if found}


def _list(values: Iterable[object]) -> str:
    found = list(values)
    return to_json(found).decode() if found else "[]"


def _session_row(s: Session) -> Row:
    until = s.settings.policy.until
    return (
        s.id, s.name, s.goal, s.status.value, s.suspend_reason or "", s.review_reason, s.outcome or "", s.detail, s.by,
        s.base_branch, s.base, s.tip, s.saved_tip or "", s.to_land, len(s.landed), round(s.spending.usd, 6),
        round(s.spending.reserved_usd, 6), s.spending.tokens, s.spending.unknown, s.started_ms, s.ended_ms, s.version,
        until.at_ms if until else None, round(s.spending.subscription_usd, 6),
    )  # fmt: skip


def _ticket_row(session: Session, t: Ticket) -> Row:
    live, phase = t.live, t.phase
    since_ms = t.landed_ms or (live.leased_ms if live else t.ready_ms)
    return (
        session.id, t.id, t.place, t.wave, t.spec.title, t.spec.priority, _list(t.spec.blocked_by),
        t.shown_status.value, phase.name, phase.role.value, t.reason or t.waiting_detail, t.generation, t.epoch,
        t.failures, t.interruptions, t.change_rounds, t.bounces, live.worker if live else "", t.work or "",
        t.landed or "", t.landed_ms, t.not_before_ms, since_ms, _list(t.files),
    )  # fmt: skip


def _attempt_row(session: Session, ticket: TicketId, a: Attempt) -> Row:
    gates = _list([run.name, run.outcome, run.exit_code, run.log] for run in a.gate_runs)
    own = round(a.cost_usd, 6) if a.cost_known and not a.live else None
    failure = a.failure.failure_class if a.failure else ("lost" if a.status is AttemptStatus.LOST else "")
    return (
        session.id, ticket, a.epoch, a.phase, a.role.value, a.number, a.worker, a.agent, a.status.value, a.sandbox,
        a.conversation, a.base, a.start or "", a.snapshot or "", a.head or "", failure,
        a.failure.message if a.failure else "", a.summary, gates, int(a.late), own, a.usage.input_tokens,
        a.usage.output_tokens, a.transcript, a.transcript_size, a.leased_ms, a.ended_ms,
    )  # fmt: skip


def _approval_row(session: Session, a: Approval) -> Row:
    return (
        session.id, a.id, a.subject, a.ticket or "", a.evidence, a.why, a.state, a.needed, _list(a.given_by),
        a.requested_ms, a.expires_ms, a.risk, _list(a.reasons), a.epoch, a.command, a.cwd, a.answered_by, a.reason,
    )  # fmt: skip


def _gate_row(session: Session, g: Gate) -> Row:
    return (
        session.id, g.id, g.purpose, g.ticket or "", g.tree, g.epoch, g.worker or "", g.state, g.reason,
        g.requested_ms,
    )  # fmt: skip


def _receipt_row(session: Session, r: Receipt, at_ms: int) -> Row:
    return (
        session.id, r.id, r.tree, r.name, r.command, r.outcome, r.exit_code, r.log, r.worker, r.by, r.signature, at_ms,
    )  # fmt: skip


def _landing_row(session: Session, landing: Landing) -> Row:
    return (
        session.id, landing.number, landing.ticket or "", landing.state, landing.old, landing.commit, landing.tree,
        landing.reason, _list(landing.receipts), landing.at_ms,
    )  # fmt: skip


def _parking_row(session: Session, key: AgentKey, p: Parking) -> Row:
    return (
        session.id, *key, p.state, p.why.value, p.detail, p.since_ms, p.until_ms, p.by, p.told_by, p.changed_ms,
    )  # fmt: skip


def _checkpoint_row(session: Session, c: Checkpoint) -> Row:
    return (session.id, c.id, c.branch, c.old or "", c.new, c.state, c.how, c.at_ms)
