"""`api:MODEL`: a model without a coding CLI, by our own small loop with a shell and an edit tool.

The loop is a program of its own (`loop/`) that runs behind the walls as any agent does; here it is started, heard and
spoken to. It speaks Anthropic Messages, or OpenAI Chat Completions, which servers of local models speak, too. Which
one: `api:anthropic/MODEL` and `api:openai/MODEL` say so; else a `claude…` model is asked for by the first, any other
by the second, as long as the environment has a login for it; else by the one that it has.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from codeswarm.agents.api import loop
from codeswarm.agents.api.loop.patience import PAUSES_S
from codeswarm.agents.base import Activity, AgentSpec, Capabilities, Ending, Health, Stage, Task
from codeswarm.agents.failures import BY_STATUS, Row, Sign, Table, classify
from codeswarm.agents.lines import names_a_key_twice, read_object
from codeswarm.agents.moments import moment_ms
from codeswarm.agents.program import SHOWN, Program
from codeswarm.domain.results import BURSTS, Failure, FailureClass, Usage
from codeswarm.egress.base import Endpoint
from codeswarm.environment import Login
from codeswarm.errors import AgentUnavailable
from codeswarm.host import interpreter
from codeswarm.vendors import ANTHROPIC, OPENAI

LOOP = Path(loop.__file__).parent
_AGENTS = LOOP.parent
PROGRAM = (_AGENTS.parent / "__init__.py", _AGENTS / "__init__.py", LOOP)
"""All of ours that the program needs to see."""
VENDORS = {"anthropic": ANTHROPIC, "openai": OPENAI}
VARIABLES = {wire: (*vendor.of_api, vendor.endpoint) for wire, vendor in VENDORS.items()}
_BEARER = "ANTHROPIC_AUTH_TOKEN"
_TELLS_WHEN = frozenset({FailureClass.QUOTA, *BURSTS})
TYPES = frozenset({"assistant", "reasoning", "command_started", "command_completed", "file_change", "rate_limit"})
FAILURES: Table = (
    Row(FailureClass.TIMED_OUT, kinds=("endless",)),
    Row(
        FailureClass.QUOTA,
        words=("usage limit", "credit balance", "quota"),
        statuses=(402,),
        kinds=("usage_limit", "usage_limit_reached", "insufficient_quota", "billing_error"),
    ),
    Row(
        FailureClass.CONTEXT_OVERFLOW,
        words=("prompt is too long", "context length", "context window", "context size"),
        kinds=("context_length_exceeded", "exceed_context_size_error"),
    ),
    Row(FailureClass.UNKNOWN_MODEL, kinds=("model_not_found",)),
    Row(FailureClass.OVERLOADED, kinds=("connection", "stream", "overloaded_error", "api_error", "server_error")),
    *BY_STATUS,
)


class ApiAgent:
    can = Capabilities(resume=True, turns=True, inject=True)

    def __init__(self, spec: AgentSpec, login: Login, pauses_s: Sequence[float] = PAUSES_S) -> None:
        """`pauses_s`: before each further try of a request that failed in passing."""
        self.spec = spec
        self._login = login
        self._pauses_s = pauses_s

    def check(self) -> Health:
        wire, model = wire_of(self.spec.argument, self._login)
        if not model:
            return Health(works=False, what="api: names no model", fix="--agent api:MODEL")
        login = self._login.of(VARIABLES[wire])
        if not login:
            fix = f"export {VARIABLES[wire][0]}=…   # or {VARIABLES[wire][-1]}=http://… of a server of your own"
            return Health(works=False, what=f"api: there is no login for {model}", fix=fix)
        return Health(works=True, what=f"api: {model} by {wire}'s API, login from {', '.join(sorted(login))}")

    async def open(self, task: Task, stage: Stage) -> ApiConversation:
        wire, model = wire_of(self.spec.argument, self._login)
        if not model:
            raise AgentUnavailable("api: names no model", "its SPEC is api:MODEL", "--agent api:MODEL")
        environment = {
            **task.environment(),
            **told(wire, self._login.of(VARIABLES[wire]), stage),
            "CODESWARM_API": f"{wire}/{model}",
            "CODESWARM_CONVERSATION": task.conversation,
            "CODESWARM_API_PAUSES_S": " ".join(f"{pause:g}" for pause in self._pauses_s),
        }
        conversation = ApiConversation(task.conversation, stage)
        await conversation.start(environment)
        return conversation


def told(wire: str, login: Mapping[str, str], stage: Stage) -> dict[str, str]:
    """What the loop is told of a login: where its model answers for it, and a key, if any, that is put in outside."""
    vendor = VENDORS[wire]
    upstream = login.get(vendor.endpoint) or vendor.address
    name = next((name for name in (_BEARER, *vendor.of_api) if name in login), "")
    if wire == "openai" or name == _BEARER:
        endpoint = Endpoint(upstream, "authorization", login.get(name, ""), "Bearer")
    else:
        endpoint = Endpoint(upstream, "x-api-key", login.get(name, ""))
    reached = stage.reach(endpoint if name else Endpoint(upstream))
    return {vendor.endpoint: reached.url, **({name: reached.secret} if name else {})}


def wire_of(argument: str, login: Login) -> tuple[str, str]:
    """Which API a model is asked by, and its name there."""
    first, _, rest = argument.partition("/")
    if first in VARIABLES and rest:
        return first, rest
    usual, other = ("anthropic", "openai") if argument.startswith("claude") else ("openai", "anthropic")
    return (other if not login.of(VARIABLES[usual]) and login.of(VARIABLES[other]) else usual), argument


class ApiConversation:
    """A running loop, and what it has said so far."""

    def __init__(self, conversation: str, stage: Stage) -> None:
        self.id = conversation
        self._stage = stage
        self._program: Program | None = None
        self._answer: asyncio.Future[Mapping[str, Any]] | None = None
        self._words = 0
        """How many have been said into running turns: a turn ends when all of them have become part of it."""
        self._said = ""
        self._usage = Usage()
        self._late: Failure | None = None
        """What an end tells that nobody waited for."""
        self._closed: asyncio.Task[Failure | None] | None = None

    async def start(self, environment: Mapping[str, str]) -> None:
        argv = [sys.executable, "-I", "-S", str(LOOP / "__main__.py")]
        visible = (*interpreter(), *PROGRAM)
        self._program = await Program.start("api", self._stage, argv, environment, visible, self.hear)

    @property
    def program(self) -> Program:
        assert self._program is not None
        return self._program

    async def turn(self, prompt: str) -> Ending:
        answer = self._answer = asyncio.get_running_loop().create_future()
        self.program.write({"type": "turn", "prompt": prompt})
        try:
            if await self.program.answered(answer):
                return self._ending(answer.result())
        finally:
            self._answer = None
        return Ending(failure=await self.program.ended(), usage=self._usage, summary=self._said)

    async def say(self, text: str) -> bool:
        if self._answer is None or self._answer.done():
            return False
        taken = self.program.write({"type": "say", "text": text})
        self._words += taken
        return taken

    async def interrupt(self) -> None:
        if self._answer is not None:
            self.program.write({"type": "interrupt"})

    async def close(self) -> Failure | None:
        self._closed = self._closed or asyncio.ensure_future(self._close())
        return await asyncio.shield(self._closed)

    async def _close(self) -> Failure | None:
        code = await self.program.finish()
        if code == 0 or self._late is not None:
            return self._late
        return Failure(failure_class=FailureClass.CRASHED, message=f"api: the loop exited with {code} after its turn")

    async def hear(self, line: str, cut: int) -> None:
        message = None if cut else read_object(line)
        kind = message.get("type") if message is not None else None
        if message is None or not isinstance(kind, str):
            await self._stage.emit(Activity("output", text=line[:SHOWN]))
        elif kind == "usage":
            self._usage = usage_of(message, self._usage)
            await self._stage.emit(Activity("usage", data=self._usage.model_dump(), raw=line))
        elif kind == "ended":
            await self._end(message, line)
        elif kind in TYPES:
            text = str(message.get("text", ""))
            self._said = text if kind == "assistant" else self._said
            await self._stage.emit(Activity(kind, text=text, data=message, raw=line))
        else:
            await self._stage.emit(Activity("output", text=line[:SHOWN]))

    async def _end(self, message: Mapping[str, Any], line: str) -> None:
        if names_a_key_twice(line):
            message = {"message": "its end names a key twice"}
        await self._stage.emit(Activity("turn", text=str(message.get("said", "")), data=message, raw=line))
        heard = message.get("heard")
        if self._answer is None or self._answer.done():
            self._late = self._late or failure_of(message)
            return
        if isinstance(heard, int) and heard < self._words:
            return  # A word came at its last moment: another turn has begun with it.
        self._answer.set_result(message)

    def _ending(self, message: Mapping[str, Any]) -> Ending:
        told = message.get("usage")
        self._usage = usage_of(told, self._usage) if isinstance(told, dict) else self._usage
        summary = str(message.get("said") or self._said)
        return Ending(failure=failure_of(message), usage=self._usage, summary=summary)


def usage_of(told: Mapping[str, Any], before: Usage) -> Usage:
    """Cumulative figures; what is not told is as it was."""
    now = Usage.told(told.get("input_tokens"), told.get("output_tokens"))
    return before.model_copy(update=now.model_dump(exclude_none=True))


def failure_of(message: Mapping[str, Any]) -> Failure | None:
    """The failure that an `ended` line tells of, or None. Success must be said in so many words."""
    outcome, text = message.get("outcome"), str(message.get("message") or "")
    if outcome == "done":
        return None
    if outcome == "interrupted":
        return Failure(failure_class=FailureClass.CANCELLED, message=f"api: {text}")
    if outcome == "refused":
        return Failure(failure_class=FailureClass.REFUSED, message=f"api: the model refused: {text[:500]}")
    status = message.get("status")
    known = status if isinstance(status, int) and not isinstance(status, bool) else None
    class_ = classify(Sign(text, known, frozenset({str(message.get("kind") or "")})), FAILURES)
    return Failure(
        failure_class=class_,
        message=f"api: {text[:500]}" + (f" (HTTP {known})" if known else ""),
        retry_at_ms=moment_ms(message.get("resets_at_s")) if class_ in _TELLS_WHEN else None,
    )
