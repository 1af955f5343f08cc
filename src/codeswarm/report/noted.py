"""What fell back, was refused or left undone, and what people did: nothing fails silently, then or in the morning."""

from __future__ import annotations

from collections.abc import Iterator

from codeswarm.domain import events as ev
from codeswarm.plain import count, day_and_time
from codeswarm.report.document import NoteLine
from codeswarm.report.history import History
from codeswarm.report.shares import cut


def noted(history: History) -> Iterator[NoteLine]:
    """Oldest first."""
    if history.unseen:
        files = ", ".join(history.unseen[:10])
        what = f"{count(len(history.unseen), 'file')} with uncommitted changes, which agents did not see: {files}"
        yield _line(history.session.started_ms, "session", what)
    for at in history.told:
        about, what, next_step = _words(history, at.event)
        yield _line(at.at_ms, about, what, next_step)


def _line(at_ms: int, about: str, what: str, next_step: str = "") -> NoteLine:
    return NoteLine(at_ms=at_ms, about=cut(about, 100), what=cut(what, 1000), next_step=cut(next_step, 500))


def _words(history: History, event: ev.Event) -> tuple[str, str, str]:
    """(what it is about, what happened, what to do)."""
    match event:
        case ev.Noted():
            return event.ticket or event.subject, event.what, event.next_step
        case ev.HostDenied():
            return event.ticket, f"may not reach {event.host}: {event.reason}", event.next_step
        case ev.CommandRejected():
            return event.command, f"refused: {event.reason}", event.hint
        case ev.SlotRestarted():
            return event.worker, f"restarted a slot: {event.reason}", ""
        case ev.SessionSuspended():
            return "session", f"suspended: {event.detail or event.reason}", ""
        case ev.SessionResumed():
            return "session", f"resumed by {event.by}", ""
        case ev.SaveRefused():
            return "save", f"refused: {event.detail}", ""
        case ev.AgentParked() | ev.AgentUnparked() | ev.AgentPassedOver() | ev.TicketEscalated():
            return _of_agents(history, event)
    return (*_of_people(history, event), "")


def _of_agents(
    history: History, event: ev.AgentParked | ev.AgentUnparked | ev.AgentPassedOver | ev.TicketEscalated
) -> tuple[str, str, str]:
    match event:
        case ev.AgentParked():
            until = f"until {day_and_time(event.until_ms)}" if event.until_ms else "until a person mends it"
            mend = "" if event.until_ms else f"codeswarm doctor, then: codeswarm resume {history.session.id}"
            return event.agent, f"parked {until} ({event.why}): {event.detail}", mend
        case ev.AgentUnparked():
            return event.agent, f"used again, says {event.by}" if event.by else "used again: its time has come", ""
        case ev.AgentPassedOver():
            return event.ticket, f"goes past {event.agent} once, after {event.bursts} refusals for too much at once", ""
    return event.ticket, f"{event.phase} goes up to {event.agent} after a red gate of {event.instead_of}", ""


def _of_people(history: History, event: ev.Event) -> tuple[str, str]:
    """What people said and did."""
    match event:
        case ev.PlanRejected():
            return f"plan {event.plan}", f"rejected by {event.by}: {event.why}"
        case ev.ApprovalGiven():
            return _asked(history, event), f"approved by {event.by}" + (f": {event.note}" if event.note else "")
        case ev.ApprovalRejected():
            return _asked(history, event), f"rejected by {event.by}: {event.why}"
        case ev.ApprovalExpired():
            return _asked(history, event), "nobody answered in time, which is a no"
        case ev.MessageSent():
            return event.ticket or "all agents", f"told by {event.by}: {event.text}"
        case ev.TicketsAdded():
            return "plan", f"{event.by} added {', '.join(ticket.id for ticket in event.tickets)}"
        case ev.TicketEdited():
            return event.ticket, f"{', '.join(event.changed)} changed by {event.by}"
        case ev.BlockersChanged():
            return event.ticket, f"waits for {', '.join(event.blocked_by) or 'nothing'} now, by {event.by}"
        case ev.TicketHeld():
            return event.ticket, f"put on hold by {event.by}: {event.reason}"
        case ev.TicketReleased():
            return event.ticket, f"released by {event.by}"
        case ev.TicketRetried():
            return event.ticket, f"given a new set of attempts by {event.by}"
        case ev.TicketCancelled():
            return event.ticket, f"cancelled by {event.by}" + (f": {event.reason}" if event.reason else "")
    return "", event.kind


def _asked(history: History, event: ev.ApprovalGiven | ev.ApprovalRejected | ev.ApprovalExpired) -> str:
    approval = history.session.approvals[event.approval]
    return approval.ticket or approval.subject
