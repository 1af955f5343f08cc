"""Progress without a terminal: one line an event, or JSON Lines."""

from __future__ import annotations

from collections.abc import Callable

from codeswarm.cli.follow import Wire
from codeswarm.cli.output import clock_time, iso, progress, say, say_json_line
from codeswarm.cli.words import QUIET, describe, subject
from codeswarm.domain.session import Session


class Lines:
    """`12:03:04  ticket  what happened`, on standard output, or wherever `tell` puts it."""

    def __init__(self, *, width: int = 14, tell: Callable[[str], None] = say) -> None:
        self._width = width
        self._tell = tell

    def event(self, record: Wire, session: Session) -> None:
        if record["kind"] not in QUIET:
            self._tell(event_line(record, self._width))

    def close(self) -> None:
        """Nothing is held."""


def event_line(record: Wire, width: int = 14) -> str:
    what = describe(record["kind"], record["data"])
    about = subject(record["kind"], record["data"])
    return f"{clock_time(record['at_ms'])}  {about:<{width}}  {what}"


class JsonLines:
    """One JSON object an event, as it travels, with its time in words too."""

    def event(self, record: Wire, session: Session) -> None:
        say_json_line({**record, "at": iso(record["at_ms"])})

    def close(self) -> None:
        """Nothing is held."""


class Silent:
    def event(self, record: Wire, session: Session) -> None:
        """Nobody looks on."""

    def close(self) -> None:
        """Nothing is held."""


def warn(text: str) -> None:
    progress(text)
