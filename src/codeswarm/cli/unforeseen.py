"""What no command foresaw, in three lines all the same; and terminals that can't show every letter."""

from __future__ import annotations

import codecs
import io
import sys
import traceback
from pathlib import Path

from codeswarm.errors import CodeswarmError, UsageError, disk_full

PLAIN = {"—": "-", "–": "-", "…": "...", "→": "->", "≈": "~", "·": "-", "’": "'", "“": '"', "”": '"', "×": "x"}
"""Letters of ours that an old character set lacks, and what stands for them there."""


def write_what_can_be_written() -> None:
    """A letter that a terminal's character set lacks is written otherwise, and is no reason to fail."""
    codecs.register_error("codeswarm", _otherwise)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="codeswarm")


def _otherwise(error: UnicodeError) -> tuple[str | bytes, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    instead, end = codecs.backslashreplace_errors(error)
    letters = error.object[error.start : error.end]
    return "".join(PLAIN.get(letter, "") for letter in letters) if {*letters} <= {*PLAIN} else instead, end


def unforeseen(error: Exception) -> CodeswarmError:
    """What the system refused; else a fault of ours, whose trace is shown for whoever mends it."""
    if not isinstance(error, OSError):
        traceback.print_exception(error)
        return CodeswarmError(
            f"codeswarm failed: {type(error).__name__}: {error}",
            "that is a fault of codeswarm itself; all that was acknowledged is in the ledger",
            "codeswarm bug-report",
        )
    if full := disk_full(error):
        return full
    where = str(error.filename or "")
    return UsageError(f"{where or 'something'} can't be used", str(error), _mended(error, where))


def _mended(error: OSError, where: str) -> str:
    from codeswarm.access import way_out

    return (way_out(error, Path(where)) if where else None) or "codeswarm doctor"
