"""One connection of an attempt: its two streams, what has gone through them, and until when it may live.

A connection holds no more than a few chunks in memory: whoever sends waits until the other side has taken them.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
from dataclasses import dataclass

from codeswarm.clock import Clock, within
from codeswarm.egress.base import Limits
from codeswarm.egress.refusals import TOO_MUCH, Refused

CHUNK = 128 << 10
RESET = struct.pack("ii", 1, 0)
FLUSH_S = 5.0
"""How long a connection that is closed waits for the other side to take the rest."""


@dataclass(slots=True)
class Meter:
    """What an attempt has sent and got, over all of its connections."""

    limits: Limits
    out: int = 0
    back: int = 0

    def sent(self, count: int) -> None:
        """Raises: Refused once it is too much."""
        self.out += count
        if self.out > self.limits.bytes_out:
            raise Refused(TOO_MUCH, f"the attempt has sent more than {self.limits.bytes_out} bytes")

    def got(self, count: int) -> None:
        """Raises: Refused once it is too much."""
        self.back += count
        if self.back > self.limits.bytes_in:
            raise Refused(TOO_MUCH, f"the attempt has got more than {self.limits.bytes_in} bytes")


class Deadline:
    """Until when a connection may go on: moved on by every byte, but never beyond the end of its life."""

    def __init__(self, clock: Clock, limits: Limits) -> None:
        self._clock = clock
        self._limits = limits
        self._last = clock.monotonic() + limits.total_s
        self._at = 0.0
        self._fixed = False
        self.await_head()

    def await_head(self) -> None:
        """The next request: it may be long in coming, as long as nothing of it is there."""
        self._fixed = False
        self.touch()

    def head_began(self) -> None:
        """From its first byte on it must be whole soon."""
        self._at = self._clock.monotonic() + self._limits.head_s
        self._fixed = True

    def head_is_there(self) -> None:
        self._fixed = False
        self.touch()

    def touch(self) -> None:
        if not self._fixed:
            self._at = self._clock.monotonic() + self._limits.idle_s

    @property
    def left_s(self) -> float:
        return min(self._at, self._last) - self._clock.monotonic()


@dataclass(slots=True)
class Stream:
    """One side of a connection."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    async def read(self) -> bytes:
        """Whatever is there; nothing at the end, and where the other side broke off."""
        try:
            return await self.reader.read(CHUNK)
        except OSError:
            return b""

    async def write(self, data: bytes) -> bool:
        """Whether somebody is still there to take it."""
        try:
            self.writer.write(data)
            await self.writer.drain()
        except OSError:
            return False
        return True

    def finish(self) -> None:
        """Nothing more is written; the other direction goes on."""
        with contextlib.suppress(OSError, NotImplementedError):
            if self.writer.can_write_eof():
                self.writer.write_eof()

    def break_off(self) -> None:
        """The other side sees a reset: what it has got so far must not look whole."""
        found = self.writer.get_extra_info("socket")
        if found is not None:
            with contextlib.suppress(OSError):
                found.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        self.writer.transport.abort()

    async def close(self, clock: Clock) -> None:
        """Hand over what is written, and go; break it off where nobody takes it. Idempotent."""
        self.writer.close()
        closed = asyncio.ensure_future(self.writer.wait_closed())
        try:
            if not await within(clock, FLUSH_S, closed):
                self.break_off()
        finally:
            if not closed.done():
                self.break_off()
            await asyncio.gather(closed, return_exceptions=True)
