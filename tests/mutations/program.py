"""A program that is none: it says its lines as they are asked for, and takes all that it is told."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from types import SimpleNamespace
from typing import Any

from codeswarm.agents.base import Activity
from codeswarm.agents.lines import CHUNK
from codeswarm.testing.stage import QuietStage
from tests.mutations.accidents import FLOOD

PATIENCE = 8
"""Turns of the event loop in which whoever has something to write writes it."""
FLOODED = 100 << 20


class Out:
    """Standard output in parts: each is said once something was written, or nobody writes any more."""

    def __init__(self, parts: Sequence[bytes]) -> None:
        self._parts = [piece for part in parts for piece in _pieces(part)]
        self._written = self._said = 0
        self.closed = False
        self._flood = 0

    def written(self, data: bytes) -> None:
        """What is asked of it counts; what it is answered or only told does not."""
        self._written += (b'"method"' in data) == (b'"id"' in data)

    async def read(self, size: int) -> bytes:
        if self._flood:
            self._flood -= CHUNK
            return b"z" * CHUNK
        if not self._parts:
            await self._wait(2**30)
            return b""
        await self._wait(self._said)
        self._said += 1
        part = self._parts.pop(0)
        if part == FLOOD:
            self._flood = FLOODED
            return await self.read(size)
        if len(part) > CHUNK:
            self._parts.insert(0, part[CHUNK:])
            self._said -= 1
        return part[:CHUNK]

    async def _wait(self, for_: int) -> None:
        for _ in range(PATIENCE):
            if self._written > for_ or self.closed:
                return
            await asyncio.sleep(0)


def _pieces(part: bytes) -> list[bytes]:
    if FLOOD not in part:
        return [part] if part else []
    before, _, after = part.partition(FLOOD)
    return [piece for piece in (before, FLOOD, *_pieces(after)) if piece]


class Errors:
    """Standard error: a line, and its end."""

    def __init__(self) -> None:
        self._left = b"some warning\n"

    async def read(self, size: int) -> bytes:
        left, self._left = self._left, b""
        return left


class Heard(QuietStage):
    """A stage on which whatever is started says these parts and exits with a code. What is said of it is counted."""

    def __init__(self, parts: Sequence[bytes], code: int) -> None:
        super().__init__()
        self._out = Out(parts)
        self._code = code
        self.transport = SimpleNamespace(get_write_buffer_size=lambda: 0)
        self.process: Any = SimpleNamespace(
            stdin=self, stdout=self._out, stderr=Errors(), returncode=code, wait=self.wait, pid=0
        )

    async def emit(self, activity: Activity) -> None:
        assert isinstance(activity.text, str)
        activity.text.encode()

    async def start(
        self, argv: Sequence[str], env: Mapping[str, str], visible: Sequence[Any] = (), *, stderr: int | None = None
    ) -> Any:
        return self

    # ── a process ──

    async def wait(self) -> int:
        return self._code

    async def end(self) -> tuple[str, ...]:
        return ()

    # ── its standard input ──

    def write(self, data: bytes) -> None:
        self._out.written(data)

    async def drain(self) -> None:
        """It takes whatever comes."""

    def is_closing(self) -> bool:
        return self._out.closed

    def close(self) -> None:
        self._out.closed = True
