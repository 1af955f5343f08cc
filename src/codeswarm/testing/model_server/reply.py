"""What the model answers, the same for every wire."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

Stop = Literal["done", "length", "refusal"]


@dataclass(frozen=True, slots=True)
class Tokens:
    """The usage that an answer reports."""

    input: int = 1000
    """The whole prompt, cached part included."""
    output: int = 50
    cached: int = 0
    """How many of `input` came out of the cache."""


@dataclass(frozen=True, slots=True)
class Say:
    text: str


@dataclass(frozen=True, slots=True)
class Think:
    """What the model says to itself; CLIs show it apart."""

    text: str


@dataclass(frozen=True, slots=True)
class Use:
    """A call of one of the CLI's own tools, by its own name. Not checked against what the request offers."""

    tool: str
    input: Mapping[str, Any] | str
    """Text for tools that take free text."""


@dataclass(frozen=True, slots=True)
class Shell:
    """Run a command in a shell, with whichever tool the CLI has for it."""

    command: str
    description: str = "Do a step of the script"


@dataclass(frozen=True, slots=True)
class WriteFile:
    """Write a file, with whichever tool the CLI has for it. `path` is absolute, or relative to the CLI's folder.

    Such tools have rules of their own (files that must be read first, endings of lines); where every byte counts, use
    `Shell(written(path, content))`.
    """

    path: str
    content: str


Call = Use | Shell | WriteFile
Part = Say | Think | Call


@dataclass(frozen=True, slots=True, init=False)
class Turn:
    """One whole answer: what is said and which tools are called, in order.

    `Turn(Say("I'll look."), Shell("ls"), usage=Tokens(900, 30))`. A single part stands for a turn of its own.
    Raises: TypeError, for anything that is no part.
    """

    parts: tuple[Part, ...]
    usage: Tokens
    stop: Stop

    def __init__(self, *parts: Part, usage: Tokens | None = None, stop: Stop = "done") -> None:
        for part in parts:
            _check(part)
        object.__setattr__(self, "parts", parts)
        object.__setattr__(self, "usage", usage or Tokens())
        object.__setattr__(self, "stop", stop)


def _check(part: object) -> None:
    if not isinstance(part, Part):
        raise TypeError(f"a turn has no such part: {part!r}")


@dataclass(frozen=True, slots=True)
class Refuse:
    """Refuse the request with an HTTP status, in the shape of the wire's own errors, so that the CLI gives up.

    Claude Code asks a 400 six times, with fewer beta features each time, before it shows the message; a 409 it shows
    at once.
    """

    status: int
    message: str


def as_turn(reply: Turn | Part) -> Turn:
    return reply if isinstance(reply, Turn) else Turn(reply)
