"""Everything that can be asked. A command is a wish: `decide` answers with events or a rejection.

Workers' commands carry an epoch and are worth nothing with an old one. Persons' commands carry `by`.
"""

from __future__ import annotations

from typing import Any

from codeswarm.domain.ids import ApprovalId, Commit, GateId, SessionId, TicketId, Tree, WorkerId
from codeswarm.domain.model import Frozen
from codeswarm.domain.pipeline import Role
from codeswarm.domain.results import FailureClass, Finding, GateRun, LeftOut, Receipt, Report, Usage, UsageWindow
from codeswarm.domain.settings import Caps, Settings, Until
from codeswarm.domain.states import Handover, SuspendReason
from codeswarm.domain.ticket import KeptSource, TicketSpec


class Command(Frozen):
    """A wish about one session."""

    @property
    def kind(self) -> str:
        return type(self).__name__


class ParkAgent(Command):
    """Another session has found out that an agent can't be used. What is known already changes nothing."""

    agent: str
    account: str
    why: FailureClass
    detail: str
    since_ms: int
    until_ms: int | None = None
    told_by: str


# ── from persons ─────────────────────────────────────────────────────────────────────────────────────────────


class StartSession(Command):
    session: SessionId
    name: str
    goal: str
    base_branch: str
    base: Commit
    base_tree: Tree
    settings: Settings
    tickets: tuple[TicketSpec, ...]
    by: str
    unseen: tuple[str, ...] = ()
    ask: str = ""
    """Where there are no tickets: what a planner is to make them from."""
    draft: bool = False
    """Record it, and begin nothing until it is resumed."""
    kept: tuple[KeptSource, ...] = ()
    parked: tuple[ParkAgent, ...] = ()
    """Agents that other sessions know to be parked."""


class SuspendSession(Command):
    """Pause, stop, or a finding of the engine that a person must look at. Idempotent for the same reason."""

    reason: SuspendReason
    detail: str = ""
    by: str = ""


class ResumeSession(Command):
    by: str
    budget_usd: float | None = None
    budget_tokens: int | None = None
    role_budgets: dict[Role, Caps] = {}
    """New caps of roles; what a cap leaves out stays as it was."""
    roles: dict[str, tuple[str, ...]] = {}
    until: Until | None = None
    """None: without end where it was suspended; else as before."""
    target: int | None = None
    """How many tickets are to have landed in all; None: as before."""
    unpark: bool = False
    """Try parked agents again whose time has not come, too."""


class CancelSession(Command):
    by: str
    reason: str = ""


class ForgetTranscripts(Command):
    by: str
    reason: str


class AddTickets(Command):
    """More tickets on top of the accepted plan; each may wait for old and new ones. All are added, or none."""

    tickets: tuple[TicketSpec, ...]
    by: str
    kept: tuple[KeptSource, ...] = ()


class EditTicket(Command):
    """Other values for some keys of a ticket, as in a tickets file; None takes a key away."""

    ticket: TicketId
    changes: dict[str, Any]
    by: str


class SplitTicket(Command):
    """Other tickets in its place: what waits for it waits for all of them, or for those whose `blocks` name it.

    What a part leaves out it has from it.
    """

    ticket: TicketId
    parts: tuple[dict[str, Any], ...]
    by: str


class LinkTicket(Command):
    """Let it wait for others, too. Asking for what is so already changes nothing."""

    ticket: TicketId
    blocked_by: tuple[str, ...]
    by: str


class UnlinkTicket(Command):
    ticket: TicketId
    blocked_by: tuple[str, ...]
    by: str


class HoldTicket(Command):
    ticket: TicketId
    by: str
    reason: str = ""


class ReleaseTicket(Command):
    ticket: TicketId
    by: str


class RetryTicket(Command):
    ticket: TicketId
    by: str


class CancelTicket(Command):
    ticket: TicketId
    by: str
    reason: str = ""


class AttachPerson(Command):
    """A person wants to take over the agent at work on a ticket; where none is, the ticket."""

    ticket: TicketId
    by: str


class GiveApproval(Command):
    approval: ApprovalId
    by: str
    note: str = ""
    tickets: tuple[TicketSpec, ...] = ()
    """For a plan: what the person made of it. Empty: as it was proposed."""


class RejectApproval(Command):
    approval: ApprovalId
    by: str
    why: str


class SendMessage(Command):
    by: str
    text: str
    ticket: TicketId | None = None


class DelegateTask(Command):
    """More work, in words: a planner makes tickets of it."""

    by: str
    text: str


class RequestSave(Command):
    by: str
    to: str = ""
    """ff, branch or pr; empty: as the policy says."""
    into: str = ""
    """Empty: the session's base branch, or for `branch` one beside it."""


# ── what is metered ──────────────────────────────────────────────────────────────────────────────────────────


class Told(Frozen):
    """What a live attempt has told of its usage."""

    ticket: TicketId
    epoch: int
    usage: Usage


class Overdrawn(Frozen):
    """What a live attempt has used beyond what it had set aside."""

    ticket: TicketId
    role: Role
    usd: float = 0.0
    tokens: int = 0


class MeterUsage(Command):
    """The newest figures of all live attempts. An attempt that a cap leaves nothing for is told to hand back, once."""

    told: tuple[Told, ...]


class KeepQuota(Command):
    """How much of the windows of its subscription is used, as a live attempt was told. What is beyond the share that is
    left to the person parks its agent until the window begins anew.
    """

    ticket: TicketId
    epoch: int
    windows: tuple[UsageWindow, ...]


# ── from workers ─────────────────────────────────────────────────────────────────────────────────────────────


class Claim(Command):
    """Ask for one lease. No work is not a refusal: the answer is then an empty list of events."""

    worker: WorkerId
    roles: frozenset[Role]
    labels: frozenset[str] = frozenset()
    agents: frozenset[str] = frozenset()
    """Kinds of agents that this worker has; empty: any."""
    overdrawn: tuple[Overdrawn, ...] = ()
    """By those who are at work in this session."""
    accounts: dict[str, str] = {}
    """Kind of agent → a digest of what this worker's logs in with."""
    visits: bool = False
    """Ask for a ticket at rest that a person wants to take over, and for nothing else."""


class StartAttempt(Command):
    ticket: TicketId
    epoch: int
    sandbox: str
    conversation: str = ""
    resumed: bool = False
    lacks: tuple[str, ...] = ()
    told: str = ""


class NameConversation(Command):
    ticket: TicketId
    epoch: int
    conversation: str


class BeginGating(Command):
    ticket: TicketId
    epoch: int
    commit: Commit


class CompleteAttempt(Command):
    """The end of an attempt, good or bad. Sent again after it was accepted, it changes nothing and is no error."""

    ticket: TicketId
    epoch: int
    report: Report
    receipts: tuple[Receipt, ...] = ()


class ReleaseLease(Command):
    """The worker gives an attempt or a gate back unfinished (a stop, a shutdown)."""

    subject: str
    epoch: int
    reason: str
    report: Report = Report()


class CompleteGate(Command):
    gate: GateId
    epoch: int
    runs: tuple[GateRun, ...]
    receipts: tuple[Receipt, ...]


class BeginVisit(Command):
    """The agent is interrupted, and the person can come in."""

    ticket: TicketId
    epoch: int
    to: str


class EndVisit(Command):
    ticket: TicketId
    epoch: int
    how: Handover
    note: str = ""


class AskPermission(Command):
    """An agent wants to run something. Asked again, by whatever worker, it is the same question."""

    ticket: TicketId
    epoch: int
    call: str
    """The agent's own name for the request."""
    command: str
    cwd: str = ""
    reason: str = ""


class DeliverMessage(Command):
    message: int
    ticket: TicketId
    epoch: int
    how: str


class ReportDenied(Command):
    """A host that an attempt may not reach was asked for."""

    ticket: TicketId
    epoch: int
    host: str
    why: str
    hint: str = ""


class ReportRestart(Command):
    worker: WorkerId
    reason: str


# ── from the engine ──────────────────────────────────────────────────────────────────────────────────────────


class PrepareAttempt(Command):
    ticket: TicketId
    epoch: int
    start: Commit
    conflicts: tuple[str, ...] = ()


class RecordSnapshot(Command):
    ticket: TicketId
    epoch: int
    commit: Commit
    files: int
    left_out: tuple[LeftOut, ...] = ()


class RecordSalvage(Command):
    """The files of a dead attempt's workspace, brought home."""

    ticket: TicketId
    epoch: int
    commit: Commit
    files: int
    left_out: tuple[LeftOut, ...] = ()


class RecordCommits(Command):
    """An agent's own commits are in the store, under these refs."""

    ticket: TicketId
    epoch: int
    refs: tuple[str, ...]


class LoseLease(Command):
    """A lease ran out, or its worker is known to be dead."""

    subject: str
    epoch: int
    reason: str
    usage: Usage = Usage()
    """What it had told of."""


class ExpireApproval(Command):
    approval: ApprovalId


class UnparkAgent(Command):
    """An agent's time has come; or a person has said in another session that it can be used again."""

    agent: str
    account: str
    by: str = ""
    told_by: str = ""


class TimeIsUp(Command):
    """The moment has come until which the session was to work."""


class RecordMerge(Command):
    """The lander has merged a ticket's work (or the base branch) with the tip, cleanly or not."""

    ticket: TicketId | None
    old: Commit
    work: Commit
    commit: Commit | None = None
    """The commit that would land, already in the store; None: there were conflicts."""
    tree: Tree | None = None
    conflicts: tuple[str, ...] = ()
    detail: str = ""


class LandMerge(Command):
    """The landing commit is durable and its gate is green: append the commit point."""

    landing: int
    files: tuple[str, ...] = ()
    waivers: tuple[Receipt, ...] = ()


class BounceLanding(Command):
    landing: int
    reason: str
    detail: str = ""
    files: tuple[str, ...] = ()
    findings: tuple[Finding, ...] = ()


class RequestFullGate(Command):
    """Ask for the full gate on the integration tip, where it has no receipt yet."""


class IntendSave(Command):
    checkpoint: str
    old: Commit | None
    """Where the branch stands now; None: it does not exist yet."""
    new: Commit
    waivers: tuple[Receipt, ...] = ()


class CompleteSave(Command):
    how: str


class RefuseSave(Command):
    reason: str
    detail: str
    files: tuple[str, ...] = ()
    commands: tuple[str, ...] = ()


class Note(Command):
    subject: str
    what: str
    next_step: str = ""
    ticket: TicketId | None = None
