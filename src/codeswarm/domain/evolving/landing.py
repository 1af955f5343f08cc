"""Gates, receipts and landings."""

from __future__ import annotations

from codeswarm.domain import events as ev
from codeswarm.domain.evolving.moves import move, on, release_dependents, send_back
from codeswarm.domain.ids import Commit, GateId, Tree
from codeswarm.domain.results import Receipt
from codeswarm.domain.session import Feedback, Gate, Landing, Session
from codeswarm.domain.states import TicketStatus


@on(ev.GateRequested)
def _gate_requested(session: Session, event: ev.GateRequested, at_ms: int) -> None:
    gate = Gate(
        id=event.gate,
        purpose=event.purpose,
        commit=event.commit,
        tree=event.tree,
        commands=event.commands,
        base=event.base,
        ticket=event.ticket,
        requested_ms=at_ms,
    )
    session.gates[event.gate] = session.all_gates[event.gate] = gate
    if session.landing is not None and event.purpose in ("landing", "catch_up"):
        session.landing.gate = event.gate


@on(ev.GateLeased)
def _gate_leased(session: Session, event: ev.GateLeased, at_ms: int) -> None:
    gate = session.gates[event.gate]
    gate.epoch = gate.live_epoch = event.epoch
    gate.worker = event.worker
    gate.state = "running"
    gate.leased_ms = at_ms


@on(ev.GateFinished)
def _gate_finished(session: Session, event: ev.GateFinished, at_ms: int) -> None:
    gate = _close_gate(session, event.gate, "green" if event.green else "red")
    _record(session, event.receipts)
    if gate.purpose == "base":
        session.base_ready = event.green
        session.base_failing = tuple(dict.fromkeys(name for run in event.runs for name in run.failing))
    elif gate.purpose == "full":
        session.full_gate_tree = gate.tree
        session.full_gate_green = event.green


@on(ev.GateLost)
def _gate_lost(session: Session, event: ev.GateLost, at_ms: int) -> None:
    gate = session.gates[event.gate]
    gate.live_epoch = None
    gate.state = "open"
    gate.interruptions += 1
    gate.not_before_ms = event.retry_at_ms
    gate.reason = event.reason


@on(ev.GateAbandoned)
def _gate_abandoned(session: Session, event: ev.GateAbandoned, at_ms: int) -> None:
    _close_gate(session, event.gate, "abandoned").reason = event.reason


def _close_gate(session: Session, id_: GateId, state: str) -> Gate:
    gate = session.gates.pop(id_)
    gate.live_epoch = None
    gate.state = state
    return gate


@on(ev.ReceiptsRecorded)
def _receipts_recorded(session: Session, event: ev.ReceiptsRecorded, at_ms: int) -> None:
    _record(session, event.receipts)


def _record(session: Session, receipts: tuple[Receipt, ...]) -> None:
    for receipt in receipts:
        if receipt.passes:
            session.receipts[receipt.tree, receipt.command] = receipt


@on(ev.LandingMerged)
def _landing_merged(session: Session, event: ev.LandingMerged, at_ms: int) -> None:
    if event.ticket is not None:
        session.landing_queue.pop(event.ticket, None)
    session.landing = session.landings[event.landing] = Landing(
        number=event.landing,
        ticket=event.ticket,
        old=event.old,
        work=event.work,
        commit=event.commit,
        tree=event.tree,
        commands=event.commands,
        at_ms=at_ms,
    )


@on(ev.LandingBounced)
def _landing_bounced(session: Session, event: ev.LandingBounced, at_ms: int) -> None:
    if session.landing is not None:
        _end_landing(session, "bounced").reason = event.reason
    else:
        session.landings[event.landing] = _never_merged(session, event, at_ms)
    if event.ticket is None or event.reason == "held":
        return
    ticket = session.tickets[event.ticket]
    ticket.bounces += 1
    ticket.approved_work = None
    if event.reason == "conflict":
        ticket.conflict = 1
        session.right_of_way.setdefault(ticket.id)
    source = "conflict" if event.reason == "conflict" else "gate"
    send_back(session, ticket, Feedback(source, event.detail, ticket.epoch, event.findings, event.files), at_ms)


def _never_merged(session: Session, event: ev.LandingBounced, at_ms: int) -> Landing:
    work = (session.tickets[event.ticket].work if event.ticket else None) or Commit("")
    return Landing(
        number=event.landing,
        ticket=event.ticket,
        old=session.tip,
        work=work,
        commit=Commit(""),
        tree=Tree(""),
        commands=(),
        at_ms=at_ms,
        state="bounced",
        reason=event.reason,
    )


def _end_landing(session: Session, state: str) -> Landing:
    landing = session.landing
    assert landing is not None
    if landing.gate is not None and landing.gate in session.gates:
        _close_gate(session, landing.gate, "abandoned")
    landing.state = state
    session.landing = None
    return landing


@on(ev.TicketLanded)
def _ticket_landed(session: Session, event: ev.TicketLanded, at_ms: int) -> None:
    ticket = session.tickets[event.ticket]
    _end_landing(session, "landed").receipts = event.receipts
    move(session, ticket, TicketStatus.COMPLETE)
    ticket.landed, ticket.landed_ms = event.new, at_ms
    ticket.changed_ms = at_ms
    ticket.files = event.files or ticket.files
    session.landed.append(ticket.id)
    session.tip, session.tip_tree = event.new, event.tree
    release_dependents(session, ticket, at_ms)


@on(ev.CaughtUp)
def _caught_up(session: Session, event: ev.CaughtUp, at_ms: int) -> None:
    _end_landing(session, "landed").receipts = event.receipts
    session.tip, session.tip_tree = event.new, event.tree
