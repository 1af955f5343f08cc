"""Starting a session: what the person asked for, the repository as it is and the settings in force become one command.

Everything that can be wrong is found here, before anything is recorded.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import Base64Bytes, BaseModel, ConfigDict, Field

from codeswarm.agents.base import AgentSpec
from codeswarm.config import Config, Loaded
from codeswarm.detection.base import FILE
from codeswarm.domain import commands as cmd
from codeswarm.domain.ids import SessionId, name_problem
from codeswarm.domain.parking import concerns
from codeswarm.domain.pipeline import Role
from codeswarm.domain.plan import Plan, read_plan
from codeswarm.domain.planning.steps import standing
from codeswarm.domain.results import GateCommand
from codeswarm.domain.session import Session
from codeswarm.domain.settings import (
    Bounds,
    BudgetSettings,
    Caps,
    Gates,
    Leasing,
    Policy,
    Settings,
    Until,
    WorkspaceSettings,
)
from codeswarm.domain.ticket import KeptSource, TicketSpec
from codeswarm.engine import refs
from codeswarm.engine.agents import check_agents, told_parked
from codeswarm.engine.beginning import begin_from
from codeswarm.engine.engine import Engine
from codeswarm.engine.pipelines import pipelines_of
from codeswarm.engine.project import Base, Project
from codeswarm.engine.threads import in_thread
from codeswarm.engine.trust import asked_of
from codeswarm.environment import Environment
from codeswarm.errors import ConfigError, TicketsInvalid, UsageError
from codeswarm.host import program
from codeswarm.ledger.base import Recorded, Reply
from codeswarm.sandbox.base import Sandbox
from codeswarm.sandbox.factory import choose

DEFAULT_ROLES = {"*": ["claude"]}
MOST_WORDS = 200_000
"""Characters of a specification."""


class KeptFile(BaseModel):
    """A foreign file that tickets were made of, to be kept as it is."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: str = Field(max_length=20)
    name: str = Field(max_length=1000)
    data: Base64Bytes


class TicketsRequest(BaseModel):
    """More tickets for a session, as in a tickets file."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    by: str
    plan: dict[str, Any]
    source: str = "tickets"
    original: KeptFile | None = None


class SessionRequest(BaseModel):
    """What a person asks for with `run`. `flags` are settings by section and key, as in `codeswarm.toml`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    by: str
    goal: str = ""
    name: str = ""
    plan: dict[str, Any] | None = None
    """A tickets file's content; None: a planner makes the plan."""
    ask: str = ""
    """Where there are no tickets: what is wanted, in words: a goal or a whole specification."""
    plan_only: bool = False
    source: str = "tickets"
    original: KeptFile | None = None
    draft: bool = False
    """Record it, and begin nothing until it is resumed."""
    base: str | None = None
    flags: dict[str, dict[str, Any]] = {}
    no_gate: bool = False
    allow_red_base: bool = False
    approve_plan_by_default: bool = False
    """Whether there is a terminal to ask on."""
    save_at_end: bool = False
    target: int | None = None
    until: Until | None = None


@dataclass(frozen=True, slots=True)
class Started:
    """A session that began, and what the person should know of how."""

    session: SessionId
    base: Base
    unseen: tuple[str, ...]
    notes: tuple[str, ...] = field(default=())
    """Settings of the repository that were ignored, waivers, walls."""


@dataclass(frozen=True, slots=True)
class Resolved:
    """What a session would begin with."""

    base: Base
    loaded: Loaded
    settings: Settings
    plan: Plan | None
    """None: a planner makes it."""
    sandbox: Sandbox
    notes: tuple[str, ...] = ()
    """Later choices of roles that can't be used here."""


class Sessions:
    def __init__(self, engine: Engine, environment: Environment, directory: Path, new_id: Callable[[], str]) -> None:
        """`directory`: where relative names in agents' commands are looked up."""
        self._engine = engine
        self._environment = environment
        self._resolver = Resolver(engine.project, environment, directory)
        self._new_id = new_id

    async def start(self, request: SessionRequest, key: str | None = None) -> Started:
        """Start a session, durably. Raises: UsageError and its kinds, with everything that is wrong."""
        resolved = await in_thread(self._resolver.resolve, request)
        base, loaded, plan, sandbox = resolved.base, resolved.loaded, resolved.plan, resolved.sandbox
        self._check_free(request.name)
        unseen = await in_thread(self._engine.project.unseen)
        session = SessionId(self._new_id())
        await in_thread(self._fetch, session, base)
        workspace = await in_thread(self._workspace, loaded.config, sandbox.kind)
        seed = int(session, 36) & 0xFFFF_FFFF
        asked = await in_thread(asked_of, self._engine.project, self._environment, base.commit)
        trusted = asked.agents if asked.trusts_agents else ""
        settings = resolved.settings.model_copy(update={"seed": seed, "workspace": workspace, "trusted": trusted})
        command = cmd.StartSession(
            session=session,
            name=request.name,
            goal=request.goal or (plan.goal if plan else ""),
            base_branch=base.branch,
            base=base.commit,
            base_tree=self._engine.store.tree(base.commit),
            settings=settings,
            tickets=plan.tickets if plan else (),
            by=request.by,
            unseen=unseen[:200],
            ask=request.ask or request.goal,
            draft=request.draft,
            kept=await in_thread(self._keep, request.original),
            parked=self._engine.parkings.holding(),
        )
        reply = Reply(key, f'{{"session":"{session}"}}') if key else None
        await self._engine.kernel.execute(session, command, reply=reply)
        notes = [*resolved.notes, *(f"ignored from {FILE}: {what}" for what in loaded.ignored)]
        notes += [told_parked(session, one) for one in command.parked if concerns(settings, one.agent)]
        notes += [f"{key} is set and has no effect in this version" for key in loaded.without_effect]
        notes += await in_thread(self._engine.project.not_copied, loaded.config.workspace.copy_)
        notes += asked.notes
        if setup := settings.workspace.setup:
            notes.append(f"set-up: `{setup}` runs first, and what it makes is kept; later ones take a moment")
        return Started(session, base, unseen, (*notes, f"sandbox {sandbox.kind}: {sandbox.promises}"))

    async def add(self, session: SessionId, request: TicketsRequest) -> list[Recorded]:
        """Add tickets to a session, all or none. Raises: TicketsInvalid, ConfigError, Refused."""
        state = self._engine.kernel.session(session)
        plan = read_plan(request.plan, state.settings.pipelines, standing(state))
        if isinstance(plan, list):
            raise TicketsInvalid(request.source, [str(problem) for problem in plan])
        if not state.to_be_started:
            await in_thread(self._resolver.check_agents, plan, state.settings)
        kept = await in_thread(self._keep, request.original)
        return await self._engine.ask(session, cmd.AddTickets(tickets=plan.tickets, by=request.by, kept=kept))

    def _keep(self, file: KeptFile | None) -> tuple[KeptSource, ...]:
        if file is None:
            return ()
        digest = self._engine.artifacts.put(file.data)
        return (KeptSource(kind=file.kind, name=file.name, digest=digest, size=len(file.data)),)

    def _check_free(self, name: str) -> None:
        if name and (taken := [row["id"] for row in self._engine.kernel.ledger.table("sessions", name=name)]):
            raise name_taken(taken[0], name)

    def _fetch(self, session: SessionId, base: Base) -> None:
        store = self._engine.store
        store.fetch(self._engine.project.git_dir, f"+refs/heads/{base.branch}:{refs.theirs(session)}")
        store.set_ref(refs.base(session), base.commit)
        store.set_ref(refs.integration(session), base.commit)
        store.sync()

    def _workspace(self, config: Config, sandbox: str) -> WorkspaceSettings:
        workspace = config.workspace
        included = self._engine.project.included()
        return WorkspaceSettings(
            kind=workspace.kind,
            setup=workspace.setup,
            setup_inputs=tuple(workspace.setup_inputs),
            setup_network=tuple(workspace.setup_network),
            setup_timeout_s=workspace.setup_timeout_s,
            copies=tuple(dict.fromkeys((*workspace.copy_, *included))),
            ports=tuple(workspace.ports),
            max_file_bytes=workspace.max_file_mib << 20,
            max_ignored_bytes=workspace.max_ignored_mib << 20,
            sandbox=sandbox,
            agent_network=bool(config.sandbox.network),
            network=tuple(config.sandbox.network),
            visible=tuple(config.sandbox.read),
            memory_mib=config.sandbox.memory_mib,
            cpus=config.sandbox.cpus,
            pids=config.sandbox.pids,
        )


class Resolver:
    """What a request comes to, by the repository as it is and the settings in force. Nothing is recorded."""

    def __init__(self, project: Project, environment: Environment, directory: Path) -> None:
        """`directory`: where relative names in agents' commands are looked up."""
        self._project = project
        self._environment = environment
        self._directory = directory

    def resolve(self, request: SessionRequest) -> Resolved:
        """Raises: UsageError and its kinds, with everything that is wrong."""
        base, loaded = self._begin_from(request)
        settings = self._settings(loaded.config, request)
        plan = self._plan(request, settings)
        if request.name and (problem := name_problem(request.name)):
            raise UsageError(f"{request.name!r} can't be a session's name", f"it {problem}", "--name my-feature")
        notes: tuple[str, ...] = ()
        if not request.draft:  # it may be resumed with other agents, or where they are
            notes = self.check_agents(plan, settings)
        return Resolved(base, loaded, settings, plan, choose(loaded.config.sandbox.kind), notes)

    def _begin_from(self, request: SessionRequest) -> tuple[Base, Loaded]:
        base, loaded = begin_from(self._project, self._environment, request.base, request.flags)
        if loaded.config.engine.driver != "embedded":
            raise ConfigError(
                "the Temporal driver is not part of this version",
                f"engine.driver is {loaded.config.engine.driver!r}; the embedded one does all of it in one process",
                "env CODESWARM_ENGINE_DRIVER=embedded",
            )
        if loaded.config.ledger.url:
            raise ConfigError(
                "other ledgers than SQLite are not part of this version",
                "ledger.url names one; without it the ledger is a file in the data directory",
                "env CODESWARM_LEDGER_URL=",
            )
        return base, loaded

    def _plan(self, request: SessionRequest, settings: Settings) -> Plan | None:
        if request.plan is None:
            _check_words(request)
            return None
        plan = read_plan(request.plan, settings.pipelines)
        if isinstance(plan, list):
            raise TicketsInvalid(request.source, [str(problem) for problem in plan])
        return plan

    def check_agents(self, plan: Plan | None, settings: Settings) -> tuple[str, ...]:
        """Raises: ConfigError for a role without an agent. Returns: what is wrong with later choices."""
        return check_agents(plan, settings, self._environment, self._directory)

    def _absolute(self, spec: str) -> str:
        """An agent spec whose relative names mean the same wherever the session is resumed."""
        parsed = AgentSpec.parse(spec)
        if parsed.kind in ("acp", "command"):
            return f"{parsed.kind}:{program(parsed.argument, self._directory, self._environment.home)[0]}"
        if parsed.kind == "replay":
            return f"replay:{self._directory / parsed.argument}"
        return str(parsed)

    # ── settings ──

    def _settings(self, config: Config, request: SessionRequest) -> Settings:
        pipelines = pipelines_of(config)
        gates = _gates(config, request)
        needs_gate = not request.plan_only
        if needs_gate and gates.fast is None and gates.full is None and gates.waived_by is None:
            raise ConfigError(
                "no gate is configured: nothing would show that a change works",
                "landings are only made on a green gate",
                f"${{EDITOR:-vi}} {FILE} && git add {FILE} && git commit -m 'Name the gate' {FILE}"
                "   # or, at your own risk, the same command with --no-gate",
            )
        swarm, policy = config.swarm, config.policy
        caps = {"test_writer": swarm.test_writers, "implementer": swarm.implementers, "reviewer": swarm.reviewers}
        return Settings(
            pipelines=pipelines,
            default_pipeline=config.pipeline.default,
            roles={role: tuple(map(self._absolute, specs)) for role, specs in (config.roles or DEFAULT_ROLES).items()},
            workers=swarm.workers,
            role_caps={role: cap for role, cap in caps.items() if cap is not None},
            bounds=Bounds(
                max_attempts=policy.max_attempts,
                max_interruptions=policy.max_interruptions,
                max_restarts=policy.max_restarts,
                restart_window_s=policy.restart_window_s,
                backoff_base_s=policy.backoff_base_s,
                backoff_max_s=policy.backoff_max_s,
                max_bursts=policy.max_bursts,
                burst_window_s=policy.burst_window_s,
                park_base_s=policy.park_base_s,
                park_max_s=policy.park_max_s,
            ),
            leasing=Leasing(
                lease_ttl_s=swarm.lease_ttl_s,
                heartbeat_s=min(swarm.heartbeat_s, swarm.lease_ttl_s / 3),
                attempt_timeout_s=policy.attempt_timeout_s,
                silence_timeout_s=policy.silence_timeout_s,
                spawning_timeout_s=policy.spawning_timeout_s,
                command_timeout_s=policy.command_timeout_s,
                busy_timeout_s=policy.busy_timeout_s,
                stopped_timeout_s=policy.stopped_timeout_s,
            ),
            gates=gates,
            policy=_policy(config, request),
            budget=BudgetSettings(
                usd=config.budget.usd,
                tokens=config.budget.tokens,
                per_ticket_usd=config.budget.per_ticket_usd,
                per_ticket_tokens=config.budget.per_ticket_tokens,
                roles={
                    Role(role): Caps(usd=caps.usd, tokens=caps.tokens) for role, caps in config.budget.roles.items()
                },
                hand_back_s=config.budget.hand_back_s,
                hand_back_tokens=config.budget.hand_back_tokens,
                count_subscription=config.budget.count_subscription,
                quota_reserve=config.budget.quota_reserve,
                reserve_usd=config.budget.reserve_usd,
                reserve_tokens=config.budget.reserve_tokens,
            ),
        )


def edited_plan(session: Session, data: dict[str, Any]) -> tuple[TicketSpec, ...]:
    """A proposed plan as a person changed it, given as a tickets file. Raises: TicketsInvalid."""
    plan = read_plan(data, session.settings.pipelines, standing(session))
    if isinstance(plan, list):
        raise TicketsInvalid("the edited plan", [str(problem) for problem in plan])
    return plan.tickets


def name_taken(session: str, name: str) -> UsageError:
    return UsageError(
        f"session {session} bears the name {name!r} already", "a name means one session alone", f"--name {name}-2"
    )


def _check_words(request: SessionRequest) -> None:
    words = request.ask or request.goal
    if not words.strip():
        raise UsageError(
            "there is nothing to do", "neither a goal nor tickets were given", "codeswarm run 'what is wanted'"
        )
    if len(words) > MOST_WORDS:
        raise UsageError(
            f"the specification is {len(words)} characters long",
            f"a planner is given at most {MOST_WORDS}: it has to fit beside the code that it reads",
            "codeswarm run --spec PART_OF_IT.md",
        )


def _gates(config: Config, request: SessionRequest) -> Gates:
    def command(name: str, text: str | None) -> GateCommand | None:
        return GateCommand(name=name, command=text, timeout_s=config.gates.timeout_s) if text else None

    return Gates(
        fast=command("fast", config.gates.fast),
        full=command("full", config.gates.full),
        contract=command("contract", config.gates.contract),
        waived_by=request.by if request.no_gate else None,
        allow_red_base_by=request.by if request.allow_red_base else None,
        ticket_timeout_s=config.gates.timeout_s,
    )


def _escalate(wanted: bool | list[Role]) -> tuple[str, ...]:
    if isinstance(wanted, bool):
        return ("*",) if wanted else ()
    return tuple(role.value for role in wanted)


def _policy(config: Config, request: SessionRequest) -> Policy:
    policy = config.policy
    approve = policy.approve
    if approve is None:
        approve = ["plan"] if request.approve_plan_by_default else []
    return Policy(
        approve_plan="plan" in approve or "all" in approve,
        approve_landing="landing" in approve or "all" in approve,
        landing_approvals=policy.approvals.get("landing", 1),
        sensitive=tuple(policy.sensitive),
        approval_timeout_s=policy.approval_timeout_s,
        commands=policy.commands,
        commands_allow=tuple(policy.commands_allow),
        commands_deny=tuple(policy.commands_deny),
        save_at_end=request.save_at_end,
        continuous=config.swarm.continuous,
        save_to=policy.save_to,
        escalate=_escalate(policy.escalate),
        target=request.target,
        until=request.until,
        plan_only=request.plan_only,
        planner=config.swarm.planner,
    )
