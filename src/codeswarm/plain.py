"""Plain words for people: counts, durations, moments; and what others wrote, made harmless to look at."""

from __future__ import annotations

import re
from datetime import UTC, datetime

_UNSEEN = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]")
"""Control characters but tab and newline, and those that turn the direction of writing."""


def visible(text: str) -> str:
    """Text that others wrote, made harmless: what would move a terminal's cursor or hide words is shown, not done."""
    return _UNSEEN.sub(lambda hit: hit.group().encode("unicode_escape").decode(), text)


def clock_time(at_ms: int) -> str:
    """The local time of day of a moment."""
    return datetime.fromtimestamp(at_ms / 1000).astimezone().strftime("%H:%M:%S")


def day_and_time(at_ms: int | None) -> str:
    return "" if at_ms is None else datetime.fromtimestamp(at_ms / 1000).astimezone().strftime("%Y-%m-%d %H:%M")


def iso(at_ms: int) -> str:
    return datetime.fromtimestamp(at_ms / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def count(number: int, noun: str) -> str:
    """`1 file`, `3 files`."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def money(usd: float, by_subscription: float = 0.0) -> str:
    """`$1.20`; `≈ $3.40` of what a subscription paid for, at the price that it would have had without."""
    about = f"≈ ${by_subscription:.2f}"
    if not by_subscription:
        return f"${usd:.2f}"
    return f"${usd:.2f} and {about} by subscription" if usd else f"{about} by subscription"


def duration(seconds: float) -> str:
    """`42 s`, `3 min 20 s`, `2 h 05 min`."""
    whole = max(int(seconds), 0)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"
