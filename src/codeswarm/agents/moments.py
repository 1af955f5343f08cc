"""Moments as others tell them: vendors, their CLIs, whoever passes for one. What can't be one is no promise."""

from __future__ import annotations

LAST_SECOND = 2**33
"""In the year 2242."""


def moment_ms(seconds: object) -> int | None:
    """Unix seconds in milliseconds; None for what can't be a moment."""
    if isinstance(seconds, bool) or not isinstance(seconds, int | float) or not 0 < seconds < LAST_SECOND:
        return None
    return int(seconds * 1000)
