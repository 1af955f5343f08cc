"""`--until 07:00|8h|90m|2026-12-01T09:00`: what a person types becomes one moment of the wall clock, and back."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta, tzinfo
from typing import TYPE_CHECKING, Annotated

import typer

from codeswarm.cli.output import duration
from codeswarm.errors import UsageError

if TYPE_CHECKING:
    from codeswarm.domain.settings import Until

FORMS = "--until 07:00   # or 8h, 90m, 2026-12-01T09:00"
UntilOption = Annotated[
    str | None,
    typer.Option(metavar="TIME|LENGTH", help="No new work from then on: 07:00, 8h, 90m or 2026-12-01T09:00."),
]
LONGEST = timedelta(days=366)
_CLOCK = re.compile(r"(\d{1,2}):(\d{2})")
_LASTS = re.compile(r"(?:(\d{1,99})d)?(?:(\d{1,99})h)?(?:(\d{1,99})m(?:in)?)?(?:(\d{1,99})s)?")
_DATED = re.compile(r"\d{4}-\d{2}-\d{2}[T ]\d{2}:\d{2}(?::\d{2})?(?:Z|[+-]\d{2}:?\d{2})?")


def parse_until(text: str, now_ms: int, zone: tzinfo | None = None) -> Until:
    """The moment that is meant, seen from `now_ms`: a time of day is the next one that the person's clock shows, a
    length counts from now by the same clock. `zone` None: that of this machine.

    Raises: UsageError for nonsense, for what is over, and for what is more than a year away.
    """
    from codeswarm.domain.settings import Until

    now = datetime.fromtimestamp(now_ms / 1000, UTC).astimezone(zone)
    moment = _moment(text.strip(), now, zone)
    if moment <= now:
        raise UsageError(f"--until {text} is over already", f"it is {now:%Y-%m-%d %H:%M} now", FORMS)
    if moment - now > LONGEST:
        raise _too_far(text)
    return Until(at_ms=round(moment.timestamp() * 1000), said=_said(moment, now))


def _too_far(text: str) -> UsageError:
    return UsageError(f"--until {text} is more than a year away", "that is no end at all", FORMS)


def _moment(text: str, now: datetime, zone: tzinfo | None) -> datetime:
    try:
        if found := _CLOCK.fullmatch(text):
            return _next(int(found[1]), int(found[2]), now, zone)
        if (found := _LASTS.fullmatch(text.replace(" ", ""))) and any(found.groups()):
            days, hours, minutes, seconds = (int(part or 0) for part in found.groups())
            # Added in UTC, where every hour has its length: local time may be put forward or back meanwhile.
            lasts = timedelta(days=days, hours=hours, minutes=minutes, seconds=seconds)
            return (now.astimezone(UTC) + lasts).astimezone(zone)
        if _DATED.fullmatch(text):
            named = datetime.fromisoformat(text)
            return named.astimezone(zone) if named.tzinfo else _local(named, zone)
    except OverflowError as error:
        raise _too_far(text) from error
    except ValueError as error:
        raise UsageError(f"--until {text} is no time", str(error), FORMS) from error
    raise UsageError(f"--until {text} is no time", "it is neither a time of day, nor a length, nor a date", FORMS)


def _next(hour: int, minute: int, now: datetime, zone: tzinfo | None) -> datetime:
    """The next time that the clock shows this. Raises: ValueError for 25:00."""
    today = now.replace(tzinfo=None, hour=hour, minute=minute, second=0, microsecond=0)
    found = _local(today, zone)
    return found if found > now else _local(today + timedelta(days=1), zone)


def _local(naive: datetime, zone: tzinfo | None) -> datetime:
    return naive.replace(tzinfo=zone) if zone is not None else naive.astimezone()


def _said(moment: datetime, now: datetime) -> str:
    """07:00; with its date where that is not plain: the same time comes once more before."""
    far = moment - now >= timedelta(days=1)
    return f"{moment:%Y-%m-%d %H:%M}" if far else f"{moment:%H:%M}"


def time_left(until_ms: int, now_ms: int, zone: tzinfo | None = None) -> str:
    """`until 07:00, 2 h 10 min left`."""
    now, moment = (datetime.fromtimestamp(ms / 1000, UTC).astimezone(zone) for ms in (now_ms, until_ms))
    left = f"{duration((until_ms - now_ms) / 1000)} left" if until_ms > now_ms else "which is over"
    return f"until {_said(moment, now)}, {left}"
