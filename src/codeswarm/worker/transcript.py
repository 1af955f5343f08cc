"""An attempt's transcript: written to disk at once, shipped to the router as it grows, closed by its digest.

Each line is JSON: `{"at_ms", "type", "text", "data"?, "raw"?}`. It is activity, not fact: the ledger holds its digest.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import Awaitable, Callable
from pathlib import Path

from codeswarm.agents.base import Activity
from codeswarm.clock import Clock
from codeswarm.errors import CodeswarmError, disk_full

MAX_BYTES = 256 << 20
CHUNK = 256 << 10
SHIP_EVERY_S = 0.5

Ship = Callable[[int, bytes], Awaitable[int]]
"""(offset, bytes) → how much the router has now."""


class Transcript:
    def __init__(self, path: Path, clock: Clock, ship: Ship) -> None:
        self._path = path
        self._clock = clock
        self._ship = ship
        self._file = path.open("ab", buffering=0)
        self._shipped = 0
        self._size = path.stat().st_size
        self._full = False
        self._left_out = 0

    def write(self, activity: Activity) -> None:
        """Add one activity. Beyond the cap nothing more is kept, and the last line says so.

        What finds no room on the disk is left out, and so are a line's first bytes: what an agent says must not fail
        its work. The next line that is kept tells how many were not.
        """
        if self._full:
            return
        line = {"at_ms": self._clock.now_ms(), "type": activity.type, "text": activity.text}
        if activity.data and activity.type in ("usage", "rate_limit", "file_change"):
            line["data"] = dict(activity.data)
        if activity.raw:
            line["raw"] = activity.raw
        data = json.dumps(line, ensure_ascii=False).encode(errors="replace") + b"\n"
        if self._size + len(data) > MAX_BYTES:
            self._full = True
            data = json.dumps({"at_ms": line["at_ms"], "type": "output", "text": "[transcript full]"}).encode() + b"\n"
        if self._left_out:
            gap = f"[{self._left_out} lines left out: the disk was full]"
            data = json.dumps({"at_ms": line["at_ms"], "type": "output", "text": gap}).encode() + b"\n" + data
        if self._wrote(data):
            self._size += len(data)
            self._left_out = 0
        else:
            self._left_out += 1

    def _wrote(self, data: bytes) -> bool:
        """Whether all of it went to disk; else none of it is there."""
        try:
            if self._file.write(data) == len(data):
                return True
        except OSError as error:
            if disk_full(error) is None:
                raise
        self._file.truncate(self._size)
        return False

    async def keep_shipping(self) -> None:
        """Ship what is new, again and again, until cancelled."""
        while True:
            await self._clock.sleep(SHIP_EVERY_S)
            try:
                await self.flush()
            except CodeswarmError:
                continue  # the router is away for now; what is not shipped stays on disk and is tried again

    async def flush(self) -> None:
        """Ship everything written so far. Raises: RouterUnreachable, RouterRefused."""
        with self._path.open("rb") as file:
            while self._shipped < self._size:
                file.seek(self._shipped)
                has = await self._ship(self._shipped, file.read(CHUNK))
                if has <= self._shipped:
                    return  # nothing was taken: the next flush tries again, instead of this one for ever
                self._shipped = has

    async def close(self) -> tuple[str, int]:
        """No more lines: the digest and the size. What could not be shipped is shipped with the completion."""
        self._file.close()
        return await asyncio.to_thread(_digest, self._path), self._size


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
