"""A thread of Codex's app server as a conversation: its turns, words into them, and what it asks on the way."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from codeswarm.agents.base import Activity, Ending, Question, Stage
from codeswarm.agents.codex.words import (
    UNASKED,
    Json,
    activities,
    command_of,
    failure_of,
    paths_of,
    status_of,
    usage_of,
)
from codeswarm.agents.lines import names_a_key_twice, read_object
from codeswarm.agents.moments import now_of_the_system
from codeswarm.agents.program import SHOWN, Program
from codeswarm.agents.rpc import Requests, error_of
from codeswarm.domain.results import Failure, FailureClass, Usage
from codeswarm.version import VERSION

ALL = {"type": "dangerFullAccess"}
"""Our own walls stand around it."""
WAITS = 3
"""How often in a row it may say that it waits for the network (after 0, 5 and 15 s): alone it waits for ever."""
ASKED_MAX = 100
"""Questions that are open at a time; nobody answers more."""
ITEMS_MAX = 200
"""Things that it is about to do of which the beginning is kept."""
ANSWER_S = 2.0
"""How long a word into a turn waits to be taken. What reads its input at all answers within milliseconds."""


@dataclass(frozen=True, slots=True)
class Terms:
    """What a thread is begun with."""

    thread: str
    """The one to go on with; empty: a new one."""
    folder: str
    model: str | None
    approval: str


@dataclass(slots=True)
class _Turn:
    """A turn that runs, from before the server has given it a name."""

    ended: asyncio.Future[Json] = field(default_factory=lambda: asyncio.get_running_loop().create_future())
    id: str = ""
    stopped: bool = False
    """Whether we asked that it ends."""


class CodexThread:
    """`codeswarm.agents.base.Conversation` on a running app server."""

    def __init__(self, stage: Stage, terms: Terms) -> None:
        self.id = ""
        self._stage = stage
        self._terms = terms
        self._requests = Requests()
        self._refused = ""
        """Why there is no thread."""
        self._turn: _Turn | None = None
        self._said = ""
        self._usage = Usage()
        self._limits: Json = {}
        self._items: dict[str, Json] = {}
        """What it is about to do, by the name of the item."""
        self._waits = 0
        self._ended = ""
        """The turn that came to a good end last."""
        self._late: Failure | None = None
        """What the server says against that turn after its end."""
        self._asking: set[asyncio.Task[None]] = set()
        self._closed: asyncio.Task[Failure | None] | None = None

    async def open(self, argv: Sequence[str], env: Mapping[str, str], visible: Sequence[Path]) -> None:
        """Start the server, and begin or take up the thread. Whatever goes wrong is told by the first turn."""
        self._requests.program = await Program.start("codex", self._stage, argv, env, visible, self.hear)
        capabilities = {"experimentalApi": False, "optOutNotificationMethods": UNASKED}
        client = {"name": "codeswarm", "title": "Codeswarm", "version": VERSION}
        if await self._answer_to("initialize", {"clientInfo": client, "capabilities": capabilities}) is None:
            return
        self._requests.notify("initialized")
        terms = self._terms
        params = {"cwd": terms.folder, "model": terms.model, "approvalPolicy": terms.approval, "sandbox": "read-only"}
        resumed = {"threadId": terms.thread, "excludeTurns": True}
        result = await self._answer_to("thread/resume", {**params, **resumed}) if terms.thread else None
        result = result or await self._answer_to("thread/start", params)  # killed early it has no thread to go on with
        thread = (result or {}).get("thread")
        self.id = str(thread.get("id") or "") if isinstance(thread, dict) else ""

    @property
    def _program(self) -> Program:
        assert self._requests.program is not None
        return self._requests.program

    async def _answer_to(self, method: str, params: Json) -> Json | None:
        """The result; None where there is none, and why not is kept."""
        answer = self._requests.send(method, params)
        if not await self._program.answered(answer):
            return None
        message = answer.result()
        self._refused = f"{method}: {wrong}" if (wrong := error_of(message)) else ""
        return None if wrong else message["result"]

    # ── turns ──

    async def turn(self, prompt: str) -> Ending:
        if not self.id:
            return await self._ending_of_none()
        turn = self._turn = _Turn()
        self._waits = 0
        try:
            params = {"threadId": self.id, "input": _input(prompt), "sandboxPolicy": ALL}
            _ = self._requests.send("turn/start", params, lambda answer: self._begun(turn, answer))
            if await self._program.answered(turn.ended):
                return await self._ending(turn)
        finally:
            self._turn = None
        return Ending(failure=await self._program.ended(), usage=self._usage, summary=self._said)

    def _begun(self, turn: _Turn, answer: Json) -> None:
        if turn.ended.done():
            return
        if wrong := error_of(answer):
            self._end(turn, {"status": "failed", "error": {"message": wrong}})
            return
        begun = answer["result"].get("turn")
        turn.id = str(begun.get("id") or "") if isinstance(begun, dict) else ""
        if turn.stopped:
            self._stop(turn)

    async def _ending_of_none(self) -> Ending:
        """Of a turn without a thread: the server said why there is none, or has ended."""
        if not self._refused:
            return Ending(failure=await self._program.ended())
        failure = failure_of({"message": self._refused}, {}, now_of_the_system())
        return Ending(failure=failure)

    async def _ending(self, turn: _Turn) -> Ending:
        result = turn.ended.result()
        for item in _items(result):
            self._said = str(item.get("text") or self._said) if item.get("type") == "agentMessage" else self._said
        await self._stage.emit(Activity("turn", text=self._said))
        return Ending(failure=self._failure(turn, result), usage=self._usage, summary=self._said)

    def _failure(self, turn: _Turn, result: Json) -> Failure | None:
        """None for a turn that says in full that it came to its end."""
        status, error = result.get("status"), result.get("error")
        if status == "completed" and error is None:
            return None
        if isinstance(error, dict):
            return failure_of(error, self._limits, now_of_the_system())
        stopped = status == "interrupted" and turn.stopped
        class_ = FailureClass.CANCELLED if stopped else FailureClass.CRASHED
        return Failure(failure_class=class_, message=f"codex: its turn ended as {str(status)[:40]}")

    async def say(self, text: str) -> bool:
        turn = self._turn
        if turn is None or not turn.id or turn.ended.done():
            return False
        answer = self._steer(turn, text)
        await asyncio.wait({answer, turn.ended}, timeout=ANSWER_S, return_when=asyncio.FIRST_COMPLETED)
        return not error_of(answer.result()) if answer.done() else not turn.ended.done()

    def _steer(self, turn: _Turn, text: str) -> asyncio.Future[Json]:
        params = {"threadId": self.id, "expectedTurnId": turn.id, "input": _input(text)}
        return self._requests.send("turn/steer", params)

    async def interrupt(self) -> None:
        if self._turn is not None:
            self._turn.stopped = True
            self._stop(self._turn)

    def _stop(self, turn: _Turn) -> None:
        if turn.id:
            _ = self._requests.send("turn/interrupt", {"threadId": self.id, "turnId": turn.id})

    async def close(self) -> Failure | None:
        self._closed = self._closed or asyncio.ensure_future(self._close())
        return await asyncio.shield(self._closed)

    async def _close(self) -> Failure | None:
        for asking in self._asking:
            asking.cancel()
        code = await self._program.finish()
        if code == 0 or self._late is not None:
            return self._late
        return Failure(failure_class=FailureClass.CRASHED, message=f"codex exited with {code} after its turn")

    # ── what it says ──

    async def hear(self, line: str, cut: int) -> None:
        message = None if cut else read_object(line)
        if message is None:
            await self._stage.emit(Activity("output", text=line[:SHOWN]))
            self._end_unread(line if cut else "")
            return
        if self._requests.heard(message):
            await self._stage.emit(Activity("output", text="[answer]", raw=line))
            return
        self._note(message)
        for activity in activities(message, line):
            self._said = activity.text if activity.type == "assistant" else self._said
            await self._stage.emit(activity)
        if "id" in message:
            self._attend(message, line)
        if message.get("method") == "turn/completed" and names_a_key_twice(line):
            self._end_unread(line)
        self._watch_for_the_end(message)

    def _note(self, message: Json) -> None:
        params = message.get("params")
        if not isinstance(params, dict):
            return
        match message.get("method"):
            case "thread/tokenUsage/updated":
                told = usage_of(params)
                self._usage = told if told.tokens is not None else self._usage
            case "account/rateLimits/updated":
                self._limits = params
            case "item/started" if isinstance(params.get("item"), dict):
                self._begin(params["item"])
            case "item/completed" if isinstance(params.get("item"), dict):
                self._items.pop(_name(params["item"]), None)

    def _begin(self, item: Json) -> None:
        """A question may be about it. Whoever begins ever more has none about the eldest."""
        if len(self._items) >= ITEMS_MAX:
            del self._items[next(iter(self._items))]
        self._items[_name(item)] = item

    def _watch_for_the_end(self, message: Json) -> None:
        turn, params = self._turn, message.get("params")
        if not isinstance(params, dict):
            return
        ended = params.get("turn")
        if turn is None or turn.ended.done():
            if message.get("method") == "turn/completed" and isinstance(ended, dict):
                self._note_a_second_end(ended)
            return
        if message.get("method") == "turn/completed" and isinstance(ended, dict):
            if (params.get("threadId"), ended.get("id")) == (self.id, turn.id):
                self._end(turn, ended)
            return
        error = params.get("error") if message.get("method") == "error" and params.get("willRetry") is True else None
        # Told by a refusal to come back in an hour, or in a year, it would wait: the cascade decides instead.
        refused = isinstance(error, dict) and status_of(error) is not None
        self._waits = self._waits + ("waiting for network" in str(error)) if error else 0
        if self._waits >= WAITS or refused:
            self._stop(turn)
            self._end(turn, {"status": "failed", "error": error})

    def _end(self, turn: _Turn, result: Json) -> None:
        self._ended = "" if self._failure(turn, result) else turn.id
        turn.ended.set_result(result)

    def _note_a_second_end(self, ended: Json) -> None:
        """A turn that ended well and then did not has failed."""
        if self._ended and ended.get("id") == self._ended and self._late is None:
            self._late = self._failure(_Turn(id=self._ended), ended)

    def _end_unread(self, line: str) -> None:
        """The end of a turn in a line that is too long to be read is an end, and none of success."""
        turn = self._turn
        if turn is not None and not turn.ended.done() and '"turn/completed"' in line[:SHOWN]:
            self._end(turn, {"status": "unreadable"})

    # ── what it asks ──

    def _attend(self, message: Json, raw: str) -> None:
        """Answer a request of the server; what takes a person's time does not keep it from being heard."""
        if len(self._asking) >= ASKED_MAX:
            self._requests.refuse(message["id"], "too much is asked at once")
            return
        asking = asyncio.ensure_future(self._answer(message, raw))
        self._asking.add(asking)
        asking.add_done_callback(self._asking.discard)

    async def _answer(self, message: Json, raw: str) -> None:
        params = message.get("params")
        params = params if isinstance(params, dict) else {}
        match message.get("method"):
            case "item/commandExecution/requestApproval":
                command, folder = command_of(params), str(params.get("cwd") or self._terms.folder)
            case "item/fileChange/requestApproval":
                files = paths_of(self._items.get(str(params.get("itemId"))[:200], {}))
                command, folder = f"change {', '.join(files) or 'files'}", self._terms.folder
            case _:
                self._requests.refuse(message["id"], "nobody here can answer that")
                return
        question = Question(str(params.get("itemId", "")), command, folder, str(params.get("reason") or ""), raw)
        permission = await self._stage.ask(question)
        if not permission.allowed and permission.why and self._turn is not None:
            # A refusal has no room for words, so they go before it into the turn.
            _ = self._steer(self._turn, f"That is not allowed: {permission.why}")
        self._requests.reply(message["id"], {"decision": "accept" if permission.allowed else "decline"})


def _name(item: Json) -> str:
    return str(item.get("id"))[:200]


def _input(text: str) -> list[dict[str, str]]:
    return [{"type": "text", "text": text}]


def _items(turn: Json) -> list[Json]:
    items = turn.get("items")
    return [item for item in items if isinstance(item, dict)] if isinstance(items, list) else []
