"""Reading a specification: any text that says what is wanted."""

from __future__ import annotations

import sys
from pathlib import Path

from codeswarm.errors import UsageError

MAX_BYTES = 4 << 20


def read_specification(source: str, directory: Path) -> str:
    """The text of a file, or of standard input for `-`. Raises: UsageError where it can't be read or is empty."""
    try:
        data = sys.stdin.buffer.read(MAX_BYTES) if source == "-" else _read(directory / source)
        text = data.decode("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(
            f"the specification {source} can't be read", str(error), "codeswarm run --spec FILE"
        ) from error
    if not text.strip():
        raise UsageError(
            f"the specification {source} is empty",
            "nothing in it says what is wanted",
            "codeswarm run 'what is wanted'",
        )
    return text


def _read(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(MAX_BYTES)


def headline(text: str) -> str:
    """The first line that says something: what the work is called."""
    return next(line.strip("# \t") for line in text.splitlines() if line.strip("# \t"))[:200]
