"""Runs a command in a sandbox to its end: bounded in time and in output, with nothing left behind."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from codeswarm.clock import Clock, SystemClock, within
from codeswarm.process import KILLED, exited
from codeswarm.sandbox.base import Box, Running, Sandbox
from codeswarm.sandbox.starting import start

TAIL_BYTES = 6000
MAX_LOG_BYTES = 8 << 20
"""Of a longer output the first and the last halves of this are kept."""
CHUNK = 1 << 16


@dataclass(frozen=True, slots=True)
class Done:
    """How a command ended. `exit_code` None: by a signal or at the time-out."""

    exit_code: int | None
    timed_out: bool
    log: bytes
    leftovers: tuple[str, ...] = ()
    killed: bool = False
    """Ended by a SIGKILL that was not ours: out of memory, or someone's hand."""
    exceeded: tuple[str, ...] = ()
    """The limits that it ran into, in words."""
    no_room: bool = False
    """It did not end well, and the disk was full then."""

    @property
    def tail(self) -> str:
        return self.log[-TAIL_BYTES:].decode(errors="replace").strip()


class _Log:
    """Keeps the beginning and the end of an output of any length."""

    def __init__(self, most: int) -> None:
        self._half = most // 2
        self._head = bytearray()
        self._tail = bytearray()
        self._dropped = 0

    def add(self, data: bytes) -> None:
        room = self._half - len(self._head)
        self._head += data[:room]
        self._tail += data[room:] if room > 0 else data
        if len(self._tail) > 2 * self._half:
            excess = len(self._tail) - self._half
            del self._tail[:excess]
            self._dropped += excess

    def whole(self) -> bytes:
        excess = max(len(self._tail) - self._half, 0)
        dropped = self._dropped + excess
        gap = f"\n[… {dropped} bytes of output left out …]\n".encode() if dropped else b""
        return bytes(self._head) + gap + bytes(self._tail[excess:])


async def run_to_end(
    sandbox: Sandbox,
    box: Box,
    argv: Sequence[str],
    env: Mapping[str, str],
    *,
    timeout_s: float,
    keep: Path | None = None,
    clock: Clock | None = None,
    stdin: bytes = b"",
) -> Done:
    """Run a command; at its end or at the time-out (by `clock`) everything that it started is ended, too.

    `keep`: where its (capped) output is also written. Raises: SandboxUnavailable, FileNotFoundError.
    """
    given = None if stdin else asyncio.subprocess.DEVNULL
    running = await start(sandbox, box, argv, env, stdin=given, stderr=asyncio.subprocess.STDOUT)
    log, timed_out = _Log(MAX_LOG_BYTES), False
    reading, ending = asyncio.create_task(_read(running, log)), asyncio.create_task(exited(running.process))
    feeding = asyncio.create_task(_feed(running, stdin))
    try:
        timed_out = not await within(clock or SystemClock(), timeout_s, ending)
    finally:
        ending.cancel()
        leftovers = await running.end()
        await reading
        await feeding
    code = await running.process.wait()
    output = log.whole()
    if keep is not None:
        await asyncio.to_thread(keep.write_bytes, output)
    killed = not timed_out and code in KILLED
    exceeded = running.exceeded()
    return Done(None if timed_out or code < 0 else code, timed_out, output, leftovers, killed, exceeded)


async def _feed(running: Running, data: bytes) -> None:
    if (pipe := running.process.stdin) is None:
        return
    with contextlib.suppress(ConnectionError):  # whoever ends before has read what it wanted
        pipe.write(data)
        await pipe.drain()
    pipe.close()


async def _read(running: Running, log: _Log) -> None:
    assert running.process.stdout is not None
    while chunk := await running.process.stdout.read(CHUNK):
        log.add(chunk)
