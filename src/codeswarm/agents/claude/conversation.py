"""A running Claude Code that is spoken with, and what it has said so far."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from codeswarm.agents.base import Activity, Ending, Stage
from codeswarm.agents.claude.asking import ClaudeAsking
from codeswarm.agents.claude.usage import Figures, usage_of
from codeswarm.agents.claude.words import activities, failure_of
from codeswarm.agents.lines import names_a_key_twice, read_object
from codeswarm.agents.program import SHOWN, Program
from codeswarm.domain.results import Failure, FailureClass, Usage

UNKNOWN = Usage()
INTERRUPT = "codeswarm-interrupt"
FORGOTTEN = "No conversation found"
"""It was killed before it wrote down what was said to it."""


class ClaudeConversation:
    """A running CLI, and what it has said so far."""

    def __init__(self, conversation: str, stage: Stage, used: Usage = UNKNOWN, folder: str = "") -> None:
        self.id = conversation
        self._figures = Figures(used)
        self._asking = ClaudeAsking(stage, folder, self._write)
        self._stage = stage
        self._program: Program | None = None
        self._answer: asyncio.Future[Mapping[str, Any]] | None = None
        self._late: Mapping[str, Any] | None = None
        """The result of a turn that nobody waits for: a word that came just after the last one began it."""
        self._said = ""
        self._interrupted = False
        """Whether somebody asked that this turn comes to its end."""
        self._rate_limit: Mapping[str, Any] = {}
        self._closed: asyncio.Task[Failure | None] | None = None
        self.anew: Callable[[], Awaitable[None]] | None = None
        """Starts the CLI with nothing to remember: for one that was to go on, until it has."""

    async def start(self, argv: Sequence[str], env: Mapping[str, str], visible: Sequence[Path]) -> None:
        self._program = await Program.start("claude", self._stage, argv, env, visible, self.hear)

    @property
    def program(self) -> Program:
        assert self._program is not None
        return self._program

    def _write(self, message: Mapping[str, Any]) -> bool:
        return self.program.write(message)

    async def turn(self, prompt: str) -> Ending:
        self._interrupted = False
        ending = await self._turn(prompt)
        anew, self.anew = self.anew, None
        if anew is None or ending.failure is None or FORGOTTEN not in ending.failure.message:
            return ending
        await self.program.finish()
        self._figures = Figures(UNKNOWN)
        if not self._interrupted:
            await anew()
        if self._interrupted:
            return Ending.failed(FailureClass.CANCELLED, "claude: interrupted before its conversation was begun anew")
        return await self._turn(prompt)

    async def _turn(self, prompt: str) -> Ending:
        answer = self._answer = asyncio.get_running_loop().create_future()
        self.program.write(_user(prompt))
        try:
            if await self.program.answered(answer):
                return self.ending(answer.result())
        finally:
            self._answer = None
        return Ending(failure=await self.program.ended(), summary=self._said)

    async def say(self, text: str) -> bool:
        return self._answer is not None and not self._answer.done() and self.program.write(_user(text))

    async def interrupt(self) -> None:
        self._interrupted = True
        if self._answer is not None:
            self.program.write(
                {"type": "control_request", "request_id": INTERRUPT, "request": {"subtype": "interrupt"}}
            )

    async def close(self) -> Failure | None:
        self._closed = self._closed or asyncio.ensure_future(self._close())
        return await asyncio.shield(self._closed)

    async def _close(self) -> Failure | None:
        await self._asking.close()
        code = await self.program.finish()
        if self._late is not None and (failure := failure_of(self._late, self._rate_limit)) is not None:
            return failure
        if code == 0:
            return None
        return Failure(failure_class=FailureClass.CRASHED, message=f"claude exited with {code} after its turn")

    async def hear(self, line: str, cut: int) -> None:
        message = None if cut else read_object(line)
        if message is None:
            await self._stage.emit(Activity("output", text=line[:SHOWN]))
            return
        if message.get("type") == "result" and names_a_key_twice(line):
            message = {"type": "result", "subtype": "its end names a key twice"}
        if self._asking.hear(message, line):
            return
        if message.get("type") == "rate_limit_event" and isinstance(message.get("rate_limit_info"), dict):
            self._rate_limit = message["rate_limit_info"]
        for activity in (*activities(message, line), *self._metered(message)):
            self._said = activity.text if activity.type == "assistant" else self._said
            await self._stage.emit(activity)
        if message.get("type") == "result":
            self._has_answered(message)

    def _metered(self, message: Mapping[str, Any]) -> Iterator[Activity]:
        """Within a turn its figures are added up, answer by answer; its end tells them whole."""
        if message.get("type") == "result":
            self._figures.turned(usage_of(message))
        elif self._figures.heard(message):
            yield Activity("usage", data=self._figures.newest.model_dump())

    def _has_answered(self, result: Mapping[str, Any]) -> None:
        if self._answer is None or self._answer.done():
            if self._late is None or failure_of(self._late, {}) is None:
                self._late = result  # a failure is not taken back
        else:
            self._answer.set_result(result)

    def ending(self, result: Mapping[str, Any]) -> Ending:
        failure = failure_of(result, self._rate_limit)
        return Ending(failure=failure, usage=usage_of(result), summary=str(result.get("result") or self._said))


def _user(text: str) -> dict[str, Any]:
    return {"type": "user", "message": {"role": "user", "content": text}}
