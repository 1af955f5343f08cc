"""How Claude Code asks before it uses a tool, and how it is answered.

Facts (seen with 2.1): told `--permission-prompt-tool stdio`, it writes a `control_request` of subtype `can_use_tool`
for each tool that its permission mode does not let through by itself, and waits for the `control_response` without end.
Commands that only look (`ls`, `git status`) it does not ask about.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Any

from codeswarm.agents.base import Question, Stage

FLAGS = ("--permission-mode", "default", "--permission-prompt-tool", "stdio")
EDITS = frozenset({"Write", "Edit", "MultiEdit", "NotebookEdit", "Read", "Glob", "Grep", "LS", "TodoWrite", "Task"})
"""Tools that run nothing: what they do stays in the workspace, and is looked at before it lands."""
SHELL = "Bash"
"""The tool whose `command` a shell runs. Another one (of a server, say) may have something of that name, too."""
ASKED_MAX = 100
"""Questions that are open at a time; each further one is refused at once."""


class ClaudeAsking:
    """The open questions of one conversation."""

    def __init__(self, stage: Stage, folder: str, write: Callable[[Mapping[str, Any]], bool]) -> None:
        self._stage = stage
        self._folder = folder
        self._write = write
        self._open: dict[str, asyncio.Task[None]] = {}

    def hear(self, message: Mapping[str, Any], raw: str) -> bool:
        """Whether a line is about a question. It is answered beside everything else that is said."""
        name = str(message.get("request_id", ""))
        request = message.get("request")
        if message.get("type") == "control_cancel_request":
            if (asked := self._open.pop(name, None)) is not None:
                asked.cancel()
            return True
        if message.get("type") != "control_request" or not isinstance(request, dict):
            return False
        if name in self._open:
            return True
        if len(self._open) >= ASKED_MAX:
            self._reply(_error(name, "too much is asked at once"))
            return True
        asked = asyncio.ensure_future(self._answer(name, request, raw))
        self._open[name] = asked
        asked.add_done_callback(lambda _: self._open.pop(name, None))
        return True

    async def _answer(self, name: str, request: Mapping[str, Any], raw: str) -> None:
        self._reply(await self._response(name, request, raw))

    def _reply(self, response: Mapping[str, Any]) -> None:
        self._write({"type": "control_response", "response": response})

    async def _response(self, name: str, request: Mapping[str, Any], raw: str) -> dict[str, Any]:
        if request.get("subtype") != "can_use_tool":
            return _error(name, f"{request.get('subtype')} is not supported")
        given = request.get("input")
        arguments = given if isinstance(given, dict) else {}
        tool = str(request.get("tool_name", ""))
        said: dict[str, Any] = {"behavior": "allow", "updatedInput": arguments}
        if tool not in EDITS:
            permission = await self._stage.ask(self._question(name, tool, arguments, request, raw))
            if not permission.allowed:
                said = {"behavior": "deny", "message": refusal(permission.why)}
        return {"subtype": "success", "request_id": name, "response": said}

    def _question(
        self, name: str, tool: str, arguments: Mapping[str, Any], request: Mapping[str, Any], raw: str
    ) -> Question:
        command = arguments.get("command")
        words = " ".join(str(value) for value in arguments.values())
        return Question(
            id=str(request.get("tool_use_id") or name),
            command=command if tool == SHELL and isinstance(command, str) else f"{tool} {words}".strip(),
            folder=self._folder,
            reason=str(arguments.get("description") or ""),
            raw=raw,
        )

    async def close(self) -> None:
        """Nobody waits for an answer any more."""
        left = list(self._open.values())
        for asked in left:
            asked.cancel()
        await asyncio.gather(*left, return_exceptions=True)


def _error(name: str, why: str) -> dict[str, Any]:
    """For a question about a tool it is a no, with these words."""
    return {"subtype": "error", "request_id": name, "error": why}


def refusal(why: str) -> str:
    """What the model is told that may not run something."""
    return f"This may not be run{': ' + why if why else ''}. Go on without it, or say why the ticket can't be done."
