"""What a source gives: the data of a plan, what a person should know of it, and the source as it was."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

MAX_BYTES = 64 << 20


@dataclass(frozen=True, slots=True)
class Original:
    """A foreign file, byte for byte: what is not ours in it comes back on export."""

    kind: str
    name: str
    data: bytes


@dataclass(frozen=True, slots=True)
class Found:
    plan: dict[str, Any]
    """`{goal, tickets}`, read by nobody yet but for being a mapping."""
    name: str
    """For people: a path, or `standard input`."""
    notes: tuple[str, ...] = ()
    original: Original | None = None
    cut: tuple[tuple[str, str], ...] = ()
    """Edges (ticket, blocker) that close a cycle, and are not in the plan."""
    updated_ms: Mapping[str, int] = field(default_factory=dict)
    """When tickets were last changed there, as far as it is known."""

    def wire(self) -> dict[str, Any]:
        """As it is sent to a router."""
        kept = self.original
        original = kept and {"kind": kept.kind, "name": kept.name, "data": b64encode(kept.data).decode()}
        return {"plan": self.plan, "source": self.name, "original": original}
