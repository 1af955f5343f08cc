"""The port of agents: a conversation is opened for a task, takes turns, and streams activities; an `Ending` comes back.

An adapter starts its program on the stage that the worker gives it and translates what it says. It never judges its
own success: an `Ending` is what the program claimed, and git and the gate have their say after it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from codeswarm.domain.results import Failure, FailureClass, Usage
from codeswarm.egress.base import Endpoint, Reached
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
    used: Usage = Usage()
    """What the conversation that it goes on with had used before."""
    trusted: bool = False
    """A person trusts the repository's own settings for agents (hooks, MCP servers, skills): they may be loaded."""
    ask: bool = False
    """Whether it is to ask its stage before it runs something."""

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


@dataclass(frozen=True, slots=True)
class Question:
    """What an agent asks before it does something. A person answers, a policy, or the time: it may take hours."""

    id: str
    """The agent's own name for it: the same request bears the same one."""
    command: str
    """What it wants to run, or in a few words what it wants to do."""
    folder: str = ""
    """Where, as a path inside."""
    reason: str = ""
    raw: str = ""


@dataclass(frozen=True, slots=True)
class Permission:
    """The answer to a question."""

    allowed: bool
    why: str = ""


class Stage(Protocol):
    """What the worker offers an agent: a place behind walls, a way out of it, an ear, and an answer."""

    def reach(self, endpoint: Endpoint) -> Reached:
        """The address and the key that a program is to be told of its model's endpoint; asked for before `start`.

        Behind walls that is an address on the sandbox's own loopback, and a key that opens nothing: a proxy outside
        puts the real one in. Give the program these, and never the endpoint's own. Raises: ConfigError.
        """
        ...

    def allow(self, *hosts: str) -> None:
        """Hosts (`host`, `*.host`, `host:port`) that the program asks for by itself, by TLS: where its login is kept,
        say. As `reach`, before `start`, and only where `sandbox.network` has `@agent`.
        """
        ...

    async def start(
        self, argv: Sequence[str], env: Mapping[str, str], visible: Sequence[Path] = (), *, stderr: int | None = None
    ) -> Running:
        """Start a program behind the walls. `visible`: host paths that it may read there, beside the usual ones."""
        ...

    def share(self, file: Path, secrets: Callable[[], Iterable[str]], *, locks: bool = False) -> Path:
        """Let programs read and write one file of the person's where it is, and nothing beside it. Before `start`.

        Returns: where it is inside. `secrets`: what of it, as it then is, is to be concealed. `locks`: its folder there
        may be written, and is one for all who share the file: a program keeps its locks beside it.
        """
        ...

    def conceal(self, *secrets: str) -> None:
        """Credentials that a program has in another way than by `reach`: they are taken out of all that it says."""
        ...

    async def emit(self, activity: Activity) -> None: ...

    async def ask(self, question: Question) -> Permission:
        """Whether an agent may do what it asks for. Waits as long as the answer takes."""
        ...

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


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What an agent can do beyond a single turn. Whatever is not said is not relied upon."""

    resume: bool = False
    """It goes on in an earlier conversation when its HOME is still there."""
    name: bool = False
    """It names its conversations itself; else they are called as it is told."""
    turns: bool = False
    """A conversation takes another turn after the first."""
    inject: bool = False
    """A running turn takes a person's words."""
    ask: bool = False
    """It can be made to ask before it runs something."""
    cost: bool = False
    """It tells what it costs; else its tokens are priced, where it tells these."""
    context_tokens: int | None = None
    """How much its model reads at a time; None: unknown."""
    models: tuple[str, ...] = ()
    """Names that its CLI knows; empty: any that its provider has."""
    roles: tuple[str, ...] = ()
    """What it is good for; empty: any role."""


class Conversation(Protocol):
    """A program that is spoken with. All of its words go to the stage; whatever is raised is a fault of ours."""

    id: str
    """By which a later one goes on; empty where the program has no name for it."""

    async def turn(self, prompt: str) -> Ending:
        """Say something, and wait until the agent has done what it will. One at a time.

        A program that fails, or ends before its turn does, is an `Ending`. Usage is cumulative over the conversation.
        """
        ...

    async def say(self, text: str) -> bool:
        """A word into the running turn, without waiting for anything. False: it takes none now, and has not got it."""
        ...

    async def interrupt(self) -> None:
        """Ask that the running turn comes to an end; its `Ending` tells of it. Without effect where none runs."""
        ...

    async def close(self) -> Failure | None:
        """End the program in its own way and wait until it has gone. Idempotent: the answer stays the same.

        Returns: what its end tells against its last turn, an exit status, say, that is none of success.
        """
        ...


@dataclass(frozen=True, slots=True)
class ByHand:
    """How a person goes on with an agent's conversation: the agent's own program, on a terminal."""

    argv: tuple[str, ...]
    env: Mapping[str, str]
    visible: tuple[Path, ...] = ()
    kept: str = ""
    """Where below its HOME a conversation lies, as a pattern: a file there bears its name. Empty: nobody can tell."""


@runtime_checkable
class Attachable(Protocol):
    """An agent whose conversations a person can go on with. Where one can't, they have a shell in its workspace."""

    def by_hand(self, task: Task, stage: Stage) -> ByHand:
        """`task.conversation` is what to go on with. Raises: AgentUnavailable."""
        ...


class Agent(Protocol):
    """An adapter. `codeswarm.testing.agent_contract` is its definition."""

    spec: AgentSpec
    can: Capabilities

    def check(self) -> Health: ...

    async def open(self, task: Task, stage: Stage) -> Conversation:
        """Begin a conversation, or go on with the one that the task names. Nothing of the prompt is said yet.

        Raises: AgentUnavailable. A program that dies early tells so by its first turn.
        """
        ...
