"""Lines of a stream that may be anything: of any length, in any bytes, with no end; and JSON that may be anything."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from typing import Any, NoReturn

MAX_LINE = 1 << 20
"""Bytes of a line that are kept; what is longer is cut, and says so."""
CHUNK = 1 << 16


async def read_lines(stream: asyncio.StreamReader) -> AsyncIterator[tuple[str, int]]:
    """Each line without its end, and how many bytes were cut off it.

    Memory stays bounded whatever the stream holds; undecodable bytes become replacement characters.
    """
    kept, cut = bytearray(), 0
    while chunk := await stream.read(CHUNK):
        parts = chunk.split(b"\n")
        for place, part in enumerate(parts):
            room = MAX_LINE - len(kept)
            kept += part[:room]
            cut += max(len(part) - room, 0)
            if place < len(parts) - 1:
                yield _text(kept), cut
                kept, cut = bytearray(), 0
    if kept or cut:
        yield _text(kept), cut


def read_object(line: str) -> dict[str, Any] | None:
    """The JSON object that a line is; None where it is anything else."""
    if line.startswith("{"):
        with contextlib.suppress(ValueError):
            found = read_json(line)
            return found if isinstance(found, dict) else None
    return None


def read_json(text: str) -> Any:
    """JSON from outside, of which every text can be written down again. Raises: ValueError with what is wrong with it.

    Python reads more than JSON: numbers that are none are refused here, halves of surrogate pairs become `?`.
    """
    try:
        found = json.loads(text, parse_constant=_refuse)
        if "\\ud" not in text.lower():
            return found
        return json.loads(json.dumps(found, ensure_ascii=False).encode(errors="replace"))
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is no number in JSON")


def _text(data: bytearray) -> str:
    return data.decode("utf-8", errors="replace").rstrip("\r")
