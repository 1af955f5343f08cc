"""JSON-RPC over lines: our requests and their answers, and what the other side asks and tells."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Any

from codeswarm.agents.program import Program

Json = Mapping[str, Any]
NO_SUCH_METHOD = -32601


class Requests:
    """What we asked a program, and who waits for the answer. Answers that nobody waits for are dropped."""

    def __init__(self) -> None:
        self.program: Program | None = None
        self._number = 0
        self._waiting: dict[int, tuple[asyncio.Future[Json], Callable[[Json], None] | None]] = {}

    def send(self, method: str, params: Json, then: Callable[[Json], None] | None = None) -> asyncio.Future[Json]:
        """Ask, without waiting: the whole message of the answer comes later, or never, where the program ends.

        `then` has the answer before anything that was said behind it is heard.
        """
        self._number += 1
        answer: asyncio.Future[Json] = asyncio.get_running_loop().create_future()
        self._waiting[self._number] = answer, then
        self._write({"id": self._number, "method": method, "params": params})
        return answer

    def notify(self, method: str) -> None:
        self._write({"method": method})

    def reply(self, id_: object, result: Json) -> None:
        self._write({"id": id_, "result": result})

    def refuse(self, id_: object, why: str) -> None:
        self._write({"id": id_, "error": {"code": NO_SUCH_METHOD, "message": why}})

    def heard(self, message: Json) -> bool:
        """Whether a message is an answer; whoever waits for it has it then."""
        id_ = message.get("id")
        if "method" in message or isinstance(id_, bool) or not isinstance(id_, int):
            return False
        answer, then = self._waiting.pop(id_, (None, None))
        if answer is not None and not answer.done():
            answer.set_result(message)
        if then is not None:
            then(message)
        return True

    def _write(self, message: Json) -> None:
        assert self.program is not None
        self.program.write(message)


def error_of(message: Json) -> str:
    """What an answer says against us, in a line; empty where it is a good one."""
    error = message.get("error")
    if isinstance(error, dict):
        return str(error.get("message") or error)
    return "" if isinstance(message.get("result"), dict) else "it answered with nothing"
