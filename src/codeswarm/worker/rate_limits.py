"""How long a provider told an agent to wait, as its notices say it, each CLI in its own words."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

LONGEST_S = 8 * 86_400.0
"""Longer than any plan's usage window: what tells of more is not believed."""
_ALLOWED = frozenset({"allowed", "allowed_warning"})
"""Statuses of notices that only tell how much is left."""


def wait_s(notice: Mapping[str, Any], now_ms: int) -> float | None:
    """Seconds from now; None where a notice tells of no wait."""
    found = list(_parts(notice))
    if any(part.get("status") in _ALLOWED for part in found):
        return None
    waits = [wait for part in found if not _has_room(part) for wait in _waits(part, now_ms) if 0 < wait < float("inf")]
    return min(max(waits), LONGEST_S) if waits else None


def _has_room(part: Mapping[str, Any]) -> bool:
    """Whether it tells of a window that is not used up."""
    used = part.get("usedPercent")
    return isinstance(used, int | float) and used < 100


def _parts(notice: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """A notice, and what stands one level down in it."""
    yield notice
    yield from (value for value in notice.values() if isinstance(value, Mapping))


def _waits(part: Mapping[str, Any], now_ms: int) -> Iterator[float]:
    for key, value in part.items():
        if isinstance(value, bool) or not isinstance(value, int | float):
            continue
        match key:
            case "retry_delay_ms":
                yield value / 1000
            case "retry_after_s":
                yield float(value)
            case "resetsAt" | "resets_at":
                yield value - now_ms / 1000
            case "until_ms" | "retry_at_ms":
                yield (value - now_ms) / 1000
            case _:
                pass
