"""Everything that can have happened. An event is a fact: named in the past, complete, never changed.

Fields hold what `decide` reads or a person audits; what agents say goes to transcripts. Old ledgers must stay
readable: a new field gets a default, a field is never renamed, a kind is never reused.
"""

from __future__ import annotations

from typing import Annotated, ClassVar

from pydantic import Field

from codeswarm.domain.ids import ApprovalId, Commit, GateId, SessionId, TicketId, Tree, WorkerId
from codeswarm.domain.model import Frozen
from codeswarm.domain.results import (
    Failure,
    Finding,
    GateCommand,
    GateRun,
    LeftOut,
    Receipt,
    Report,
)
from codeswarm.domain.settings import Settings, Until
from codeswarm.domain.states import Outcome, SuspendReason, WaitReason
from codeswarm.domain.ticket import TicketSpec


class Event(Frozen):
    """A fact of one session's stream."""

    registry: ClassVar[dict[str, type[Event]]] = {}

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        Event.registry[cls.__name__] = cls

    @property
    def kind(self) -> str:
        return type(self).__name__


def parse_event(kind: str, body: str | bytes) -> Event:
    """Read an event back. Raises: KeyError for an unknown kind, pydantic.ValidationError for a damaged body."""
    return Event.registry[kind].model_validate_json(body)


# ── the session ──────────────────────────────────────────────────────────────────────────────────────────────


class SessionStarted(Event):
    session: SessionId
    name: str
    goal: str
    base_branch: str
    base: Commit
    base_tree: Tree
    settings: Settings
    by: str
    unseen: tuple[str, ...] = ()
    """Files with uncommitted changes in the person's checkout: agents don't see these changes."""


class SessionActivated(Event):
    """Work may be claimed: at the start, and again when there is something to do after a review."""


class SessionSuspended(Event):
    reason: SuspendReason
    detail: str
    by: str = ""


class SessionResumed(Event):
    by: str
    budget_usd: float | None = None
    budget_tokens: int | None = None
    roles: dict[str, tuple[str, ...]] = {}
    until: Until | None = None
    """What holds from now on; None: no end is set."""


class SessionAwaitingReview(Event):
    """Nothing can move without a person."""

    reason: str
    detail: str = ""


class SessionFinalized(Event):
    outcome: Outcome
    reason: str = ""


class SessionCancelled(Event):
    by: str
    reason: str = ""


# ── the plan ─────────────────────────────────────────────────────────────────────────────────────────────────


class PlanProposed(Event):
    plan: int
    """Counts from 1 within the session."""
    tickets: tuple[TicketSpec, ...]
    by: str


class PlanAccepted(Event):
    plan: int
    by: str


class PlanRejected(Event):
    plan: int
    by: str
    why: str


class TicketsAdded(Event):
    """More work on top of an accepted plan. What the new tickets wait for may be old or new."""

    tickets: tuple[TicketSpec, ...]
    by: str


# ── attempts ─────────────────────────────────────────────────────────────────────────────────────────────────


class AttemptLeased(Event):
    ticket: TicketId
    epoch: int
    phase: str
    attempt: int
    """Counts from 1 among the ticket's attempts at this phase, losses and later rounds included."""
    worker: WorkerId
    agent: str
    """The agent spec; empty for a verifier phase, which starts none."""
    base: Commit
    """The integration tip at the time of the lease."""
    reserved_usd: float = 0.0
    reserved_tokens: int = 0


class AttemptPrepared(Event):
    """The router has made the commit that this attempt begins with."""

    ticket: TicketId
    epoch: int
    start: Commit
    conflicts: tuple[str, ...] = ()
    """Files that hold conflict markers in `start`."""


class AttemptStarted(Event):
    ticket: TicketId
    epoch: int
    sandbox: str
    conversation: str = ""
    resumed: bool = False
    """It goes on in an earlier attempt's conversation, from that attempt's files."""


class AttemptGating(Event):
    ticket: TicketId
    epoch: int
    commit: Commit


class SnapshotTaken(Event):
    ticket: TicketId
    epoch: int
    commit: Commit
    files: int
    left_out: tuple[LeftOut, ...] = ()


class WorkSalvaged(Event):
    """The workspace of an attempt whose worker died was found, and its files are in the attempt's wip ref now."""

    ticket: TicketId
    epoch: int
    commit: Commit
    files: int
    left_out: tuple[LeftOut, ...] = ()


class CommitsKept(Event):
    """Commits that an agent made by itself, beside its files: they stand under refs of their own."""

    ticket: TicketId
    epoch: int
    refs: tuple[str, ...]


class AttemptSucceeded(Event):
    ticket: TicketId
    epoch: int
    report: Report


class AttemptFailed(Event):
    """Ended by its own fault, or by a cause with a bound of its own; `failure` says which."""

    ticket: TicketId
    epoch: int
    failure: Failure
    charged: bool
    report: Report
    retry_at_ms: int


class AttemptTimedOut(Event):
    ticket: TicketId
    epoch: int
    failure: Failure
    charged: bool
    report: Report
    retry_at_ms: int


class AttemptLost(Event):
    """Its worker fell silent or died; nothing is known but what it had snapshotted."""

    ticket: TicketId
    epoch: int
    reason: str
    retry_at_ms: int


class AttemptCancelled(Event):
    """Ended on request (stop --now, hold, cancel), not by any fault."""

    ticket: TicketId
    epoch: int
    reason: str
    report: Report = Report()
    retry_at_ms: int


class LateResultKept(Event):
    """A completion came with an old epoch: it changed nothing, and its work stays in a ref."""

    ticket: TicketId
    epoch: int
    commit: Commit | None
    summary: str = ""


# ── what an attempt's end means for its ticket ───────────────────────────────────────────────────────────────


class ChangesRequested(Event):
    ticket: TicketId
    epoch: int
    findings: tuple[Finding, ...]
    by: str
    """`reviewer`, `verifier`, or a person who rejected a landing."""


class ContractDisputed(Event):
    ticket: TicketId
    epoch: int
    reason: str


class TicketQueued(Event):
    """All phases are done: the ticket waits for its landing."""

    ticket: TicketId


class TicketWaiting(Event):
    ticket: TicketId
    reason: WaitReason
    detail: str = ""


class TicketReleased(Event):
    """From hold, or from waiting for budget, back to where it stood; whether it may land is told by what follows."""

    ticket: TicketId
    by: str


class TicketHeld(Event):
    ticket: TicketId
    reason: str
    by: str


class TicketFailed(Event):
    ticket: TicketId
    reason: str


class TicketRetried(Event):
    """A person gives a failed ticket a new generation."""

    ticket: TicketId
    by: str


class TicketCancelled(Event):
    ticket: TicketId
    by: str
    reason: str = ""


# ── gates and landing ────────────────────────────────────────────────────────────────────────────────────────


class GateRequested(Event):
    gate: GateId
    purpose: str
    """base · landing · catch_up · full"""
    commit: Commit
    """What is checked out for it. Its tree is what the receipts are for."""
    tree: Tree
    commands: tuple[GateCommand, ...]
    base: Commit
    """Changed files are told against this."""
    ticket: TicketId | None = None


class GateLeased(Event):
    gate: GateId
    epoch: int
    worker: WorkerId


class GateFinished(Event):
    gate: GateId
    epoch: int
    runs: tuple[GateRun, ...]
    receipts: tuple[Receipt, ...]
    green: bool


class GateLost(Event):
    """It could not be run to its end (a lost worker, exit 75): it will run again."""

    gate: GateId
    epoch: int
    reason: str
    retry_at_ms: int


class GateAbandoned(Event):
    """What it was for is gone."""

    gate: GateId
    reason: str


class ReceiptsRecorded(Event):
    """Receipts of gates that ran within an attempt, or waivers."""

    receipts: tuple[Receipt, ...]
    ticket: TicketId | None = None


class LandingMerged(Event):
    """The merge with the tip is clean, and its commit is in the store."""

    landing: int
    ticket: TicketId | None
    """None: a catch-up with the base branch."""
    old: Commit
    work: Commit
    commit: Commit
    """The very commit that lands once its gate is green."""
    tree: Tree
    commands: tuple[GateCommand, ...]
    """All that must be green on `tree` before it lands."""


class LandingBounced(Event):
    landing: int
    ticket: TicketId | None
    reason: str
    """conflict · gate_red · held · gate_unavailable"""
    detail: str = ""
    files: tuple[str, ...] = ()
    findings: tuple[Finding, ...] = ()


class TicketLanded(Event):
    """The commit point: from here on the ticket is landed, wherever the refs may still stand."""

    landing: int
    ticket: TicketId
    old: Commit
    new: Commit
    tree: Tree
    receipts: tuple[str, ...]
    files: tuple[str, ...] = ()


class CaughtUp(Event):
    """Integration took in what the base branch gained meanwhile: the one commit with two parents."""

    landing: int
    old: Commit
    new: Commit
    tree: Tree
    base: Commit
    receipts: tuple[str, ...]


# ── saving ───────────────────────────────────────────────────────────────────────────────────────────────────


class SaveRequested(Event):
    by: str
    to: str
    into: str
    """The branch that moves."""


class SaveIntended(Event):
    """What is about to be done outside: recovery finishes or undoes exactly this."""

    checkpoint: str
    into: str
    old: Commit | None
    new: Commit
    tree: Tree
    receipts: tuple[str, ...]


class CheckpointSaved(Event):
    checkpoint: str
    into: str
    old: Commit | None
    new: Commit
    how: str
    """fast_forward · branch · already_there"""


class SaveRefused(Event):
    reason: str
    detail: str
    files: tuple[str, ...] = ()
    commands: tuple[str, ...] = ()
    """What a person can paste."""
    checkpoint: str = ""


# ── people ───────────────────────────────────────────────────────────────────────────────────────────────────


class ApprovalRequested(Event):
    approval: ApprovalId
    subject: str
    """plan · landing"""
    evidence: str
    """plan: its number; landing: the work commit that the approval binds to."""
    why: str
    expires_at_ms: int
    needed: int = 1
    ticket: TicketId | None = None


class ApprovalGiven(Event):
    approval: ApprovalId
    by: str
    note: str = ""


class ApprovalGranted(Event):
    """Enough distinct people have said yes."""

    approval: ApprovalId


class ApprovalRejected(Event):
    approval: ApprovalId
    by: str
    why: str


class ApprovalExpired(Event):
    approval: ApprovalId


class ApprovalVoided(Event):
    approval: ApprovalId
    reason: str


class MessageSent(Event):
    message: int
    by: str
    text: Annotated[str, Field(max_length=100_000)]
    ticket: TicketId | None = None
    """None: to every ticket's next attempt."""


class MessageDelivered(Event):
    message: int
    ticket: TicketId
    epoch: int
    how: str
    """injected into a running turn · prompt of a new attempt"""


# ── care ─────────────────────────────────────────────────────────────────────────────────────────────────────


class SlotRestarted(Event):
    worker: WorkerId
    reason: str


class CommandRejected(Event):
    """A person's command was refused. Kept, because nothing fails silently."""

    command: str
    reason: str
    hint: str
    by: str


class Noted(Event):
    """A fallback, a skip, something left undone: what, why, and the next step."""

    subject: str
    what: str
    next_step: str = ""
    ticket: TicketId | None = None
