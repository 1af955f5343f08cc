"""What a worker and the router say to each other, as it travels: JSON bodies of `/api/v1`.

The same shapes serve the private socket on this machine and, later, a worker on another one.
"""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from codeswarm.domain.ids import Commit, Tree
from codeswarm.domain.pipeline import Role
from codeswarm.domain.results import GateCommand, GateRun, LeftOut, Report, Usage, UsageWindow, Work
from codeswarm.domain.settings import Patience, WorkspaceSettings
from codeswarm.domain.states import AgentState, Handover


class Wire(BaseModel):
    """A body on the wire. Unknown keys are refused in requests and ignored in answers by older clients."""

    model_config = ConfigDict(frozen=True, extra="ignore")


# ── workers ──────────────────────────────────────────────────────────────────────────────────────────────────


class WorkerHello(Wire):
    """A worker presents itself; again after a restart of the router. Idempotent."""

    worker: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", max_length=100)
    """It becomes the name of a file."""
    pid: int
    started: float
    """When its process began, as /proc tells it: with the pid it names one process for ever."""
    boot: str
    """The boot id of its node: on another boot the pid means nothing."""
    slots: int
    labels: tuple[str, ...] = ()
    terms: str = ""
    """What it was told when it was started, beside its name and its slots: a digest, to be held against another."""


class ClaimRequest(Wire):
    worker: str
    roles: frozenset[Role] = frozenset(Role)
    capabilities: frozenset[str] = frozenset()
    """Kinds of agents; empty: any."""
    accounts: dict[str, Annotated[str, Field(max_length=100)]] = {}
    """Kind of agent → a digest of what it logs in with: the same account of another worker has the same."""
    labels: frozenset[str] = frozenset()
    max: int = Field(1, ge=1, le=64)
    wait_s: float = Field(0.0, ge=0, le=60)
    visits: bool = False
    """For a ticket at rest that a person wants to take over, and for nothing else."""


class WorkspaceOrder(Wire):
    """How a workspace of this project is made."""

    repository: str
    """The person's checkout, for files to copy; empty: none."""
    objects: str
    """The store's objects, borrowed read-only."""
    settings: WorkspaceSettings


class GateOrder(Wire):
    """What a gate's lease is to run."""

    purpose: str
    commit: Commit
    tree: Tree
    base: Commit
    commands: tuple[GateCommand, ...]
    changed_files: tuple[str, ...]
    ticket: str = ""


class Offer(Wire):
    """A lease, as its holder gets it."""

    id: str
    session: str
    subject: str
    epoch: int
    role: Role
    phase: str = ""
    attempt: int = 0
    agent: str = ""
    ttl_s: float
    heartbeat_s: float
    attempt_timeout_s: float
    patience: Patience = Patience()
    conversation: str = ""
    """That of an interrupted attempt of the same agent; it may be gone on with."""
    used: Usage = Usage()
    """What that conversation has used so far."""
    ask: bool = False
    """Whether the agent must ask before it runs something."""
    earlier_epochs: tuple[int, ...] = ()
    """Attempts of this ticket that ended without their worker: their workspaces may still lie here."""
    visitor: str = ""
    """The person whose own attempt it is: they are let in, and no agent starts."""
    workspace: WorkspaceOrder
    gate: GateOrder | None = None


class Offers(Wire):
    leases: tuple[Offer, ...]


class VitalSign(Wire):
    """What an agent is at, as its worker sees it. It is shown, and nothing is decided by it."""

    state: AgentState
    for_s: float = Field(ge=0, le=1e12)
    """How long it has been so."""
    doing: str = Field("", max_length=100)
    """A command under way; why it is stalled."""
    until_ms: int | None = None
    """Rate-limited: when its provider lets it go on."""


class Heartbeat(Wire):
    epoch: int
    messages_seen: int = Field(0, ge=0)
    wait_s: float = Field(0.0, ge=0, le=60)
    usage: Usage | None = None
    """The newest figures of the attempt's conversation, cumulative."""
    windows: tuple[UsageWindow, ...] = Field((), max_length=20)
    """Of the subscription that pays for the agent, if one does."""
    handing_back: bool = False
    """Its agent was told to hand back."""
    attending: bool = False
    """It lets a person in, or has."""
    vital: VitalSign | None = None


class AgentOut(Wire):
    """An agent that runs now."""

    session: str
    ticket: str
    epoch: int
    worker: str
    vital: VitalSign
    """`for_s` counts up to now."""
    heard_s: float
    """How long ago its worker was last heard of."""
    silent: bool = False
    """Whether that is longer than heartbeats are apart: half of its lease is over."""
    usage: Usage = Usage()
    """The newest figures of its conversation."""
    usd: float | None = None
    """What this attempt has cost so far; None: unknown."""
    tokens: int | None = None
    """What it has used so far."""


class MessageOut(Wire):
    number: int
    by: str
    text: str


class HandBackOut(Wire):
    """One more turn for an agent that came to a cap; then the attempt ends over budget."""

    why: str
    seconds: float
    tokens: int


class PulseOut(Wire):
    cancel: str | None = None
    messages: tuple[MessageOut, ...] = ()
    hand_back: HandBackOut | None = None
    """Told until it is said that it is heard."""
    attach: str = ""
    """Who wants to take the attempt over; told until that is attended to."""


class PrepareRequest(Wire):
    epoch: int
    resume: bool = False


class Preparation(Wire):
    """Everything that an attempt begins with."""

    start: Commit
    tree: Tree
    base: Commit
    """The integration commit that `start` builds upon."""
    since_base: tuple[str, ...] = ()
    """The files that `start` changes since then."""
    branch: str
    author_name: str
    author_email: str
    conflicts: tuple[str, ...] = ()
    gitlinks: tuple[str, ...] = ()
    prompt: str
    bundle: dict[str, Any]
    told: str = ""
    """Under which digest the router keeps both."""
    trusted: bool = False
    """A person trusts the repository's settings for agents, and in `start` they are as that person saw them."""
    gates: tuple[GateCommand, ...] = ()
    contract_files: tuple[str, ...] = ()
    """What `{files}` stands for in a gate; empty: the files that the attempt changed."""
    newer_base: bool = False
    """Others have landed since the contract was written: it may be satisfied already."""
    has_work: bool = False
    """`start` holds work of earlier attempts at this phase: the gate judges it even if nothing is added."""
    resumed: bool = False
    """`start` holds the files of the interrupted attempt, and the prompt goes on in its conversation."""
    messages_seen: int = 0


class StartRequest(Wire):
    epoch: int
    sandbox: str
    conversation: str = ""
    resumed: bool = False
    lacks: tuple[str, ...] = ()
    told: str = ""


NAME = "[!-~]{1,200}"
"""What an agent may call its conversation, as a regular expression."""


class ConversationRequest(Wire):
    epoch: int
    conversation: Annotated[str, Field(pattern=f"^{NAME}$")]


class SnapshotAnswer(Wire):
    commit: Commit
    tree: Tree
    changed: bool
    left_out: tuple[LeftOut, ...] = ()


class GatingRequest(Wire):
    epoch: int
    commit: Commit


class WorkAnswer(Wire):
    work: Work
    since_base: tuple[str, ...] = ()
    """The files that the ticket changes as a whole, by all of its attempts: what a landing of it would bring."""
    left_out: tuple[LeftOut, ...] = ()


class CompleteRequest(Wire):
    """The end of an attempt (`report`) or of a gate (`runs`)."""

    epoch: int
    report: Report | None = None
    runs: tuple[GateRun, ...] = ()


class ReleaseRequest(Wire):
    epoch: int
    reason: str
    report: Report = Report()


class DeliveredRequest(Wire):
    epoch: int
    message: int
    how: str


class DeniedRequest(Wire):
    """A host that an agent asked for and did not get."""

    epoch: int
    host: str = Field(min_length=1, max_length=300)
    why: str = Field(max_length=1000)
    hint: str = Field("", max_length=1000)


class AskRequest(Wire):
    """What an agent wants to run, and how long to wait for an answer."""

    epoch: int
    call: str = Field(max_length=500)
    command: str
    cwd: str = ""
    reason: str = ""
    wait_s: float = Field(0.0, ge=0, le=60)


class VisitRequest(Wire):
    """A person is in, or has left."""

    epoch: int
    to: str = ""
    """What they were let in to; empty: they have left."""
    how: Handover = Handover.HAND_BACK
    note: str = Field("", max_length=10_000)


class AnswerOut(Wire):
    answered: bool
    allowed: bool = False
    by: str = ""
    why: str = ""


class RestartRequest(Wire):
    worker: str
    reason: str
    session: str


class Problem(Wire):
    """RFC 9457, with a `hint` and the exit code that a command line ends with."""

    type: str = "about:blank"
    title: str
    status: int
    detail: str = ""
    hint: str = ""
    exit_code: int = 2
