"""A guard in front of the official ACP library: it gets whole, bounded, well-formed messages, few at a time.

The library correlates requests with answers and words what we say; it was not made for an agent that means harm. It
reads lines of any length, starts a task for whatever comes in, and an id that is a list ends its loop. So lines are
read by `Program`, checked here, and what an agent merely tells (`session/update`, most of all that it says) goes past
the library, in order and no faster than it is taken.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Any

Json = Mapping[str, Any]
REQUESTS_MAX = 10_000
"""What an agent may ask in one conversation; nobody answers more."""
WAITING_MAX = 1000
"""Messages that the library has not come to yet; more than that is no conversation."""


class AcpLine:
    """`acp`'s transport over a program's lines: `write` sends one, `pass_on` takes those that the library is to see."""

    def __init__(self, write: Callable[[Json], bool]) -> None:
        self._write = write
        self._inbox: asyncio.Queue[dict[str, Any] | None] = asyncio.Queue()
        self._asked = 0

    async def send(self, message: dict[str, Any]) -> None:
        """Raises: ConnectionError, for a request; an answer that nobody takes any more is nobody's fault."""
        if not self._write(message) and "method" in message:
            raise ConnectionError("the agent takes nothing more")

    async def receive(self) -> dict[str, Any] | None:
        return await self._inbox.get()

    async def close(self) -> None:
        self.end()

    def end(self) -> None:
        """Nothing more will come: whoever waits for an answer hears so."""
        self._inbox.put_nowait(None)

    def pass_on(self, message: dict[str, Any]) -> bool:
        """Whether a message is a request or an answer that can be one; the library has it then."""
        if not is_answer(message) and not is_request(message):
            return False
        self._asked += "method" in message
        if self._asked > REQUESTS_MAX or self._inbox.qsize() >= WAITING_MAX:
            return False
        self._inbox.put_nowait(message)
        return True


def is_update(message: Json) -> bool:
    return message.get("method") == "session/update" and isinstance(message.get("params"), dict)


def is_request(message: Json) -> bool:
    id_ = message.get("id")
    named = isinstance(id_, str) or (isinstance(id_, int) and not isinstance(id_, bool))
    return named and isinstance(message.get("method"), str)


def is_answer(message: Json) -> bool:
    id_, error = message.get("id"), message.get("error")
    if "method" in message or isinstance(id_, bool) or not isinstance(id_, int):
        return False
    if "error" not in message:
        return isinstance(message.get("result", {}), dict)
    return isinstance(error, dict) and isinstance(error.get("code"), int) and isinstance(error.get("message"), str)
