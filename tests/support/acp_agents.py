"""The real ACP agents, each with what it needs here: its scripted model, and the CLI that its bridge drives."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest

from codeswarm.agents.acp.agent import AcpAgent
from codeswarm.agents.base import AgentSpec
from codeswarm.environment import Environment
from codeswarm.testing.model_server import ModelServer
from tests.support.real_clis import CLIS, claude, codex, from_npm, path_with_node

PROGRAMS = {"claude": "claude-agent-acp", "codex": "codex-acp", "gemini": "gemini --acp"}


def able(kind: str) -> bool:
    beneath = {"claude": claude, "codex": codex}.get(kind, lambda: Path("/"))()
    return beneath is not None and from_npm(PROGRAMS[kind].split()[0]) is not None


def needs(kind: str) -> pytest.MarkDecorator:
    reason = f"no {PROGRAMS[kind]}: make clis installs it, with node 20; its CLI comes with the locked packages"
    return pytest.mark.skipif(not able(kind), reason=reason)


def variables(kind: str, server: ModelServer) -> dict[str, str]:
    """What a person's environment holds who can use this agent."""
    beneath = {"claude": ("CLAUDE_CODE_EXECUTABLE", claude()), "codex": ("CODEX_PATH", codex())}.get(kind)
    given = server.environment(kind)  # type: ignore[arg-type]
    return {**given, beneath[0]: str(beneath[1])} if beneath else given


def command(kind: str, model: str = "") -> str:
    chosen = f"CODESWARM_MODEL={shlex.quote(model)} " if model else ""
    return f"{chosen}{CLIS / PROGRAMS[kind].split()[0]} {' '.join(PROGRAMS[kind].split()[1:])}".strip()


def agent_for(kind: str, server: ModelServer, model: str = "") -> AcpAgent:
    login = Environment({"PATH": path_with_node(), **variables(kind, server)}).login
    return AcpAgent(AgentSpec("acp", command(kind, model)), Path("/"), Path("/nonexistent"), login)
