"""Lines of a stream that may be anything: of any length, in any bytes, with no end."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

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


def _text(data: bytearray) -> str:
    return data.decode("utf-8", errors="replace").rstrip("\r")
