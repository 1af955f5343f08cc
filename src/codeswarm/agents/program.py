"""A program that speaks in lines: started on a stage, heard until its end, and written to without ever waiting for it.

What adapters have in common that keep a program running through a whole conversation.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from codeswarm.agents.base import Activity, Stage
from codeswarm.agents.lines import CHUNK, read_lines
from codeswarm.domain.results import Failure, FailureClass
from codeswarm.process import KILLED, exited
from codeswarm.sandbox.base import Running
from codeswarm.waiting import first_of

MUTE_S = 5.0
"""How long a program that has closed its output, and so can't end its turn any more, may take to go."""
ERRORS_MAX = 10_000
"""Lines of standard error that are told: a flood of them would cost more than the work."""
SHOWN = 2000
"""Characters of a line that is only shown."""
UNREAD_MAX = 16 << 20
"""Bytes that wait for a program which does not read them: beyond that it is told nothing more."""

Hear = Callable[[str, int], Awaitable[None]]
"""A line of standard output, and how many bytes were cut off it."""


class Program:
    """`name` is what people call it. Its standard error goes to the transcript, and its end is kept for a failure."""

    def __init__(self, name: str, stage: Stage, running: Running, hear: Hear) -> None:
        self.name = name
        self.errors = ""
        """The last that it wrote to standard error."""
        self._stage = stage
        self._running = running
        self._hear = hear
        self._mute = False
        """It was ended, since it had closed its output before the end of its turn."""
        self._output_closed = asyncio.get_running_loop().create_future()
        self._all_said = asyncio.ensure_future(self._listen())

    @classmethod
    async def start(
        cls, name: str, stage: Stage, argv: Sequence[str], env: Mapping[str, str], visible: Sequence[Path], hear: Hear
    ) -> Program:
        return cls(name, stage, await stage.start(argv, env, visible), hear)

    def write(self, message: Mapping[str, Any]) -> bool:
        """A line of JSON. Never waits: who does not read can't hold up a heartbeat. False: it takes nothing more."""
        stdin = self._running.process.stdin
        if stdin is None or stdin.is_closing() or self._all_said.done():
            return False
        if stdin.transport.get_write_buffer_size() > UNREAD_MAX:
            return False
        stdin.write(json.dumps(message).encode() + b"\n")
        return True

    async def answered(self, answer: asyncio.Future[Any]) -> bool:
        """Wait for an answer that listening brings, or for the end of the program. Whether it came."""
        await asyncio.wait({answer, self._all_said, self._output_closed}, return_when=asyncio.FIRST_COMPLETED)
        if not answer.done() and not self._all_said.done():
            await asyncio.wait({self._all_said}, timeout=MUTE_S)
            self._mute = not self._all_said.done()
            await self._running.end()
            await asyncio.wait({self._all_said})
        if self._all_said.done():
            self._all_said.result()
        return answer.done()

    async def finish(self) -> int:
        """Close its input, and wait until it has ended by itself and all that it said is heard. Its exit code."""
        stdin = self._running.process.stdin
        if stdin is not None:
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                stdin.close()
        await self._all_said
        return await self._running.process.wait()

    async def ended(self) -> Failure:
        """How it ended, once it has, though its turn had not."""
        code = await self.finish()
        if self._mute:
            what = f"{self.name} closed its output before the end of its turn, and went on"
            return Failure(failure_class=FailureClass.CRASHED, message=what)
        how = f"was ended by signal {-code}" if code < 0 else f"exited with {code}"
        detail = f"{self.name} {how} before the end of its turn: {self.errors.strip()[-300:]}".rstrip(": ")
        class_ = FailureClass.LOST if code in KILLED else FailureClass.CRASHED
        return Failure(failure_class=class_, message=detail)

    async def _listen(self) -> None:
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._listen_to_output())
                tasks.create_task(self._listen_to_errors())
                tasks.create_task(end_with_main(self._running))
        except ExceptionGroup as group:
            raise group.exceptions[0] from group  # a full disk, say: whoever reports it looks for that

    async def _listen_to_output(self) -> None:
        assert self._running.process.stdout is not None
        try:
            async for line, cut in read_lines(self._running.process.stdout):
                await self._hear(line, cut)
        finally:
            self._output_closed.set_result(None)

    async def _listen_to_errors(self) -> None:
        assert self._running.process.stderr is not None
        stream, left = self._running.process.stderr, ERRORS_MAX
        async with contextlib.aclosing(read_lines(stream)) as lines:
            async for line, _ in lines:
                self.errors = f"{self.errors}\n{line}"[-SHOWN:]
                await self._stage.emit(Activity("output", text=line[:SHOWN]))
                if (left := left - 1) == 0:
                    break
        if left == 0:
            told = f"[{self.name}: more than {ERRORS_MAX} lines on standard error; the rest is left out]"
            await self._stage.emit(Activity("output", text=told))
        while chunk := await stream.read(CHUNK):
            self.errors = (self.errors + chunk[-SHOWN:].decode(errors="replace"))[-SHOWN:]


async def end_with_main(running: Running, stop: asyncio.Event | None = None) -> None:
    """Once the main process has ended, end what it left behind: that would hold its output open for ever.

    With `stop` it is ended as soon as that is set: a program that takes no word can't be asked to come to an end.
    """
    await first_of(exited(running.process), *([] if stop is None else [stop.wait()]))
    await running.end()
