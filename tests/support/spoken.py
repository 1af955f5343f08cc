"""A program of JSON-RPC that says a transcript again, a part of it after each request."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping, Sequence
from types import SimpleNamespace
from typing import Any

from codeswarm.agents.lines import read_object
from codeswarm.testing.stage import QuietStage


class Spoken(QuietStage):
    """A stage on which whatever is started says a transcript: a part for each of the first requests, then the rest."""

    def __init__(self, transcript: bytes, code: int = 0, requests: int = 3) -> None:
        super().__init__()
        self.sent: list[dict[str, Any]] = []
        """What it was told."""
        self._left = transcript
        self._code = code
        self._last = requests
        self._out, self._err = asyncio.StreamReader(), asyncio.StreamReader()
        self._err.feed_data(b"some warning\n")
        self._err.feed_eof()
        self._ended = asyncio.Event()
        self._closing = False
        self.transport = SimpleNamespace(get_write_buffer_size=lambda: 0)
        self.process: Any = SimpleNamespace(
            stdin=self, stdout=self._out, stderr=self._err, returncode=code, wait=self.wait
        )

    async def start(
        self, argv: Sequence[str], env: Mapping[str, str], visible: Sequence[Any] = (), *, stderr: int | None = None
    ) -> Any:
        return self

    # ── a process ──

    async def wait(self) -> int:
        await self._ended.wait()
        return self._code

    async def end(self) -> tuple[str, ...]:
        return ()

    # ── its standard input ──

    def write(self, data: bytes) -> None:
        message = json.loads(data)
        self.sent.append(message)
        number = message.get("id") if "method" in message else None
        if number is None or self._ended.is_set():
            return
        until = self._end_of_answer(number)
        self._say(self._left[:until])
        self._left = self._left[until:]
        if not self._left or number >= self._last:
            self._say(self._left)
            self._end()

    def _end_of_answer(self, number: int) -> int:
        """Behind the answer to a request; all, where there is none that could be understood."""
        end = 0
        for line in self._left.splitlines(keepends=True):
            end += len(line)
            found = read_object(line.decode(errors="replace").strip())
            if found is not None and found.get("id") == number and _is_answer(found):
                return end
        return len(self._left)

    def is_closing(self) -> bool:
        return self._closing

    def close(self) -> None:
        self._closing = True
        self._end()

    def _say(self, data: bytes) -> None:
        if data:
            self._out.feed_data(data)

    def _end(self) -> None:
        if not self._ended.is_set():
            self._out.feed_eof()
            self._ended.set()


def _is_answer(found: Mapping[str, Any]) -> bool:
    """Whether a message answers anything; behind one that is garbled the rest is said at once, and waits for nobody."""
    error = found.get("error")
    refused = isinstance(error, dict) and isinstance(error.get("code"), int) and isinstance(error.get("message"), str)
    return "method" not in found and (refused if "error" in found else isinstance(found.get("result"), dict))
