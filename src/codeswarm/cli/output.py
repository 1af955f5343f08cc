"""What goes to the terminal: text for people, one JSON document for programs, errors in three lines."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, TextIO

from codeswarm.environment import Environment
from codeswarm.errors import CodeswarmError
from codeswarm.plain import clock_time, count, day_and_time, duration, iso, visible

__all__ = [
    "clock_time",
    "console",
    "count",
    "day_and_time",
    "duration",
    "iso",
    "next_step",
    "progress",
    "report_error",
    "say",
    "say_json",
    "say_json_line",
    "say_patch",
    "table",
    "visible",
]

if TYPE_CHECKING:  # rich takes longer to load than most commands need for their answer
    from rich.console import Console

FALLBACK = {"Refused": "codeswarm status"}
"""Kind of error → what to do where it has no word on that itself: a refusal comes from a state that forbids it."""
UNFOLDED = 1000
"""Columns of a table that no person's terminal folds."""


def console(*, stderr: bool = False, soft_wrap: bool = True) -> Console:
    """A console that colours only a terminal, and not where NO_COLOR says so."""
    from codeswarm.cli.console import HarmlessConsole

    colour = Environment.read().colour
    return HarmlessConsole(stderr=stderr, highlight=False, no_color=not colour, soft_wrap=soft_wrap)


def say(text: str = "") -> None:
    """One line of the answer."""
    _line(sys.stdout, text)


def say_patch(patch: bytes) -> None:
    """A patch: in colour and harmless on a terminal, else byte for byte, so that it can be applied."""
    out = console()
    if not out.is_terminal:
        sys.stdout.buffer.write(patch)
        return
    from rich.text import Text

    for line in patch.decode(errors="replace").splitlines():
        out.print(Text(line, style=_PATCH_STYLES.get(line[:1], "")))


def next_step(*commands: str) -> None:
    """The last lines of a command on the road from an empty folder to a landed ticket: what to type now."""
    for number, command in enumerate(commands):
        say(f"{'next:' if not number else 'then:'} {command}")


_PATCH_STYLES = {"+": "green", "-": "red", "@": "cyan"}


def progress(text: str) -> None:
    """One line about what is going on; not part of the answer."""
    _line(sys.stderr, text)


def _line(stream: TextIO, text: str) -> None:
    stream.write(visible(text) + "\n")
    stream.flush()


def say_json(document: Any) -> None:
    """Indented, in a thirtieth of the time that the standard library takes: a session may have 10,000 tickets."""
    import orjson

    try:
        text = orjson.dumps(document, option=orjson.OPT_INDENT_2).decode()
    except orjson.JSONEncodeError:  # a path that is no UTF-8
        text = json.dumps(document, ensure_ascii=False, indent=2)
    sys.stdout.write(text + "\n")


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
    lines = [[visible(str(cell)) for cell in row] for row in (columns, *rows)]
    if sys.stdout.isatty() or any("\n" in cell or not cell.isascii() for line in lines for cell in line):
        _folded(lines)
        return
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    for line in lines:
        sys.stdout.write("  ".join(map(str.ljust, line, widths)).rstrip() + "\n")


def _folded(lines: list[list[str]]) -> None:
    """Where width is more than a count of letters: on a terminal, in other scripts, with lines in a cell."""
    from rich.table import Table

    shown = Table(box=None, pad_edge=False, header_style="bold")
    for column in lines[0]:
        shown.add_column(column, overflow="fold")
    for line in lines[1:]:
        shown.add_row(*line)
    out = console(soft_wrap=False)
    if not out.is_terminal:
        out.width = UNFOLDED
    out.print(shown)
