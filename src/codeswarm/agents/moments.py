"""Moments as others tell them: vendors, their CLIs, whoever passes for one. What can't be one is no promise."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

LAST_SECOND = 2**33
"""In the year 2242."""
_CLOCK = r"(?P<hour>\d{1,2}):(?P<minute>\d{2}) (?P<half>[AP]M)"
_TOLD = re.compile(
    rf"try again at (?:(?P<month>[A-Z][a-z]{{2}}) (?P<day>\d{{1,2}})[a-z]{{2}}, (?P<year>\d{{4}}) )?{_CLOCK}"
)
_MINUTE = timedelta(minutes=1)


def moment_ms(seconds: object) -> int | None:
    """Unix seconds in milliseconds; None for what can't be a moment."""
    if isinstance(seconds, bool) or not isinstance(seconds, int | float) or not 0 < seconds < LAST_SECOND:
        return None
    return int(seconds * 1000)


def told_moment_ms(text: str, now: datetime) -> int | None:
    """The moment of "try again at 10:26 PM" or "at Nov 24th, 2026 2:53 AM", which Codex says in local time.

    It leaves out seconds, so the end of that minute is meant; and the day, where that is today.
    """
    found = _TOLD.search(text)
    if found is None:
        return None
    try:
        told = datetime.strptime(f"{found['hour']}:{found['minute']} {found['half']}", "%I:%M %p").time()
        date = now.date()
        if found["month"]:
            date = datetime.strptime(f"{found['month']} {found['day']} {found['year']}", "%b %d %Y").date()
    except ValueError:
        return None
    moment = datetime.combine(date, told, now.tzinfo) + _MINUTE
    if not found["month"] and moment < now - _MINUTE:
        moment += timedelta(days=1)
    return int(moment.timestamp() * 1000)


def now_of_the_system() -> datetime:
    """In the zone of the system, in which CLIs tell the time: they are given no TZ, though we may have one."""
    try:
        with Path("/etc/localtime").open("rb") as file:
            return datetime.now(ZoneInfo.from_file(file))
    except (OSError, ValueError):
        return datetime.now(UTC)
