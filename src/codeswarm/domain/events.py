"""Everything that can have happened. An event is a fact: named in the past, complete, never changed.

Fields hold what `decide` reads or a person audits; what agents say goes to transcripts. Old ledgers must stay
readable: a new field gets a default, a field is never renamed, a kind is never reused.
"""

from __future__ import annotations

from typing import Annotated, ClassVar

from pydantic import Field, JsonValue

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
from codeswarm.domain.states import Outcome, Purpose, SuspendReason, WaitReason
from codeswarm.domain.ticket import KeptSource, TicketSpec


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
    return Event.registry[kind].__pydantic_validator__.validate_json(body)  # type: ignore[no-any-return]


# ── the session ──────────────────────────────────────────────────────────────────────────────────────────────


class SessionStarted(Event):
    """It begins, with the settings in force; they hold until its end."""

    session: SessionId
    """Its id."""
    name: str
    """The name that it was given beside its id; may be empty."""
    goal: str
    """What is wanted on the whole; may be empty."""
    base_branch: str
    """The branch that it began from and saves to."""
    base: Commit
    """The commit that it began with."""
    base_tree: Tree
    """The git tree of `base`."""
    settings: Settings
    """The settings in force."""
    by: str
    unseen: tuple[str, ...] = ()
    """Files with uncommitted changes in the person's checkout: agents don't see these changes."""
    draft: bool = False
    """It stays in draft, its base ungated, until a person resumes it."""


class SessionActivated(Event):
    """Work may be claimed: at the start, and again when there is something to do after a review."""


class SessionSuspended(Event):
    """Stopped: nothing is begun and nothing lands until `resume`."""

    reason: SuspendReason
    detail: str
    by: str = ""


class SessionResumed(Event):
    """It goes on, where it stood before it was suspended."""

    by: str
    budget_usd: float | None = None
    """A new cap; none: as before."""
    budget_tokens: int | None = None
    """A new cap; none: as before."""
    roles: dict[str, tuple[str, ...]] = {}
    """Agents given anew, by role."""
    until: Until | None = None
    """What holds from now on; None: no end is set."""


class SessionAwaitingReview(Event):
    """Nothing can move without a person."""

    reason: str
    """unsaved · approvals · nothing_landed · full_gate_red · save_refused"""
    detail: str = ""


class SessionFinalized(Event):
    """Over: what landed is saved, or nothing can be made of it."""

    outcome: Outcome
    """How."""
    reason: str = ""


class SessionCancelled(Event):
    """Over, on a person's word; what was done stays in its refs."""

    by: str
    reason: str = ""


# ── the plan ─────────────────────────────────────────────────────────────────────────────────────────────────


class PlanningRequested(Event):
    """A planner is asked. What it does is a ticket of its own, which lands nothing."""

    ticket: TicketId
    """The planning ticket."""
    purpose: Purpose
    """goal · delegation · proposals · interfaces · answer"""
    text: str
    """What is wanted, in words."""
    by: str
    """Who asks: a person, an attempt that proposes tickets, or policy."""
    about: tuple[TicketId, ...] = ()
    """For interfaces: the tickets that share one."""
    proposed: tuple[dict[str, JsonValue], ...] = ()
    """For proposals: what agents wrote."""


class PlanningFinished(Event):
    """The planner has answered; or did not, and the work goes on without."""

    ticket: TicketId
    """The planning ticket."""
    result: str = ""
    """Words for people and agents: an agreement, a final answer. A plan stands in `PlanProposed`."""


class PlanProposed(Event):
    """The tickets of the session."""

    plan: int
    """Counts from 1 within the session."""
    tickets: tuple[TicketSpec, ...]
    by: str
    planning: TicketId | None = None
    """The planning ticket that it comes from: a rejected plan goes back there. None: from a person."""
    adds: bool = False
    """These tickets come on top of the plan; otherwise they are the plan."""


class PlanAccepted(Event):
    """The tickets may be worked on."""

    plan: int
    by: str


class PlanRejected(Event):
    """A person said no to the tickets."""

    plan: int
    by: str
    why: str
    back: bool = False
    """It goes back to its planner, with the reason."""


class TicketsAdded(Event):
    """More work on top of an accepted plan. What the new tickets wait for may be old or new."""

    tickets: tuple[TicketSpec, ...]
    by: str


class SourceKept(Event):
    """The foreign file that tickets were made of is among the artifacts, as it was."""

    source: KeptSource
    """What it is, what it was called, and where its bytes are."""


class TicketEdited(Event):
    """A ticket is to be read in another way from its next attempt on."""

    ticket: TicketId
    spec: TicketSpec
    """The whole of it, as it is now."""
    changed: tuple[str, ...]
    """The keys that are not as they were."""
    by: str


class BlockersChanged(Event):
    """A ticket waits for other tickets from here on."""

    ticket: TicketId
    blocked_by: tuple[TicketId, ...]
    """All of them."""
    by: str


# ── attempts ─────────────────────────────────────────────────────────────────────────────────────────────────


class AttemptLeased(Event):
    """A worker has the right to run an attempt, for as long as it renews its lease."""

    ticket: TicketId
    epoch: int
    phase: str
    """The phase of its pipeline."""
    attempt: int
    """Counts from 1 among the ticket's attempts at this phase, losses and later rounds included."""
    worker: WorkerId
    agent: str
    """The agent spec; empty for a verifier phase, which starts none."""
    base: Commit
    """The integration tip at the time of the lease."""
    reserved_usd: float = 0.0
    """Set aside for it until its cost is known."""
    reserved_tokens: int = 0
    """The same in tokens."""


class AttemptPrepared(Event):
    """The router has made the commit that this attempt begins with."""

    ticket: TicketId
    epoch: int
    start: Commit
    """The commit: the work so far with the tip merged in."""
    conflicts: tuple[str, ...] = ()
    """Files that hold conflict markers in `start`."""


class AttemptStarted(Event):
    """Its agent runs."""

    ticket: TicketId
    epoch: int
    sandbox: str
    """The kind of walls."""
    conversation: str = ""
    """The agent's own name for its conversation, if it has one."""
    resumed: bool = False
    """It goes on in an earlier attempt's conversation, from that attempt's files."""


class AttemptGating(Event):
    """Its work commit is at the gate of its phase."""

    ticket: TicketId
    epoch: int
    commit: Commit
    """The work commit."""


class SnapshotTaken(Event):
    """Its changes so far are in its wip ref."""

    ticket: TicketId
    epoch: int
    commit: Commit
    """What the wip ref stands at."""
    files: int
    """How many files differ from the start."""
    left_out: tuple[LeftOut, ...] = ()
    """What no ref holds, and why."""


class WorkSalvaged(Event):
    """The workspace of an attempt whose worker died was found, and its files are in the attempt's wip ref now."""

    ticket: TicketId
    epoch: int
    commit: Commit
    """What the wip ref stands at."""
    files: int
    """How many files differ from the start."""
    left_out: tuple[LeftOut, ...] = ()
    """What no ref holds, and why."""


class CommitsKept(Event):
    """Commits that an agent made by itself, beside its files: they stand under refs of their own."""

    ticket: TicketId
    epoch: int
    refs: tuple[str, ...]
    """Their names in the store."""


class AttemptSucceeded(Event):
    """It did what its phase is for."""

    ticket: TicketId
    epoch: int
    report: Report
    """What the worker reports of it."""


class AttemptFailed(Event):
    """Ended by its own fault, or by a cause with a bound of its own; `failure` says which."""

    ticket: TicketId
    epoch: int
    failure: Failure
    """What was wrong."""
    charged: bool
    """Whether it counts against `policy.max_attempts`."""
    report: Report
    """What the worker reports of it."""
    retry_at_ms: int


class AttemptTimedOut(Event):
    """It took longer than `policy.attempt_timeout_s`."""

    ticket: TicketId
    epoch: int
    failure: Failure
    """What was wrong."""
    charged: bool
    """Whether it counts against `policy.max_attempts`."""
    report: Report
    """What the worker reports of it."""
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
    """What the worker reports of it."""
    retry_at_ms: int


class LateResultKept(Event):
    """A completion came with an old epoch: it changed nothing, and its work stays in a ref."""

    ticket: TicketId
    epoch: int
    commit: Commit | None
    """Its work; none where nothing had changed."""
    summary: str = ""
    """The agent's last words."""


# ── what an attempt's end means for its ticket ───────────────────────────────────────────────────────────────


class ChangesRequested(Event):
    """The ticket is sent back to its implementer with remarks."""

    ticket: TicketId
    epoch: int
    findings: tuple[Finding, ...]
    """The remarks."""
    by: str
    """`reviewer`, `verifier`, or a person who rejected a landing."""


class ContractDisputed(Event):
    """Its implementer says that the contract is wrong: it goes back to the test writer, once."""

    ticket: TicketId
    epoch: int
    reason: str


class TicketQueued(Event):
    """All phases are done: the ticket waits for its landing."""

    ticket: TicketId


class TicketWaiting(Event):
    """It waits for a person or for budget."""

    ticket: TicketId
    reason: WaitReason
    detail: str = ""


class TicketReleased(Event):
    """From hold, or from waiting for budget, back to where it stood; whether it may land is told by what follows."""

    ticket: TicketId
    by: str


class TicketHeld(Event):
    """On hold: nothing is done on it until it is released."""

    ticket: TicketId
    reason: str
    by: str


class TicketFailed(Event):
    """Too many failures: nothing is done on it until a person retries it."""

    ticket: TicketId
    reason: str


class TicketRetried(Event):
    """A person gives a failed ticket a new generation."""

    ticket: TicketId
    by: str


class TicketCancelled(Event):
    """Out of the plan for good; what depends on it stays blocked."""

    ticket: TicketId
    by: str
    reason: str = ""


# ── gates and landing ────────────────────────────────────────────────────────────────────────────────────────


class GateRequested(Event):
    """A gate of the queue is due, on a commit."""

    gate: GateId
    purpose: str
    """base · landing · catch_up · full"""
    commit: Commit
    """What is checked out for it. Its tree is what the receipts are for."""
    tree: Tree
    commands: tuple[GateCommand, ...]
    """What is run, one after another."""
    base: Commit
    """Changed files are told against this."""
    ticket: TicketId | None = None
    """Whose landing it is for; none for all other purposes."""


class GateLeased(Event):
    """A worker runs it."""

    gate: GateId
    epoch: int
    worker: WorkerId


class GateFinished(Event):
    """It has an outcome."""

    gate: GateId
    epoch: int
    runs: tuple[GateRun, ...]
    """What each command showed."""
    receipts: tuple[Receipt, ...]
    green: bool
    """Whether all passed."""


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
    """The tip that it was merged with."""
    work: Commit
    """The ticket's work commit."""
    commit: Commit
    """The very commit that lands once its gate is green."""
    tree: Tree
    commands: tuple[GateCommand, ...]
    """All that must be green on `tree` before it lands."""


class LandingBounced(Event):
    """A landing was sent back; the ticket goes to its implementer with the evidence."""

    landing: int
    ticket: TicketId | None
    reason: str
    """conflict · gate_red · held · gate_unavailable"""
    detail: str = ""
    files: tuple[str, ...] = ()
    """In conflict."""
    findings: tuple[Finding, ...] = ()
    """What the gate remarked."""


class TicketLanded(Event):
    """The commit point: from here on the ticket is landed, wherever the refs may still stand."""

    landing: int
    ticket: TicketId
    old: Commit
    """The tip before."""
    new: Commit
    """The tip now."""
    tree: Tree
    receipts: tuple[str, ...]
    files: tuple[str, ...] = ()
    """What it changed."""


class CaughtUp(Event):
    """Integration took in what the base branch gained meanwhile: the one commit with two parents."""

    landing: int
    old: Commit
    """The tip before."""
    new: Commit
    """The tip now."""
    tree: Tree
    base: Commit
    """The commit of the base branch that was taken in."""
    receipts: tuple[str, ...]


# ── saving ───────────────────────────────────────────────────────────────────────────────────────────────────


class SaveRequested(Event):
    """A save was asked for."""

    by: str
    to: str
    """ff · branch"""
    into: str
    """The branch that moves."""


class SaveIntended(Event):
    """What is about to be done outside: recovery finishes or undoes exactly this."""

    checkpoint: str
    into: str
    """The branch."""
    old: Commit | None
    """Where it stands; none: it does not exist yet."""
    new: Commit
    """Where it will stand."""
    tree: Tree
    receipts: tuple[str, ...]


class CheckpointSaved(Event):
    """The branch moved, and the tag stands."""

    checkpoint: str
    into: str
    """The branch."""
    old: Commit | None
    """Where it stood; none: it did not exist."""
    new: Commit
    """Where it stands."""
    how: str
    """fast_forward · branch · already_there"""


class SaveRefused(Event):
    """The branch did not move, and why."""

    reason: str
    detail: str
    files: tuple[str, ...] = ()
    """What is in the way."""
    commands: tuple[str, ...] = ()
    """What a person can paste."""
    checkpoint: str = ""


# ── people ───────────────────────────────────────────────────────────────────────────────────────────────────


class ApprovalRequested(Event):
    """A person must see something before it goes on."""

    approval: ApprovalId
    subject: str
    """plan · landing"""
    evidence: str
    """plan: its number; landing: the work commit that the approval binds to."""
    why: str
    expires_at_ms: int
    """From then on silence is a no, in milliseconds since 1970."""
    needed: int = 1
    """How many distinct people must say yes."""
    ticket: TicketId | None = None
    """Whose landing it is."""
    risk: int = 0
    """From 0 to 100: how much there is to look at."""
    reasons: tuple[str, ...] = ()
    """What the risk is made of, the heaviest first."""


class ApprovalGiven(Event):
    """One person's yes."""

    approval: ApprovalId
    by: str
    note: str = ""
    """A remark."""


class ApprovalGranted(Event):
    """Enough distinct people have said yes."""

    approval: ApprovalId


class ApprovalRejected(Event):
    """A person's no."""

    approval: ApprovalId
    by: str
    why: str


class ApprovalExpired(Event):
    """Nobody answered in time: that is a no."""

    approval: ApprovalId


class ApprovalVoided(Event):
    """The question is moot."""

    approval: ApprovalId
    reason: str


class MessageSent(Event):
    """A person's word to agents."""

    message: int
    by: str
    text: Annotated[str, Field(max_length=100_000)]
    """The words."""
    ticket: TicketId | None = None
    """None: to every ticket's next attempt."""


class MessageDelivered(Event):
    """An agent got it."""

    message: int
    ticket: TicketId
    epoch: int
    how: str
    """injected into a running turn · prompt of a new attempt"""


# ── care ─────────────────────────────────────────────────────────────────────────────────────────────────────


class SlotRestarted(Event):
    """A worker's slot died and was started again."""

    worker: WorkerId
    reason: str


class CommandRejected(Event):
    """A person's command was refused. Kept, because nothing fails silently."""

    command: str
    """Its name."""
    reason: str
    hint: str
    """What to do."""
    by: str


class Noted(Event):
    """A fallback, a skip, something left undone: what, why, and the next step."""

    subject: str
    """What it is about."""
    what: str
    """What happened, and why."""
    next_step: str = ""
    """What to do, if anything."""
    ticket: TicketId | None = None
