"""Lines of a stream that may be anything: of any length, in any bytes, with no end; and JSON that may be anything."""

from __future__ import annotations

import asyncio
import contextlib
import json
import math
from collections.abc import AsyncGenerator, Iterable
from typing import Any, NoReturn

MAX_LINE = 1 << 20
"""Bytes of a line that are kept; what is longer is cut, and says so."""
CHUNK = 1 << 16
MAX_DEPTH = 100
"""What is nested deeper is nobody's answer, and further readers have bounds of their own."""


async def read_lines(stream: asyncio.StreamReader) -> AsyncGenerator[tuple[str, int], None]:
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
        found = _DECODER.decode(text)
        if text.count("[") + text.count("{") > MAX_DEPTH and _depth(found) > MAX_DEPTH:
            raise ValueError(f"it is nested deeper than {MAX_DEPTH}")
        if "\\ud" not in text.lower():
            return found
        return json.loads(json.dumps(found, ensure_ascii=False).encode(errors="replace"))
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error


def names_a_key_twice(line: str) -> bool:
    """Whether JSON does, at any depth: of two things that an end says of itself readers would choose one each."""
    try:
        json.loads(line, object_pairs_hook=_each_once)
    except ValueError:
        return True
    return False


def _each_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a key stands there twice")
    return found


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is no number in JSON")


def _finite(number: str) -> float:
    """A number that is too large for one would become infinite, which no JSON holds."""
    if math.isinf(value := float(number)):
        _refuse(number)
    return value


_DECODER = json.JSONDecoder(parse_constant=_refuse, parse_float=_finite)


def _depth(found: object) -> int:
    """How deep lists and mappings stand in each other; no deeper than one more than is allowed."""
    depth, level = 0, [found]
    while level and depth <= MAX_DEPTH:
        level = [inner for outer in level for inner in _within(outer)]
        depth += 1
    return depth


def _within(outer: object) -> Iterable[object]:
    if isinstance(outer, dict):
        return outer.values()
    return outer if isinstance(outer, list) else ()


def _text(data: bytearray) -> str:
    return data.decode("utf-8", errors="replace").rstrip("\r")
