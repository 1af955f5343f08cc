"""Whether the agents that a session would use are there, and what the person should know of them before it begins."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from codeswarm.agents.base import AgentSpec, Health
from codeswarm.agents.factory import make_agent
from codeswarm.domain import commands as cmd
from codeswarm.domain.ids import SessionId
from codeswarm.domain.pipeline import Role
from codeswarm.domain.plan import Plan
from codeswarm.domain.settings import Settings
from codeswarm.environment import Environment
from codeswarm.errors import ConfigError
from codeswarm.plain import day_and_time

CANT_ASK = "it can't be made to ask before it runs something, and policy.commands or policy.commands_deny wants that"
LET_IT_RUN = "env CODESWARM_POLICY_COMMANDS=allow CODESWARM_POLICY_COMMANDS_DENY='[]'"


def check_agents(plan: Plan | None, settings: Settings, environment: Environment, directory: Path) -> tuple[str, ...]:
    """Every role that the plan needs has an agent that can be used: its first choice.

    Raises: ConfigError. Returns: what is wrong with later choices, as sentences.
    """

    @cache
    def health(spec: str) -> Health:
        agent = make_agent(AgentSpec.parse(spec), directory, environment.home, environment.login)
        if settings.policy.asks and not agent.can.ask:
            return Health(works=False, what=CANT_ASK, fix=LET_IT_RUN)
        return agent.check()

    notes: dict[str, None] = {}
    for role in _needed(plan, settings):
        specs = settings.agents_for(role)
        if not specs:
            raise ConfigError(
                f"no agent is set for the role {role}",
                "nobody could do its work",
                "--agent claude   # or any program: codeswarm example agent",
            )
        first, *later = map(health, specs)
        if not first.works:
            raise ConfigError(f"the agent {specs[0]} for the role {role} can't be used", first.what, first.fix)
        for spec, found in zip(specs[1:], later, strict=True):
            if not found.works:
                notes[f"{spec}, a later choice, can't be used here: {found.what}   {found.fix}"] = None
    return tuple(notes)


def _needed(plan: Plan | None, settings: Settings) -> list[Role]:
    """The roles of the plan's pipelines; a plan that is still to be made needs those of the default one."""
    needed: dict[Role, None] = {} if plan else {Role.PLANNER: None}
    named = [ticket.pipeline for ticket in plan.tickets] if plan else [None]
    for name in () if settings.policy.plan_only else dict.fromkeys(named):
        pipeline = settings.pipelines[name or settings.default_pipeline]
        needed.update(dict.fromkeys(phase.role for phase in pipeline.phases if phase.role is not Role.VERIFIER))
    return list(needed)


def told_parked(session: SessionId, parked: cmd.ParkAgent) -> str:
    """What a person hears of an agent that is parked before anything has begun."""
    agent, met = parked.agent.removesuffix(":*"), f"{parked.why}, met in session {parked.told_by}"
    if parked.until_ms is not None:
        return f"{agent} is parked until {day_and_time(parked.until_ms)} ({met})"
    return f"{agent} is parked ({met}); once that is mended: codeswarm resume {session}"
