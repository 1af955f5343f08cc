"""A ticket between its attempts: sent back, waiting, held, queued, failed, retried."""

from __future__ import annotations

from codeswarm.domain import events as ev
from codeswarm.domain.cascade import POLICY, kind_of
from codeswarm.domain.evolving.moves import enter_phase, make_ready, move, on, send_back
from codeswarm.domain.evolving.resting import begin_again, forgive
from codeswarm.domain.pipeline import Role
from codeswarm.domain.results import Finding
from codeswarm.domain.session import Feedback, Session
from codeswarm.domain.states import TicketStatus, WaitReason


@on(ev.ChangesRequested)
def _changes_requested(session: Session, event: ev.ChangesRequested, at_ms: int) -> None:
    ticket = session.tickets[event.ticket]
    ticket.change_rounds += 1
    text = "\n".join(_finding_line(finding) for finding in event.findings)
    send_back(session, ticket, Feedback(event.by, text, event.epoch, event.findings), at_ms)


def _finding_line(finding: Finding) -> str:
    place = finding.file + (f":{finding.line}" if finding.line else "")
    return f"- {place}: {finding.text}" if place else f"- {finding.text}"


@on(ev.ContractDisputed)
def _contract_disputed(session: Session, event: ev.ContractDisputed, at_ms: int) -> None:
    ticket = session.tickets[event.ticket]
    ticket.disputes += 1
    if ticket.contract is not None:
        # Not on top of what was built meanwhile: there its tests could not fail any more.
        ticket.work = ticket.contract.commit
        ticket.conflict = 0
    send_back(session, ticket, Feedback("dispute", event.reason, event.epoch), at_ms, Role.TEST_WRITER)


@on(ev.TicketQueued)
def _ticket_queued(session: Session, event: ev.TicketQueued, at_ms: int) -> None:
    ticket = session.tickets[event.ticket]
    move(session, ticket, TicketStatus.LANDING)
    session.landing_queue[ticket.id] = None


@on(ev.TicketWaiting)
def _ticket_waiting(session: Session, event: ev.TicketWaiting, at_ms: int) -> None:
    ticket = session.tickets[event.ticket]
    move(session, ticket, TicketStatus.WAITING)
    ticket.waiting, ticket.waiting_detail = event.reason, event.detail
    if event.reason is WaitReason.QUOTA:
        session.without_agent[ticket.id] = None


@on(ev.TicketReleased)
def _ticket_released(session: Session, event: ev.TicketReleased, at_ms: int) -> None:
    ticket = session.tickets[event.ticket]
    if ticket.waiting is WaitReason.BUDGET:
        forgive(ticket)
    if event.by != POLICY:
        ticket.interruptions = 0
    if event.agent:  # or a worker with the parked account would send the ticket back to wait, again and again
        session.accounts[kind_of(event.agent)] = event.account
    ticket.reason = ""
    if not ticket.done_with_phases:
        make_ready(session, ticket, at_ms)


@on(ev.TicketHeld)
def _ticket_held(session: Session, event: ev.TicketHeld, at_ms: int) -> None:
    ticket = session.tickets[event.ticket]
    move(session, ticket, TicketStatus.ON_HOLD)
    ticket.reason = event.reason


@on(ev.TicketFailed)
def _ticket_failed(session: Session, event: ev.TicketFailed, at_ms: int) -> None:
    ticket = session.tickets[event.ticket]
    session.ready.discard(ticket.id)
    session.right_of_way.pop(ticket.id, None)
    ticket.status = TicketStatus.FAILED
    ticket.reason = event.reason


@on(ev.TicketRetried)
def _ticket_retried(session: Session, event: ev.TicketRetried, at_ms: int) -> None:
    ticket = session.tickets[event.ticket]
    begin_again(ticket)
    ticket.reason = ""
    if ticket.done_with_phases:
        enter_phase(ticket, next(i for i, phase in enumerate(ticket.phases) if phase.role is Role.IMPLEMENTER))
    else:
        enter_phase(ticket, ticket.phase_index)
    make_ready(session, ticket, at_ms)


@on(ev.TicketCancelled)
def _ticket_cancelled(session: Session, event: ev.TicketCancelled, at_ms: int) -> None:
    ticket = session.tickets[event.ticket]
    move(session, ticket, TicketStatus.CANCELLED)
    ticket.reason = event.reason
    ticket.changed_ms = at_ms
