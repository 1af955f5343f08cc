"""A session's log, read once: the state that it adds up to, and the facts that the state does not keep."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from codeswarm.domain import events as ev
from codeswarm.domain.cascade import POLICY
from codeswarm.domain.evolve import evolve
from codeswarm.domain.ids import Commit, GateId, SessionId, TicketId
from codeswarm.domain.results import GateRun, Receipt, Report
from codeswarm.domain.session import Landing, Session
from codeswarm.ledger.base import Recorded

E = TypeVar("E", bound=ev.Event)
Key = tuple[TicketId, int]
"""(ticket, epoch): an attempt."""


@dataclass(frozen=True, slots=True)
class At(Generic[E]):
    """An event, and when it was recorded."""

    at_ms: int
    event: E


@dataclass(slots=True)
class History:
    """Everything that a report is made of but the files themselves."""

    session: Session
    last_ms: int = 0
    receipts: dict[str, Receipt] = field(default_factory=dict)
    runs: dict[str, GateRun] = field(default_factory=dict)
    """Receipt → the run that it is of."""
    reports: dict[Key, Report] = field(default_factory=dict)
    ends: dict[Key, str] = field(default_factory=dict)
    """Why an attempt was lost or cancelled."""
    own_commits: dict[Key, tuple[str, ...]] = field(default_factory=dict)
    reviews: dict[TicketId, list[At[ev.ChangesRequested]]] = field(default_factory=lambda: defaultdict(list))
    bounces: dict[TicketId, list[At[ev.LandingBounced]]] = field(default_factory=lambda: defaultdict(list))
    disputes: dict[TicketId, list[At[ev.ContractDisputed]]] = field(default_factory=lambda: defaultdict(list))
    gates: dict[GateId, list[At[ev.Event]]] = field(default_factory=lambda: defaultdict(list))
    """What happened to a gate, in order."""
    line: list[tuple[TicketId | None, Commit, int]] = field(default_factory=list)
    """What landed, in order; None: a catch-up with the base branch."""
    landings: dict[TicketId, Landing] = field(default_factory=dict)
    """Ticket → the landing that it stands by."""
    saves: list[At[ev.CheckpointSaved]] = field(default_factory=list)
    refused: At[ev.SaveRefused] | None = None
    """The last refusal of a save, unless a save went well after it."""
    told: list[At[ev.Event]] = field(default_factory=list)
    """Notes, refusals, suspensions, and what people said and did, in order."""
    unseen: tuple[str, ...] = ()
    asked_by: dict[TicketId, str] = field(default_factory=dict)
    """Ticket → who put it into the plan."""
    unmatched: dict[TicketId, tuple[Receipt, ...]] = field(default_factory=dict)
    """Receipts of an attempt whose runs are told by its end, which is recorded behind them."""

    def see(self, event: ev.Event, at_ms: int) -> None:
        evolve(self.session, event, at_ms)
        self.last_ms = at_ms
        _remember(self, event, at_ms)


def read(session: SessionId, records: Iterable[Recorded]) -> History:
    """Add up a session's events. Raises: whatever `evolve` raises for a log that makes no sense."""
    history = History(Session(session))
    for record in records:
        history.see(record.event, record.at_ms)
    return history


_TOLD = (
    ev.Noted,
    ev.HostDenied,
    ev.CommandRejected,
    ev.SlotRestarted,
    ev.SessionSuspended,
    ev.SessionResumed,
    ev.SaveRefused,
    ev.PlanRejected,
    ev.ApprovalGiven,
    ev.ApprovalRejected,
    ev.ApprovalExpired,
    ev.MessageSent,
    ev.TicketsAdded,
    ev.TicketEdited,
    ev.BlockersChanged,
    ev.TicketHeld,
    ev.TicketReleased,
    ev.TicketRetried,
    ev.TicketCancelled,
    ev.AgentParked,
    ev.AgentUnparked,
    ev.AgentPassedOver,
    ev.TicketEscalated,
)


def _remember(history: History, event: ev.Event, at_ms: int) -> None:
    if isinstance(event, _TOLD) and not (isinstance(event, ev.TicketReleased) and event.by == POLICY):
        history.told.append(At(at_ms, event))
    match event:
        case ev.SessionStarted():
            history.unseen = event.unseen
        case ev.PlanProposed() | ev.TicketsAdded():
            history.asked_by.update((ticket.id, event.by) for ticket in event.tickets)
        case ev.AttemptSucceeded() | ev.AttemptFailed() | ev.AttemptTimedOut() | ev.AttemptCancelled():
            history.reports[event.ticket, event.epoch] = event.report
            _match(history, history.unmatched.pop(event.ticket, ()), event.report.gate_runs)
            if isinstance(event, ev.AttemptCancelled):
                history.ends[event.ticket, event.epoch] = event.reason
        case ev.AttemptLost():
            history.ends[event.ticket, event.epoch] = event.reason
        case ev.CommitsKept():
            history.own_commits[event.ticket, event.epoch] = event.refs
        case ev.ChangesRequested():
            history.reviews[event.ticket].append(At(at_ms, event))
        case ev.ContractDisputed():
            history.disputes[event.ticket].append(At(at_ms, event))
        case _:
            _remember_landing(history, event, at_ms)


def _remember_landing(history: History, event: ev.Event, at_ms: int) -> None:
    if isinstance(event, ev.GateLeased | ev.GateFinished | ev.GateLost | ev.GateAbandoned):
        history.gates[event.gate].append(At(at_ms, event))
    match event:
        case ev.GateFinished():
            history.receipts.update((receipt.id, receipt) for receipt in event.receipts)
            _match(history, event.receipts, event.runs)
        case ev.ReceiptsRecorded():
            history.receipts.update((receipt.id, receipt) for receipt in event.receipts)
            if event.ticket is not None:
                history.unmatched[event.ticket] = event.receipts
        case ev.LandingBounced() if event.ticket is not None:
            history.bounces[event.ticket].append(At(at_ms, event))
        case ev.TicketLanded():
            history.line.append((event.ticket, event.new, at_ms))
            history.landings[event.ticket] = history.session.landings[event.landing]
        case ev.CaughtUp():
            history.line.append((None, event.new, at_ms))
        case ev.CheckpointSaved():
            history.saves.append(At(at_ms, event))
            history.refused = None
        case ev.SaveRefused():
            history.refused = At(at_ms, event)


def _match(history: History, receipts: Iterable[Receipt], runs: Iterable[GateRun]) -> None:
    """Find each receipt's run among those that it was made of."""
    by_content = {(run.command, run.log): run for run in runs}
    for receipt in receipts:
        if (run := by_content.get((receipt.command, receipt.log))) is not None:
            history.runs[receipt.id] = run
