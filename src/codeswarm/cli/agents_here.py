"""Which coding agents can be used here: on the PATH, logged in, driven by this version; else how to get one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from codeswarm.agents.base import AgentSpec
from codeswarm.cli.here import Here
from codeswarm.cli.output import say
from codeswarm.errors import CodeswarmError

_DRIVEN = ("codex", "gemini")
"""Beside Claude Code, which is told of even where it is missing: it is the agent where none is named."""
CODING_CLIS = frozenset({"claude", *_DRIVEN})
ANY_PROGRAM = "any program can be an agent: codeswarm example agent   # prints one that is no model, to try with"


@dataclass(frozen=True, slots=True)
class AgentHere:
    """One coding agent, and whether it can be used."""

    kind: str
    works: bool
    what: str
    fix: str = ""


@dataclass(frozen=True, slots=True)
class NamedAgent:
    """One that the settings name, and whether it can be used."""

    spec: AgentSpec
    role: str
    first: bool
    """Whether it is a first choice: without it nothing begins."""
    origin: str
    """Where it is named."""
    works: bool
    what: str
    fix: str

    @property
    def name(self) -> str:
        """Of a coding CLI that is its kind: whether it can be used is the same for all of its models."""
        return self.spec.kind if self.spec.kind in CODING_CLIS else str(self.spec)


def named_agents(here: Here) -> list[NamedAgent]:
    """Each once; none where the settings can't be read, which is told elsewhere."""
    from codeswarm.agents.factory import make_agent
    from codeswarm.engine.beginning import begin_from

    found: dict[AgentSpec, NamedAgent] = {}
    try:
        _, loaded = begin_from(here.home.project, here.environment)
        for role, specs in loaded.config.roles.items():
            for place, text in enumerate(specs):
                spec = AgentSpec.parse(text)
                if spec in found and (found[spec].first or place):
                    continue
                health = make_agent(spec, here.directory, here.environment.home, here.environment.login).check()
                origin = loaded.origins.get(f"roles.{role}", "")
                found[spec] = NamedAgent(spec, role, place == 0, origin, health.works, health.what, health.fix)
    except CodeswarmError:
        return []
    return list(found.values())


def agents_here(here: Here) -> list[AgentHere]:
    from codeswarm.agents.factory import make_agent
    from codeswarm.host import which

    login, found = here.environment.login, []
    for kind in ("claude", *_DRIVEN):
        health = make_agent(AgentSpec(kind), here.directory, here.environment.home, login).check()
        if kind == "claude" or health.works or which(kind, here.environment.path):
            found.append(AgentHere(kind, health.works, health.what, health.fix))
    return found


def usable(agents: Sequence[AgentHere]) -> bool:
    return any(agent.works for agent in agents)


def tell_agents(agents: Sequence[AgentHere]) -> None:
    for agent in agents:
        say(f"agent    {agent.what}")
        if not agent.works:
            say(f"         {agent.fix}")
    if not usable(agents):
        say(f"         {ANY_PROGRAM}")


def first_run(agents: Sequence[AgentHere]) -> list[str]:
    """What to type for a first landed ticket: with an agent that is here, else with the example of one."""
    from codeswarm.cli.example import TRY

    kind = next((agent.kind for agent in agents if agent.works), None)
    if kind is None:
        return list(TRY)
    return ['codeswarm run "WHAT YOU WANT"' + ("" if kind == "claude" else f" --agent {kind}")]
