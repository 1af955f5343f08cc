"""What a coding CLI asked, the same for every wire."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

Wire = Literal["anthropic", "openai", "openai_chat", "gemini"]
Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Tool:
    """A tool that the request offers to the model."""

    name: str
    kind: Literal["function", "custom", "local_shell", "hosted"] = "function"
    """`custom` takes free text, `local_shell` is a wire's own item, `hosted` runs at the provider."""
    parameters: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Conversation:
    """The part of a request that each wire words in its own way."""

    model: str
    system_text: str
    text: str
    last_user_text: str
    turns: int
    tools: tuple[Tool, ...]
    stream: bool


@dataclass(frozen=True, slots=True)
class Request:
    """One call for an answer of the model; the script decides on it."""

    number: int
    """1 for the first that this server got; repeats of the CLI count."""
    wire: Wire
    path: str
    """With its query."""
    model: str
    system_text: str
    """The instructions, wherever the wire has them."""
    text: str
    """All text in order: instructions, messages of every role, results of tools. Not the inputs of tools."""
    last_user_text: str
    """What the last message of the user says, without tool results and without what the CLI itself put there."""
    turns: int
    """How often the model has answered in this conversation so far; a repeat of a failed call does not add to it."""
    tools: tuple[Tool, ...]
    stream: bool
    is_side_call: bool
    """Best effort: not the conversation itself but a title, a warm-up, a count of tokens. It offers no tools."""
    headers: Mapping[str, str] = field(repr=False)
    """Names in lower case."""
    raw: Json = field(repr=False)

    @property
    def tool_names(self) -> tuple[str, ...]:
        return tuple(tool.name for tool in self.tools)

    def mentions(self, *texts: str) -> bool:
        """Whether every one of `texts` is somewhere in `text`."""
        return all(text in self.text for text in texts)

    def tool(self, name: str) -> Tool | None:
        return next((tool for tool in self.tools if tool.name == name), None)


# CLIs put notes of their own among the user's words. Only these tags: a prompt may well have tags of its own.
_NOTE = re.compile(
    r"<(system-reminder|environment_context|session_context|user_instructions|permissions instructions)>.*</\1>",
    re.DOTALL,
)
_AGENTS_FILE = "# AGENTS.md instructions"


def is_note(block: str) -> bool:
    """Whether a block of a user's message was put there by the CLI and not by its user."""
    stripped = block.strip()
    return _NOTE.fullmatch(stripped) is not None or stripped.startswith(_AGENTS_FILE)


def last_words(messages: Iterable[list[str]]) -> str:
    """The last of the user's messages (each a list of text blocks) that says anything; "" where none does."""
    said = ["\n".join(block for block in blocks if not is_note(block)).strip() for blocks in messages]
    return next((text for text in reversed(said) if text), "")


def runs(flags: Iterable[bool]) -> int:
    """How many uninterrupted runs of True there are: several items in a row are one answer of the model."""
    count, before = 0, False
    for flag in flags:
        count += flag and not before
        before = flag
    return count


def texts_in(value: Any) -> list[str]:
    """Every piece of text within JSON of any shape, in order; results of tools come in many shapes."""
    if isinstance(value, str):
        return [value]
    if isinstance(value, list):
        return [text for item in value for text in texts_in(item)]
    if isinstance(value, dict):
        return [text for item in value.values() for text in texts_in(item)]
    return []


def objects(value: Any) -> list[Json]:
    """The objects of a JSON list; [] where it is no list. What a request lacks must not break the reading."""
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def properties(schema: Any) -> frozenset[str]:
    """The names of a JSON schema's properties."""
    found = schema.get("properties") if isinstance(schema, dict) else None
    return frozenset(found) if isinstance(found, dict) else frozenset()
