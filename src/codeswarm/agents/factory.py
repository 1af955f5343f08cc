"""Agent specs become adapters: by kind, from a table of lazy names."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from pathlib import Path

from codeswarm.agents.base import Agent, AgentSpec
from codeswarm.environment import Login
from codeswarm.errors import ConfigError

KINDS = ("claude", "codex", "gemini", "acp", "api", "command", "replay")


def make_agent(spec: AgentSpec, directory: Path, home: Path, login: Login) -> Agent:
    """The adapter for a spec; `directory` is where relative names in it are looked up. Raises: ConfigError."""
    makers: dict[str, Callable[[], Agent]] = {
        "claude": lambda: _class("claude.agent", "ClaudeAgent")(spec, login),
        "codex": lambda: _class("codex.agent", "CodexAgent")(spec, login),
        "gemini": lambda: _class("gemini", "GeminiAgent")(spec, directory, home, login),
        "acp": lambda: _class("acp.agent", "AcpAgent")(spec, directory, home, login),
        "api": lambda: _class("api.agent", "ApiAgent")(spec, login),
        "command": lambda: _class("command", "CommandAgent")(spec, directory, home),
        "replay": lambda: _class("replay.agent", "ReplayAgent")(spec, directory),
    }
    if spec.kind not in makers:
        raise ConfigError(f"there is no agent kind {spec.kind!r}", f"known are {', '.join(KINDS)}", "--agent claude")
    return makers[spec.kind]()


def _class(module: str, name: str) -> Callable[..., Agent]:
    found: Callable[..., Agent] = getattr(import_module(f"codeswarm.agents.{module}"), name)
    return found
