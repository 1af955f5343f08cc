"""The settings that decisions depend on. They are recorded with the session, so that a replay decides the same."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field, field_validator

from codeswarm.domain.model import Frozen
from codeswarm.domain.pipeline import DEFAULT_PIPELINE, SHIPPED, Pipeline, Role
from codeswarm.domain.results import GateCommand

Positive = Annotated[int, Field(ge=1)]
Seconds = Annotated[float, Field(ge=0, le=1e9)]


class Bounds(Frozen):
    """Nothing spins: every loop that a ticket can go round has a bound."""

    max_attempts: Positive = 3
    """The agent's own failures, per phase and generation."""
    max_interruptions: Positive = 20
    """Losses, cancellations, quotas, exit 75: not the agent's fault, but not for ever either."""
    max_change_rounds: Positive = 5
    max_bounces: Positive = 5
    max_disputes: Annotated[int, Field(ge=0)] = 1
    backoff_base_s: Seconds = 2.0
    backoff_max_s: Seconds = 300.0
    backoff_jitter: Annotated[float, Field(ge=0, le=1)] = 0.25
    max_bursts: Positive = 3
    """So many refusals for too much at once within `burst_window_s` send a ticket's next attempt to another choice."""
    burst_window_s: Seconds = 600.0
    park_base_s: Seconds = 300.0
    """How long an agent whose quota is spent is left alone where nobody says for how long; it doubles each time."""
    park_max_s: Seconds = 7200.0
    max_restarts: Positive = 20
    """More than this within `restart_window_s` suspends the session: a meltdown."""
    restart_window_s: Seconds = 60.0


Limit = Annotated[float, Field(gt=0)]


class Patience(Frozen):
    """How long an agent may give no sign of life before it counts as stalled: what it is at explains so much of it."""

    spawning_s: Limit = 600.0
    """Its process does not come up."""
    thinking_s: Limit = 1800.0
    """It waits for its model."""
    command_s: Limit = 3600.0
    """Something that it started is under way."""
    busy_s: Limit = 5400.0
    """It is busy, and that alone is its sign of life: no word, no file."""
    stopped_s: Limit = 300.0
    """It was stopped by a signal."""

    @property
    def shortest_s(self) -> float:
        return min(self.spawning_s, self.thinking_s, self.command_s, self.busy_s, self.stopped_s)


class Leasing(Frozen):
    lease_ttl_s: Limit = 60.0
    heartbeat_s: Limit = 10.0
    attempt_timeout_s: Limit = 7200.0
    silence_timeout_s: Limit = 1800.0
    spawning_timeout_s: Limit = 600.0
    command_timeout_s: Limit = 3600.0
    busy_timeout_s: Limit = 5400.0
    stopped_timeout_s: Limit = 300.0

    @property
    def patience(self) -> Patience:
        return Patience(
            spawning_s=self.spawning_timeout_s,
            thinking_s=self.silence_timeout_s,
            command_s=self.command_timeout_s,
            busy_s=self.busy_timeout_s,
            stopped_s=self.stopped_timeout_s,
        )


class Gates(Frozen):
    """The project's gates. A gate that is None is not configured."""

    fast: GateCommand | None = None
    full: GateCommand | None = None
    contract: GateCommand | None = None
    waived_by: str | None = None
    """Who said `--no-gate`: the project's own gates are not run, and every landing says so."""
    allow_red_base_by: str | None = None
    ticket_timeout_s: float = 900.0

    def named(self, name: str | None) -> GateCommand | None:
        """The command of a gate by name; `full` falls back to `fast`, `contract` has no fallback here."""
        if name is None or self.waived_by is not None:
            return None
        command = {"full": self.full or self.fast, "fast": self.fast or self.full, "contract": self.contract}[name]
        if command is not None and self.allow_red_base_by is not None:
            return command.model_copy(update={"red_may_pass": True})
        return command


class Until(Frozen):
    """When a session stops by itself: no new work from then on."""

    at_ms: int
    """By the wall clock: what a person calls 07:00 stays that, whatever the machine did meanwhile."""
    said: Annotated[str, Field(min_length=1, max_length=100)]
    """The moment as the person reads it, in their own time zone."""


class Policy(Frozen):
    approve_plan: bool = False
    approve_landing: bool = False
    landing_approvals: Positive = 1
    """How many distinct people."""
    sensitive: tuple[str, ...] = ()
    """Globs: a change to one of these asks for a landing approval even where others don't."""
    approval_timeout_s: Seconds = 86_400.0
    commands: str = "allow"
    """What an agent may run that no pattern names: allow, or ask a person first."""
    commands_allow: tuple[str, ...] = ()
    commands_deny: tuple[str, ...] = ()
    save_at_end: bool = False
    continuous: bool = False
    save_to: str = "ff"
    target: Positive | None = None
    until: Until | None = None
    plan_only: bool = False
    """The session is over once its plan is made."""
    planner: bool = True
    """Whether planners are asked for what nobody asked in words: proposals, interfaces, the final answer."""
    escalate: tuple[str, ...] = ()
    """Roles whose next attempt goes to the next choice after a red gate; `*` stands for all."""
    max_planned: Positive = 200
    """Planners may bring a session to this many tickets."""

    @property
    def asks(self) -> bool:
        """Whether agents must ask before they run something."""
        return self.commands != "allow" or bool(self.commands_deny)


class Caps(Frozen):
    """What may be spent in some part of a session; None: no bound of its own."""

    usd: Annotated[float, Field(gt=0)] | None = None
    """In USD."""
    tokens: Positive | None = None
    """In tokens."""


class BudgetSettings(Frozen):
    usd: Annotated[float, Field(gt=0)] | None = None
    tokens: Positive | None = None
    per_ticket_usd: Annotated[float, Field(gt=0)] | None = None
    per_ticket_tokens: Positive | None = None
    roles: dict[Role, Caps] = {}
    """Of all attempts of a role together."""
    reserve_usd: Annotated[float, Field(ge=0)] = 0.5
    """Set aside for an attempt before it starts, until what it really cost is known."""
    reserve_tokens: Annotated[int, Field(ge=0)] = 100_000
    hand_back_s: Annotated[float, Field(gt=0, le=1e9)] = 300.0
    """How long the one turn may take in which an agent at a cap says what is left to be done."""
    hand_back_tokens: Positive = 50_000
    count_subscription: bool = False
    """Whether what a subscription pays for counts against caps in USD."""
    quota_reserve: Annotated[float, Field(ge=0, le=1)] = 0.0
    """The share of each usage window of a subscription that is left to the person."""

    @property
    def in_usd(self) -> bool:
        """Whether anything is bounded in USD."""
        roles = any(caps.usd is not None for caps in self.roles.values())
        return roles or self.usd is not None or self.per_ticket_usd is not None

    @property
    def in_tokens(self) -> bool:
        roles = any(caps.tokens is not None for caps in self.roles.values())
        return roles or self.tokens is not None or self.per_ticket_tokens is not None


HOSTS_OWN = "@host"
"""The host's own network, without a list: for programs that know of no proxy."""


class WorkspaceSettings(Frozen):
    """How workers make workspaces. Nothing is decided by it; it is recorded so that a resumed session works alike."""

    kind: str = "auto"
    """auto · overlay · checkout"""
    setup: str | None = None
    setup_inputs: tuple[str, ...] = ()
    setup_network: tuple[str, ...] = ()
    """Which hosts set-up may reach; with `@host` it has the host's network."""
    setup_timeout_s: float = 1800.0
    copies: tuple[str, ...] = ()
    """Files that git ignores and that are copied from the person's checkout."""
    ports: tuple[str, ...] = ()
    max_file_bytes: int = 100 << 20
    max_ignored_bytes: int = 64 << 20
    sandbox: str = "bubblewrap"
    agent_network: bool = True
    network: tuple[str, ...] = ("@agent", "@registries")
    """Which hosts agents may reach, where their walls can tell one from another."""
    visible: tuple[str, ...] = ()
    """Further host paths that may be read inside."""
    memory_mib: int | None = None
    cpus: float | None = None
    pids: int | None = None
    """The most that an agent, a gate or a set-up may use, each with all that it starts."""

    @field_validator("setup_network", mode="before")
    @classmethod
    def _as_it_was(cls, value: Any) -> Any:
        """Ledgers of earlier versions know only whether it had the host's."""
        return (HOSTS_OWN,) * value if isinstance(value, bool) else value


class Settings(Frozen):
    """Everything that `decide` reads beside the state itself, and what workers need to know."""

    pipelines: dict[str, Pipeline] = SHIPPED
    default_pipeline: str = DEFAULT_PIPELINE
    roles: dict[str, tuple[str, ...]] = {}
    """Role → agent specs, first choice first; `*` stands for every role that is not named."""
    role_caps: dict[str, Positive] = {}
    """Role → how many agents of it at once."""
    bounds: Bounds = Bounds()
    leasing: Leasing = Leasing()
    gates: Gates = Gates()
    policy: Policy = Policy()
    budget: BudgetSettings = BudgetSettings()
    workspace: WorkspaceSettings = WorkspaceSettings()
    trusted: str = ""
    """Digest of the repository's settings for agents that a person trusts (`codeswarm trust`); empty: none."""
    workers: Positive = 4
    """Agents at once: what the session was started with."""
    default_estimate_s: float = 600.0
    seed: int = 0

    def agents_for(self, role: str) -> tuple[str, ...]:
        return self.roles.get(role) or self.roles.get("*") or ()
