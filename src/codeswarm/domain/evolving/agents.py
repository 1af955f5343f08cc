"""Agents that are left alone, and the choices that tickets go to."""

from __future__ import annotations

from codeswarm.domain import events as ev
from codeswarm.domain.cascade import kind_of
from codeswarm.domain.evolving.moves import on
from codeswarm.domain.session import Parking, Session


@on(ev.AgentParked)
def _agent_parked(session: Session, event: ev.AgentParked, at_ms: int) -> None:
    key, kind = (event.agent, event.account), kind_of(event.agent)
    session.parked[key] = session.parkings[key] = Parking(
        why=event.why,
        detail=event.detail,
        since_ms=event.since_ms,
        until_ms=event.until_ms,
        told_by=event.told_by,
        times=event.times,
        changed_ms=event.since_ms,
    )
    if event.told_by:
        session.accounts.setdefault(kind, event.account)
    else:
        session.accounts[kind] = event.account


@on(ev.AgentUnparked)
def _agent_unparked(session: Session, event: ev.AgentUnparked, at_ms: int) -> None:
    parking = session.parked.pop((event.agent, event.account))
    parking.state, parking.by, parking.changed_ms = "unparked", event.by, at_ms


@on(ev.AgentPassedOver)
def _agent_passed_over(session: Session, event: ev.AgentPassedOver, at_ms: int) -> None:
    ticket = session.tickets[event.ticket]
    ticket.passed_over, ticket.bursts = event.agent, ()


@on(ev.TicketEscalated)
def _ticket_escalated(session: Session, event: ev.TicketEscalated, at_ms: int) -> None:
    session.tickets[event.ticket].rungs[event.phase] = event.rung
