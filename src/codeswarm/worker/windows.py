"""The usage windows of a subscription, as notices of rate limits tell of them, each CLI in its own words.

Only who logs in with an account is told of windows: a subscription pays for what is used.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from codeswarm.agents.moments import moment_ms
from codeswarm.domain.results import UsageWindow

DEPTH = 3
MOST = 20
"""Windows of one agent; no plan has as many."""


def windows(notice: Mapping[str, Any]) -> tuple[UsageWindow, ...]:
    """The windows that a notice tells of; none where it tells only of a wait."""
    return tuple(_found(notice, "", DEPTH))


def _found(part: Mapping[str, Any], name: str, depth: int) -> Iterator[UsageWindow]:
    used = _share(part)
    if used is not None:
        told = part.get("rateLimitType")
        known = str(told if isinstance(told, str) and told else name)[:100].encode("utf-8", "replace").decode()
        yield UsageWindow(name=known, used=used, resets_ms=moment_ms(part.get("resetsAt", part.get("resets_at"))))
    for key, value in part.items() if depth else ():
        if isinstance(value, Mapping):
            yield from _found(value, str(key), depth - 1)


def _share(part: Mapping[str, Any]) -> float | None:
    """Claude tells a share, Codex a percentage."""
    for key, whole in (("utilization", 1.0), ("usedPercent", 100.0), ("used_percent", 100.0)):
        value = part.get(key)
        if isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < float("inf"):
            return min(value / whole, 1.0)
    return None
