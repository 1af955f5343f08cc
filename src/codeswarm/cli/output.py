"""What goes to the terminal: text for people, one JSON document for programs, errors in three lines."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment
from rich.table import Table
from rich.text import Text

from codeswarm.environment import Environment
from codeswarm.errors import CodeswarmError

FALLBACK = {"Refused": "codeswarm status"}
"""Kind of error → what to do where it has no word on that itself: a refusal comes from a state that forbids it."""
UNFOLDED = 1000
"""Columns of a table that no person's terminal folds."""


_UNSEEN = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]")
"""Control characters but tab and newline, and those that turn the direction of writing."""


def visible(text: str) -> str:
    """Text that others wrote, made harmless: what would move a terminal's cursor or hide words is shown, not done."""
    return _UNSEEN.sub(lambda hit: hit.group().encode("unicode_escape").decode(), text)


class _Console(Console):
    """What agents, repositories and tickets say can't steer the terminal: only rich itself sends control codes."""

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        for segment in super().render(renderable, options):
            yield segment if segment.control else segment._replace(text=visible(segment.text))


def console(*, stderr: bool = False, soft_wrap: bool = True) -> Console:
    """A console that colours only a terminal, and not where NO_COLOR says so."""
    colour = Environment.read().colour
    return _Console(stderr=stderr, highlight=False, no_color=not colour, soft_wrap=soft_wrap)


def say(text: str = "") -> None:
    """One line of the answer."""
    console().print(text, markup=False)


def say_patch(patch: bytes) -> None:
    """A patch: in colour and harmless on a terminal, else byte for byte, so that it can be applied."""
    out = console()
    if not out.is_terminal:
        sys.stdout.buffer.write(patch)
        return
    for line in patch.decode(errors="replace").splitlines():
        out.print(Text(line, style=_PATCH_STYLES.get(line[:1], "")))


_PATCH_STYLES = {"+": "green", "-": "red", "@": "cyan"}


def progress(text: str) -> None:
    """One line about what is going on; not part of the answer."""
    console(stderr=True).print(text, markup=False)


def say_json(document: Any) -> None:
    sys.stdout.write(json.dumps(document, ensure_ascii=False, indent=1) + "\n")


def say_json_line(document: Any) -> None:
    sys.stdout.write(json.dumps(document, ensure_ascii=False, separators=(",", ":")) + "\n")
    sys.stdout.flush()


def report_error(error: CodeswarmError, *, as_json: bool) -> int:
    """Tell an error, and answer its exit code."""
    if as_json:
        problem = {"what": error.what, "why": error.why, "do": error.hint, "kind": error.kind}
        say_json_line({"error": problem, "exit_code": error.exit_code})
        return error.exit_code
    out = console(stderr=True)
    out.print(f"error: {error.what}", markup=False, style="bold red")
    out.print(f"why: {error.why or 'no more is known'}", markup=False)
    out.print(f"do: {error.hint or FALLBACK.get(error.kind, 'codeswarm doctor')}", markup=False)
    return error.exit_code


def table(columns: Iterable[str], rows: Iterable[Iterable[object]]) -> None:
    """A plain table for people: folded to a terminal's width, one line a row where it goes elsewhere."""
    shown = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        shown.add_column(column, overflow="fold")
    for row in rows:
        shown.add_row(*(str(cell) for cell in row))
    out = console(soft_wrap=False)
    if not out.is_terminal:
        out.width = UNFOLDED
    out.print(shown)


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


def duration(seconds: float) -> str:
    """`42 s`, `3 min 20 s`, `2 h 05 min`."""
    whole = max(int(seconds), 0)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"
