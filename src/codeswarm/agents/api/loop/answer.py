"""What a model answered, whichever API it came by; and what went wrong where it did not."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

Message = dict[str, Any]
"""One entry of a conversation, in our own form: it is what is kept on disk.

`{"role": "user", "text"}` · `{"role": "assistant", "parts": […]}` · `{"role": "tool", "results": […]}`.
"""


@dataclass(frozen=True, slots=True)
class Call:
    """A tool that the model wants to be used; `arguments` is JSON as it wrote it, which may be none."""

    id: str
    name: str
    arguments: str


@dataclass(slots=True)
class Answer:
    """One whole answer of a model."""

    parts: list[dict[str, Any]] = field(default_factory=list)
    """In order: `{"type": "text", "text"}`, `{"type": "thinking", "thinking", "signature"}`, `{"type": "call", …}`."""
    stop: str = ""
    """`done`, `length`, `refused`, `again` (it wants to go on); empty: it broke off."""
    input_tokens: int | None = None
    """Everything that it read, cached or not."""
    output_tokens: int | None = None

    @property
    def text(self) -> str:
        return "".join(part["text"] for part in self.parts if part["type"] == "text")

    @property
    def calls(self) -> list[Call]:
        found = [part for part in self.parts if part["type"] == "call"]
        return [Call(part["id"], part["name"], part["arguments"]) for part in found]


class Trouble(Exception):
    """A request that got no answer. What it means is for a table of the adapter's to say."""

    def __init__(self, message: str, *, status: int | None = None, kind: str = "", **rest: Any) -> None:
        super().__init__(message)
        self.message = message
        self.status = status
        self.kind = kind
        """The API's own word for it (`overloaded_error`, say), or one of ours: `connection`, `stream`, `endless`."""
        self.retry_after_s: float | None = rest.get("retry_after_s")
        self.resets_at_s: float | None = rest.get("resets_at_s")
        self.final: bool = rest.get("final", False)
        """The other side said that asking again is of no use."""


class Interrupted(Exception):
    """The turn is to end: somebody said so."""


def whole_number(value: Any) -> int | None:
    """A count of tokens as told, where it is one."""
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**53 else None


def words(value: Any) -> str:
    return value if isinstance(value, str) else ""


def mapping(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def mappings(value: Any) -> list[dict[str, Any]]:
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []
