"""The port of agents: a task goes in, activities stream out, an `Ending` comes back.

An adapter starts its program on the stage that the worker gives it and translates what it says. It never judges its
own success: an `Ending` is what the program claimed, and git and the gate have their say after it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from codeswarm.domain.results import Failure, FailureClass, Usage
from codeswarm.errors import ConfigError
from codeswarm.sandbox.base import Inside, Running


@dataclass(frozen=True, slots=True)
class AgentSpec:
    """`KIND[:ARGUMENT]`: a model for a coding CLI, a command line, a folder of recordings."""

    kind: str
    argument: str = ""

    @classmethod
    def parse(cls, text: str) -> AgentSpec:
        """Raises: ConfigError for an empty kind."""
        kind, _, argument = text.partition(":")
        if not kind.strip():
            raise ConfigError(f"{text!r} is not an agent", "an agent is KIND[:MODEL]", "--agent claude:sonnet")
        return cls(kind.strip(), argument.strip())

    def __str__(self) -> str:
        return f"{self.kind}:{self.argument}" if self.argument else self.kind


@dataclass(frozen=True, slots=True)
class Task:
    """What an attempt is to do, and where."""

    session: str
    ticket: str
    phase: str
    role: str
    attempt: int
    epoch: int
    prompt: str
    inside: Inside
    bundle: Path
    """The context as JSON, as a path inside."""
    result: Path
    """Where a structured answer is left, as a path inside."""
    conversation: str
    """The id that a new conversation is to bear, or that of the one to go on with."""
    resume: bool = False

    def environment(self) -> dict[str, str]:
        """What every program of an attempt finds in its environment."""
        return {
            "CODESWARM_SESSION": self.session,
            "CODESWARM_TICKET": self.ticket,
            "CODESWARM_PHASE": self.phase,
            "CODESWARM_ROLE": self.role,
            "CODESWARM_ATTEMPT": str(self.attempt),
            "CODESWARM_EPOCH": str(self.epoch),
            "CODESWARM_WORKSPACE": str(self.inside.workspace),
            "CODESWARM_BUNDLE": str(self.bundle),
            "CODESWARM_RESULT": str(self.result),
        }


@dataclass(frozen=True, slots=True)
class Activity:
    """One thing that an agent said or did. It goes to the transcript, not to the ledger."""

    type: str
    """turn · assistant · reasoning · command_started · command_completed · file_change · usage · rate_limit · output"""
    text: str = ""
    data: Mapping[str, Any] = field(default_factory=dict)
    raw: str = ""
    """The line that it was read from."""


@dataclass(frozen=True, slots=True)
class Ending:
    """How an agent's turn ended, by its own account."""

    failure: Failure | None = None
    usage: Usage = Usage()
    summary: str = ""
    """Its last words."""

    @classmethod
    def failed(cls, failure_class: FailureClass, message: str, **rest: Any) -> Ending:
        return cls(failure=Failure(failure_class=failure_class, message=message), **rest)


class Stage(Protocol):
    """What the worker offers an agent: a place behind walls, an ear, and a voice."""

    messages: asyncio.Queue[str]
    """Words of a person that arrive while it runs."""
    stop: asyncio.Event
    """Set when it is to come to an end early; its process is ended for it a little later."""

    async def start(
        self, argv: Sequence[str], env: Mapping[str, str], visible: Sequence[Path] = (), *, stderr: int | None = None
    ) -> Running:
        """Start a program behind the walls. `visible`: host paths that it may read there, beside the usual ones."""
        ...

    async def emit(self, activity: Activity) -> None: ...

    async def await_event(self, kind: str, match: Mapping[str, Any]) -> None:
        """Wait until the session's timeline holds an event of a kind whose data agrees with `match`.

        It is for recorded runs, which stood behind what others did.
        """
        ...


@dataclass(frozen=True, slots=True)
class Health:
    """One line of `doctor`: whether an agent can be used here; where not, why and how to mend it."""

    works: bool
    what: str
    fix: str = ""


class Agent(Protocol):
    """An adapter. `codeswarm.testing.agent_contract` is its definition."""

    spec: AgentSpec
    can_resume: bool
    """Whether it goes on in an earlier conversation when its HOME is still there."""
    can_inject: bool
    """Whether a running turn takes a person's words."""

    def check(self) -> Health: ...

    async def run(self, task: Task, stage: Stage) -> Ending:
        """Do the task. A program that fails is an `Ending`; raised is only what is our own fault."""
        ...
