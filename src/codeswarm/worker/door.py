"""The door of an attempt: a person comes in over a private socket, has a program in its box, and says how they leave.

Their terminal is never handed into the box: its program has one of its own, and only bytes go to and fro. One person at
a time; who is cut off may come again for a while, and is then taken to have left without a word.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from codeswarm.clock import Clock, within
from codeswarm.domain.states import Handover
from codeswarm.frames import DATA, DONE, ENDED, HELLO, SIZE, VERDICT, listen, read_json, receive, send, send_json
from codeswarm.sandbox.base import Running
from codeswarm.worker.pty import Pty

RETURN_S = 60.0
"""So long a person who was cut off may come again."""
CHUNK = 1 << 16
LONGEST_NAME = 40
UNSEEN_MAX = 1 << 20
"""Bytes that wait for a terminal which does not take them; the program waits, too, then, as on any terminal."""


@dataclass(frozen=True, slots=True)
class Left:
    """How a person has left."""

    how: Handover
    note: str = ""


_WAYS = frozenset(Handover) - {Handover.LEAVE}
Start = Callable[[Sequence[str] | None, dict[str, str], int | None], Awaitable[Running]]
"""(command, or None for the agent's own program; environment; its terminal, or None for none) → the program."""


class Door:
    def __init__(self, path: Path, start: Start, clock: Clock, unsaid: Handover = Handover.HAND_BACK) -> None:
        """`unsaid`: how a person is taken to have left who has said nothing of it."""
        self._unsaid = unsaid
        self._path = path
        self._start = start
        self._clock = clock
        self._left: asyncio.Future[Left] = asyncio.get_running_loop().create_future()
        self._inside = asyncio.Lock()
        self._gone = asyncio.Event()
        self._server: asyncio.Server | None = None

    async def open(self) -> None:
        """From now on a person can come in. Raises: OSError."""
        self._server = await asyncio.start_unix_server(self._come, sock=listen(self._path))

    async def left(self) -> Left:
        """Wait until whoever was in has left for good."""
        while not self._left.done():
            self._gone.clear()
            if self._inside.locked():
                gone = asyncio.ensure_future(self._gone.wait())
                waited: set[asyncio.Future[Any]] = {self._left, gone}
                await asyncio.wait(waited, return_when=FIRST)
                gone.cancel()
            elif not await within(self._clock, RETURN_S, self._left) and not self._inside.locked():
                return Left(self._unsaid, f"nobody was there for {RETURN_S:g} s")
        return self._left.result()

    def cut_off(self) -> None:
        """Whoever is in there is taken to have left."""
        if not self._left.done():
            self._left.set_result(Left(self._unsaid, "cut off"))

    async def close(self) -> None:
        """Nobody comes in any more. Idempotent."""
        if self._server is not None:
            self._server.close()
        self._path.unlink(missing_ok=True)

    # ── a visit ──

    async def _come(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            if self._inside.locked() or self._left.done():
                send_json(writer, ENDED, problem="somebody is in there already")
                return
            async with self._inside:
                await self._visit(reader, writer)
        finally:
            self._gone.set()
            with contextlib.suppress(ConnectionError):
                await writer.drain()
            writer.close()

    async def _visit(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        first = await receive(reader)
        if first is None or first[0] != HELLO:
            return
        hello = read_json(first[1])
        if hello.get("argv") is not None or hello.get("tty"):
            code, problem = await self._run(hello, reader, writer)
            if code is None and not problem:
                return  # cut off in the middle of it
            send_json(writer, ENDED, code=code, problem=problem)
        while (frame := await receive(reader)) is not None:
            if frame[0] == VERDICT and not self._left.done():
                said = read_json(frame[1])
                how = Handover(said["how"]) if said.get("how") in _WAYS else self._unsaid
                self._left.set_result(Left(how, str(said.get("note") or "")[:10_000]))
                send_json(writer, DONE, how=how)
                return

    async def _run(
        self, hello: dict[str, object], reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> tuple[int | None, str]:
        """Run what the person came for; its exit code, None where they were cut off or it could not be started."""
        given = hello.get("argv")
        argv = [str(word) for word in given] if isinstance(given, list) else None
        env = {"TERM": str(hello.get("term") or "dumb")[:LONGEST_NAME]}
        unseen = writer.transport.get_write_buffer_size
        pty = Pty(lambda data: send(writer, DATA, data), lambda: unseen() > UNSEEN_MAX) if hello.get("tty") else None
        if pty is not None:
            pty.resize(hello)
        try:
            running = await self._start(argv, env, None if pty is None else pty.inner)
        except (OSError, FileNotFoundError) as error:
            return None, str(error)
        typing = asyncio.ensure_future(self._type(reader, pty))
        ending = asyncio.ensure_future(_ended(running, pty, writer))
        try:
            await asyncio.wait({typing, ending}, return_when=FIRST)
            return (ending.result(), "") if ending.done() else (None, "")
        finally:
            for task in (typing, ending):
                task.cancel()
            await running.end()
            await asyncio.gather(typing, ending, return_exceptions=True)
            if pty is not None:
                pty.close()

    async def _type(self, reader: asyncio.StreamReader, pty: Pty | None) -> None:
        """What the person types, until they are gone. One who only looks is heard, too: that they are gone."""
        while (frame := await receive(reader)) is not None:
            if pty is not None and frame[0] == DATA:
                await pty.write(frame[1])
            elif pty is not None and frame[0] == SIZE:
                pty.resize(read_json(frame[1]))


FIRST = asyncio.FIRST_COMPLETED


async def _ended(running: Running, pty: Pty | None, writer: asyncio.StreamWriter) -> int:
    """Pass on what a program says, to its end; its exit code."""
    process = running.process
    if pty is not None:
        code = await process.wait()
        pty.rest()
        return code
    assert process.stdout is not None
    while chunk := await process.stdout.read(CHUNK):
        send(writer, DATA, chunk)
        await writer.drain()
    return await process.wait()
