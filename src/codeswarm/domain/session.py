"""The state that events add up to. Plain mutable dataclasses, changed by `evolve` alone."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

from pydantic import JsonValue

from codeswarm.domain.ids import ApprovalId, Commit, GateId, SessionId, TicketId, Tree, WorkerId
from codeswarm.domain.pipeline import Phase, Role
from codeswarm.domain.results import (
    Contract,
    Failure,
    FailureClass,
    Finding,
    GateCommand,
    GateRun,
    Receipt,
    Usage,
)
from codeswarm.domain.scheduling import ReadyQueue
from codeswarm.domain.settings import Settings
from codeswarm.domain.states import (
    LIVE_ATTEMPT,
    AttemptStatus,
    Handover,
    Outcome,
    Purpose,
    SessionStatus,
    SuspendReason,
    TicketStatus,
    Visit,
    WaitReason,
)
from codeswarm.domain.ticket import KeptSource, TicketSpec

AgentKey = tuple[str, str]
"""An agent (its spec; `KIND:*` for all models of a CLI) and the account that it answers by."""


@dataclass(slots=True)
class Parking:
    """Why an agent is left alone, or was, and until when."""

    why: FailureClass
    detail: str
    since_ms: int
    until_ms: int | None
    """None: until a person says so."""
    told_by: str
    """The session that saw it; empty: this one."""
    times: int
    """How often in a row it was parked without a success in between."""
    state: str = "parked"
    """parked · unparked"""
    by: str = ""
    """Who unparked it; empty: its time had come."""
    changed_ms: int = 0
    """When the last word about it was said, wherever that was."""


@dataclass(slots=True, frozen=True)
class Breach:
    """Why an attempt was told to hand back."""

    cap: str
    """session · role · ticket"""
    detail: str


@dataclass(slots=True, frozen=True)
class Rested:
    """How a ticket rested that a person has taken over: so it rests again unless they say otherwise."""

    status: TicketStatus
    reason: str
    waiting: WaitReason | None
    detail: str
    phase_index: int
    advanced: bool
    not_before_ms: int


@dataclass(slots=True, frozen=True)
class Wish:
    """That a person wants to take over a ticket at rest."""

    by: str
    at_ms: int


@dataclass(slots=True)
class Attempt:
    """One epoch of one phase of one ticket."""

    epoch: int
    phase: str
    role: Role
    number: int
    """From 1 among the ticket's attempts at this phase."""
    worker: WorkerId
    agent: str
    account: str
    base: Commit
    leased_ms: int
    status: AttemptStatus = AttemptStatus.LEASED
    start: Commit | None = None
    conflicts: tuple[str, ...] = ()
    sandbox: str = ""
    conversation: str = ""
    resumed: bool = False
    snapshot: Commit | None = None
    """The newest commit that its wip ref holds."""
    head: Commit | None = None
    ended_ms: int | None = None
    failure: Failure | None = None
    usage: Usage = Usage()
    reserved_usd: float = 0.0
    reserved_tokens: int = 0
    charged_usd: float = 0.0
    """What it cost once ended, its own share of its conversation; as reserved where that is unknown."""
    charged_tokens: int = 0
    subscription_usd: float = 0.0
    """The same where a subscription paid and that does not count."""
    breach: Breach | None = None
    """The cap that it came to: it was told to hand back."""
    late: bool = False
    """A result came after the lease was lost."""
    transcript: str = ""
    transcript_size: int = 0
    gate_runs: tuple[GateRun, ...] = ()
    summary: str = ""
    denied: tuple[str, ...] = ()
    """Hosts that it asked for in vain."""
    visit: Visit = Visit.NONE
    visitor: str = ""
    """The person who has taken it over, or wants to."""
    left: Handover | None = None
    """How they have left it again, and what they said of it."""
    note: str = ""
    rested: Rested | None = None
    """Set where the attempt is a person's own, on a ticket that rested."""
    questions: int = 0
    """How often its agent has asked before it ran something."""

    @property
    def live(self) -> bool:
        return self.status in LIVE_ATTEMPT

    @property
    def discarded(self) -> bool:
        """A person has discarded it: nothing of it is gone on with."""
        return self.left is Handover.DISCARD

    @property
    def cost_usd(self) -> float:
        """Its own share of what its conversation cost, whoever paid; as reserved where that is unknown."""
        return self.charged_usd + self.subscription_usd

    @property
    def cost_known(self) -> bool:
        """Whether what it cost is known once it has ended. Of one that was lost only the least is."""
        return self.usage.cost_usd is not None and self.status is not AttemptStatus.LOST


@dataclass(slots=True, frozen=True)
class ContractRef:
    """A finished contract: the words, and the commit and files that hold the tests."""

    contract: Contract
    commit: Commit
    base: Commit
    files: tuple[str, ...]
    epoch: int


@dataclass(slots=True, frozen=True)
class Draft:
    """What test writers have changed in the work so far, attempts that did not succeed included."""

    base: Commit
    """What the first of them began with."""
    files: tuple[str, ...]


@dataclass(slots=True, frozen=True)
class Feedback:
    """Why a ticket came back, for whoever works on it next."""

    source: str
    """reviewer · verifier · gate · conflict · dispute · person · failure"""
    text: str
    epoch: int
    findings: tuple[Finding, ...] = ()
    files: tuple[str, ...] = ()


@dataclass(slots=True)
class Planning:
    """What a planner was asked, and how far it has come."""

    purpose: Purpose
    text: str
    by: str
    about: tuple[TicketId, ...] = ()
    proposed: tuple[dict[str, JsonValue], ...] = ()
    rows: dict[str, dict[str, JsonValue]] = field(default_factory=dict)
    """The plan so far, by id: rows of the skeleton, each written over by its expansion."""
    groups: list[tuple[str, ...]] = field(default_factory=list)
    """What is expanded together, in that order."""
    rejections: int = 0
    result: str = ""


@dataclass(slots=True, frozen=True)
class Spent:
    usd: float = 0.0
    tokens: int = 0


@dataclass(slots=True)
class Spending:
    """What attempts have cost and have set aside, and how many of them didn't say."""

    usd: float = 0.0
    """What counts against caps."""
    tokens: int = 0
    reserved_usd: float = 0.0
    reserved_tokens: int = 0
    unknown: int = 0
    subscription_usd: float = 0.0
    """What subscriptions paid for, as it would have cost without one, and what does not count against caps."""


@dataclass(slots=True)
class Ticket:
    spec: TicketSpec
    place: int
    """Where it stands in the plan."""
    wave: int
    phases: tuple[Phase, ...]
    status: TicketStatus = TicketStatus.READY
    open_blockers: int = 0
    phase_index: int = 0
    generation: int = 1
    epoch: int = 0
    attempts: dict[int, Attempt] = field(default_factory=dict)
    live_epoch: int | None = None
    tries: dict[str, int] = field(default_factory=dict)
    """Phase → how many attempts at it there were."""
    failures: int = 0
    """Charged ones, in this visit of this phase."""
    interruptions: int = 0
    bursts: tuple[int, ...] = ()
    """When its agents were asked for too much at once, in this visit of this phase, within the window."""
    passed_over: str = ""
    """The choice that the next attempt leaves out, if there is another one."""
    rungs: dict[str, int] = field(default_factory=dict)
    """Phase → the choice, counted from 0, that red gates have brought it up to."""
    change_rounds: int = 0
    bounces: int = 0
    disputes: int = 0
    conflict: int = 0
    """0 none; 1 the next attempt begins with conflict markers; 2 it begins on the tip, the work beside it."""
    work: Commit | None = None
    """What the next attempt begins with; None: the tip."""
    advanced: bool = False
    """Whether `work` holds what earlier attempts at this visit of the phase made: one that adds nothing to it is then
    judged by its gate."""
    reference: Commit | None = None
    """Snapshot of a lost or failed attempt, to look at."""
    conversation_epoch: int | None = None
    """The interrupted attempt whose conversation may be gone on with."""
    draft: Draft | None = None
    contract: ContractRef | None = None
    plan: str | None = None
    feedback: list[Feedback] = field(default_factory=list)
    files: tuple[str, ...] = ()
    """What its work changes, as far as known."""
    ready_ms: int = 0
    not_before_ms: int = 0
    road_s: float = 0.0
    waiting: WaitReason | None = None
    waiting_detail: str = ""
    reason: str = ""
    """Why it failed, is on hold or was cancelled."""
    approved_work: Commit | None = None
    """The work commit that a landing approval was granted for."""
    landed: Commit | None = None
    landed_ms: int | None = None
    changed_ms: int = 0
    """When its text or its edges were last changed by a person, or it came to an end."""
    messages_seen: int = 0
    forgiven: Spent = Spent()
    """What had been spent on it when a person let it go on: its cap counts from there."""
    planning: Planning | None = None
    """Set for a planner's work, which lands nothing."""

    @property
    def id(self) -> TicketId:
        return self.spec.id

    @property
    def shown_status(self) -> TicketStatus:
        if self.status is TicketStatus.READY and self.open_blockers:
            return TicketStatus.PENDING
        return self.status

    @property
    def done_with_phases(self) -> bool:
        return self.phase_index >= len(self.phases)

    @property
    def phase(self) -> Phase:
        """The phase that it is in; after the last one, that one."""
        return self.phases[-1 if self.phase_index >= len(self.phases) else self.phase_index]

    @property
    def live(self) -> Attempt | None:
        return None if self.live_epoch is None else self.attempts[self.live_epoch]


@dataclass(slots=True)
class Gate:
    """Gate commands to be run on one tree by a verifier."""

    id: GateId
    purpose: str
    commit: Commit
    tree: Tree
    commands: tuple[GateCommand, ...]
    base: Commit
    ticket: TicketId | None
    epoch: int = 0
    live_epoch: int | None = None
    worker: WorkerId | None = None
    leased_ms: int | None = None
    interruptions: int = 0
    not_before_ms: int = 0
    state: str = "open"
    """open · running · green · red · abandoned"""
    reason: str = ""
    requested_ms: int = 0


@dataclass(slots=True)
class Landing:
    """A try to land a ticket's work, or to catch up with the base branch."""

    number: int
    ticket: TicketId | None
    old: Commit
    work: Commit
    commit: Commit
    tree: Tree
    commands: tuple[GateCommand, ...]
    at_ms: int
    gate: GateId | None = None
    state: str = "under_way"
    """under_way · landed · bounced"""
    reason: str = ""
    receipts: tuple[str, ...] = ()


@dataclass(slots=True)
class Checkpoint:
    """A saved state, or one that was about to be saved."""

    id: str
    branch: str
    old: Commit | None
    new: Commit
    at_ms: int
    state: str = "intended"
    """intended · saved · refused"""
    how: str = ""


@dataclass(slots=True)
class Approval:
    id: ApprovalId
    subject: str
    evidence: str
    why: str
    expires_ms: int
    needed: int
    ticket: TicketId | None
    requested_ms: int
    risk: int = 0
    reasons: tuple[str, ...] = ()
    given_by: list[str] = field(default_factory=list)
    state: str = "open"
    """open · granted · rejected · expired · voided"""
    epoch: int = 0
    """The attempt that asks before it runs something."""
    command: str = ""
    cwd: str = ""
    answered_by: str = ""
    reason: str = ""
    """Why it was answered with no, or is moot."""
    used: bool = False
    """Whether the agent that asked has had its answer."""


@dataclass(slots=True)
class PlanState:
    number: int
    tickets: tuple[TicketSpec, ...]
    by: str
    accepted: bool = False
    planning: TicketId | None = None
    adds: bool = False


@dataclass(slots=True)
class Save:
    """A save under way."""

    by: str
    to: str
    into: str
    checkpoint: Checkpoint | None = None
    """Set once the move is intended: from then on it is finished or refused, never forgotten."""


@dataclass(slots=True, frozen=True)
class Message:
    number: int
    by: str
    text: str
    ticket: TicketId | None
    at_ms: int


@dataclass(slots=True)
class Session:
    id: SessionId
    name: str = ""
    goal: str = ""
    by: str = ""
    base_branch: str = ""
    base: Commit = Commit("")
    base_tree: Tree = Tree("")
    tip: Commit = Commit("")
    tip_tree: Tree = Tree("")
    settings: Settings = field(default_factory=Settings)
    status: SessionStatus = SessionStatus.DRAFT
    suspended_from: SessionStatus | None = None
    suspend_reason: SuspendReason | None = None
    detail: str = ""
    """Why it is suspended, awaits a review, was finalized or cancelled."""
    review_reason: str = ""
    outcome: Outcome | None = None
    started_ms: int = 0
    ended_ms: int | None = None
    plan: PlanState | None = None
    additions: dict[int, PlanState] = field(default_factory=dict)
    """Tickets on top of the plan that nobody has accepted yet."""
    plans: int = 0
    plannings: dict[TicketId, None] = field(default_factory=dict)
    """Planners' tickets among `tickets`."""
    answer: str = ""
    """The planner's last words to the person."""
    answered: int = 0
    """How many tickets had landed when the final answer was last asked for."""
    to_be_started: bool = False
    """In draft until a person resumes it."""
    sources: list[KeptSource] = field(default_factory=list)
    forgotten: bool = False
    """What its agents were told and said was thrown away."""
    base_ready: bool = False
    """The gate on the base is green, or was waived."""
    base_failing: tuple[str, ...] = ()
    tickets: dict[TicketId, Ticket] = field(default_factory=dict)
    dependents: dict[TicketId, list[TicketId]] = field(default_factory=dict)
    ready: ReadyQueue = field(default_factory=ReadyQueue)
    in_progress: dict[TicketId, Role] = field(default_factory=dict)
    visits: dict[TicketId, Wish] = field(default_factory=dict)
    """Tickets at rest that a person wants to take over."""
    parked: dict[AgentKey, Parking] = field(default_factory=dict)
    """Agents to which nothing is sent now."""
    parkings: dict[AgentKey, Parking] = field(default_factory=dict)
    """The newest of each agent, over or not."""
    accounts: dict[str, str] = field(default_factory=dict)
    """Kind of agent → the account that was last heard of: what a claim that knows none would go by."""
    without_agent: dict[TicketId, None] = field(default_factory=dict)
    """Tickets that wait since all agents of their role are parked."""
    gates: dict[GateId, Gate] = field(default_factory=dict)
    """The open ones."""
    all_gates: dict[GateId, Gate] = field(default_factory=dict)
    landing_queue: dict[TicketId, None] = field(default_factory=dict)
    """In the order of arrival."""
    right_of_way: dict[TicketId, None] = field(default_factory=dict)
    """Tickets that came back from a conflict, in that order: what touches their files lands after them."""
    landing: Landing | None = None
    """The one under way."""
    landings: dict[int, Landing] = field(default_factory=dict)
    landed: list[TicketId] = field(default_factory=list)
    withdrawn: int = 0
    """Tickets that were cancelled: nobody waits for them to land."""
    full_gate_tree: Tree | None = None
    """The last tree that a full gate was finished on."""
    full_gate_green: bool = False
    receipts: dict[tuple[Tree, str], Receipt] = field(default_factory=dict)
    """The newest passing receipt of a command on a tree."""
    save: Save | None = None
    checkpoints: dict[str, Checkpoint] = field(default_factory=dict)
    saved_tip: Commit | None = None
    save_refused: str = ""
    approvals: dict[ApprovalId, Approval] = field(default_factory=dict)
    open_approvals: dict[ApprovalId, None] = field(default_factory=dict)
    approval_count: int = 0
    asked: dict[str, ApprovalId] = field(default_factory=dict)
    """The newest approval for each question of an agent, by its digest."""
    calls: dict[str, ApprovalId] = field(default_factory=dict)
    """What each request of an agent was answered by."""
    messages: list[Message] = field(default_factory=list)
    spending: Spending = field(default_factory=Spending)
    role_spending: dict[Role, Spending] = field(default_factory=dict)
    """The same by role."""
    restarts: deque[int] = field(default_factory=deque)
    """When something died, within the window, in ms."""
    last_restart: str = ""
    version: int = 0
    """Events applied."""

    @property
    def target_reached(self) -> bool:
        target = self.settings.policy.target
        return target is not None and len(self.landed) >= target

    @property
    def to_land(self) -> int:
        """How many tickets are built or are still to be."""
        return len(self.tickets) - len(self.plannings) - self.withdrawn

    @property
    def left(self) -> int:
        """How many of them have not landed."""
        return self.to_land - len(self.landed)

    @property
    def saved(self) -> bool:
        """Whether all that has landed is saved, and nobody is asked for anything."""
        return bool(self.landed) and self.saved_tip == self.tip and not self.open_approvals

    @property
    def planned(self) -> bool:
        """Whether there are tickets to be built, or were before they were cancelled."""
        return len(self.tickets) > len(self.plannings)

    @property
    def planning(self) -> bool:
        """Whether a planner is at work, can be claimed, or could but for its agents, which are parked."""
        return bool(self.plannings) and any(
            id_ in self.ready or id_ in self.in_progress or id_ in self.without_agent for id_ in self.plannings
        )

    @property
    def can_claim(self) -> bool:
        """Whether a ticket could be claimed, now or as soon as an agent is back."""
        return self.planning or (bool(self.ready or self.without_agent) and not self.target_reached)

    @property
    def working(self) -> bool:
        """Whether an agent, a landing or a gate is under way, or a ticket could be claimed."""
        return self.can_claim or bool(self.in_progress or self.landing or self.landing_queue or self.gates)
