"""A session of an ACP agent as a conversation: begun or taken up, prompted, steered, cancelled, and asked back.

The only file that knows the official library.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from acp import PROTOCOL_VERSION
from acp.connection import Connection
from acp.exceptions import RequestError
from acp.meta import AGENT_METHODS, CLIENT_METHODS
from acp.schema import (
    AllowedOutcome,
    AuthenticateRequest,
    CancelNotification,
    ClientCapabilities,
    DeniedOutcome,
    Implementation,
    InitializeRequest,
    LoadSessionRequest,
    NewSessionRequest,
    PromptRequest,
    RequestPermissionRequest,
    RequestPermissionResponse,
    ResumeSessionRequest,
    SetSessionConfigOptionSelectRequest,
    TextContentBlock,
)
from acp.utils import serialize_params
from pydantic import BaseModel, ValidationError

from codeswarm.agents.acp.bridges import Bridge, bridge_called
from codeswarm.agents.acp.line import REQUESTS_MAX, AcpLine, is_answer, is_update
from codeswarm.agents.acp.words import (
    Json,
    Updates,
    add_up,
    failure_told,
    mapping_in,
    model_option,
    models_of,
    rows_of,
    tokens_of,
    told_back_ms,
)
from codeswarm.agents.base import Activity, Ending, Question, Stage
from codeswarm.agents.failures import Sign, classify
from codeswarm.agents.lines import names_a_key_twice, read_object
from codeswarm.agents.moments import now_of_the_system
from codeswarm.agents.program import SHOWN, Program
from codeswarm.domain.results import Failure, FailureClass, Usage
from codeswarm.version import VERSION

STEER = "_session/steering"
SET_MODEL = "session/set_model"
"""Not of the protocol any more, and what some agents have instead of a configuration option."""
ASKED_MAX = 20
"""Questions that are open at a time."""
EXPLAINED_MAX = 5
"""How many further prompts of one turn tell why something was not allowed: whoever asks on for ever is let end."""
TELL_US = {"jetbrains": {"air": {"version": 1, "capabilities": ["sessionFailure"]}}}
"""Claude's and Codex's bridges end a failed turn in good order, unless the client says that it wants to know."""
STOPS = {
    "cancelled": FailureClass.CANCELLED,
    "refusal": FailureClass.REFUSED,
    "max_tokens": FailureClass.CONTEXT_OVERFLOW,
    "max_turn_requests": FailureClass.TIMED_OUT,
}


class Gone(Exception):
    """The program has ended, or answers no more."""


@dataclass(frozen=True, slots=True)
class Terms:
    """What a session is begun with."""

    folder: str
    session: str
    """The one to go on with; empty: a new one."""
    model: str
    used: Usage
    """What it had used before."""
    trusted: bool
    """Whether the repository's own settings for agents count."""
    ask: bool
    """Whether its questions are passed on; else whatever it asks for is allowed."""


class AcpConversation:
    """`codeswarm.agents.base.Conversation` on a running agent."""

    def __init__(self, name: str, bridge: Bridge, stage: Stage, terms: Terms) -> None:
        self.id = ""
        self._name = name
        self._bridge = bridge
        self._stage = stage
        self._terms = terms
        self._updates = Updates()
        self._refused: Failure | None = None
        """Why there is no session."""
        self._agent: Json = {}
        self._quiet = False
        """While an earlier conversation is told again, nothing of it is new."""
        self._turning = False
        self._interrupted = False
        """Whether somebody asked that this turn comes to its end."""
        self._steering: list[tuple[str, asyncio.Task[Any]]] = []
        self._asking: set[asyncio.Task[Any]] = set()
        self._denied: list[str] = []
        """What it has not been told yet of why something was not allowed."""
        self._read, self._written = terms.used.input_tokens or 0, terms.used.output_tokens or 0
        self._counted = False
        self._by_model = {row.model: row for row in terms.used.models}
        self._answered: set[int] = set()
        """Requests of ours that have their answer."""
        self._late: Failure | None = None
        """What a second answer says against its first."""
        self._closed: asyncio.Task[Failure | None] | None = None

    # ── beginning ──

    async def open(self, argv: Sequence[str], env: Mapping[str, str], visible: Sequence[Path]) -> None:
        """Start the agent, and begin or take up a session. Whatever goes wrong is told by the first turn."""
        self._line = AcpLine(self._write)
        self._connection = Connection(self._answer, self._line)
        self._program = await Program.start(self._name, self._stage, argv, env, visible, self.hear)
        try:
            await self._begin()
        except RequestError as error:
            self._refused = self._failure_of(error)
        except Gone:
            return

    def _write(self, message: Json) -> bool:
        return self._program.write(message)

    async def _begin(self) -> None:
        """Raises: RequestError; Gone."""
        self._agent = await self._request("initialize", _introduction())
        self._bridge = bridge_called(str(mapping_in(self._agent, "agentInfo").get("name", "")), self._bridge)
        methods = self._agent.get("authMethods")
        offered = (
            [method.get("id") for method in methods if isinstance(method, dict)] if isinstance(methods, list) else []
        )
        if self._bridge.method in offered:
            await self._request("authenticate", AuthenticateRequest(method_id=self._bridge.method))
        session = await (self._gone_on() if self._terms.session else self._new())
        if not self._terms.model:
            return
        try:
            await self._choose_model(session)
        except RequestError as error:
            self._refused = self._failed(FailureClass.UNKNOWN_MODEL, f"{self._terms.model} can't be chosen: {error}")

    async def _new(self) -> Json:
        request = NewSessionRequest(
            cwd=self._terms.folder, mcp_servers=[], field_meta=dict(self._bridge.session(self._terms.trusted)) or None
        )
        session = await self._request("session_new", request)
        self.id = str(session.get("sessionId") or "")
        return session

    async def _gone_on(self) -> Json:
        """The earlier session, or a new one: an agent that was killed early has kept none."""
        try:
            return await self._take_up()
        except RequestError:
            self._read = self._written = 0
            self._by_model.clear()
            return await self._new()

    async def _take_up(self) -> Json:
        """An earlier session, without its being told again where the agent can do that."""
        terms, meta = self._terms, dict(self._bridge.session(self._terms.trusted)) or None
        sessions = mapping_in(self._agent, "agentCapabilities", "sessionCapabilities")
        self._quiet = True
        try:
            if isinstance(sessions.get("resume"), dict):
                resume = ResumeSessionRequest(
                    session_id=terms.session, cwd=terms.folder, mcp_servers=[], field_meta=meta
                )
                session = await self._request("session_resume", resume)
            else:
                load = LoadSessionRequest(session_id=terms.session, cwd=terms.folder, mcp_servers=[], field_meta=meta)
                session = await self._request("session_load", load)
        finally:
            self._quiet = False
        self.id = terms.session
        return session

    async def _choose_model(self, session: Json) -> None:
        model = self._terms.model
        if option := model_option(session):
            choice = SetSessionConfigOptionSelectRequest(session_id=self.id, config_id=option, value=model)
            await self._request("session_set_config_option", choice)
        elif models_of(session):
            await self._ask(SET_MODEL, {"sessionId": self.id, "modelId": model})
        else:
            raise RequestError(-32602, "no choice of models is offered")

    async def _request(self, name: str, params: BaseModel) -> Json:
        return await self._ask(AGENT_METHODS[name], serialize_params(params))

    async def _ask(self, method: str, params: Json) -> Json:
        """An answer of the agent's. Raises: RequestError, where it refuses; Gone."""
        asking = asyncio.ensure_future(self._connection.send_request(method, dict(params)))
        try:
            if not await self._program.answered(asking):
                self._line.end()  # what it said last the library may not have come to yet
            answer = await asking
        except ConnectionError as error:
            raise Gone from error
        finally:
            asking.cancel()
        return answer if isinstance(answer, dict) else {}

    # ── turns ──

    async def turn(self, prompt: str) -> Ending:
        if self._refused is not None or not self.id:
            failure = self._refused or await self._program.ended()
            return Ending(failure=failure)
        self._turning, self._interrupted, self._updates.spoke, self._updates.said = True, False, False, ""
        try:
            return await self._prompt(prompt)
        except RequestError as error:
            return Ending(self._failure_of(error), self._usage(), self._updates.said)
        except Gone:
            return Ending(await self._program.ended(), self._usage(), self._updates.said)
        finally:
            self._turning = False

    async def _prompt(self, text: str) -> Ending:
        """A prompt, and another one with every word that found no room in the one before, or came too late for it."""
        for prompts in itertools.count(1):
            request = PromptRequest(session_id=self.id, prompt=[TextContentBlock(type="text", text=text)])
            result = await self._request("session_prompt", request)
            read, written = tokens_of(result)
            self._count(read, written)
            add_up(self._by_model, rows_of(result))
            failure = self._failure_in(result, (read or 0) + (written or 0))
            why = self._denied if prompts <= EXPLAINED_MAX else []
            text = "\n\n".join(filter(None, (*why, await self._too_late())))
            self._denied.clear()
            if failure is not None or not text or self._interrupted:
                break
        said = self._updates.said
        await self._stage.emit(Activity("usage", data=self._usage().model_dump()))
        await self._stage.emit(Activity("turn", text=said, data=dict(result)))
        return Ending(failure, self._usage(), said)

    async def _too_late(self) -> str:
        """The words that did not reach the turn that has just ended."""
        late = []
        for text, steering in self._steering:
            await self._program.answered(steering)
            taken = steering.done() and steering.exception() is None and steering.result().get("outcome") == "injected"
            late += [] if taken else [text]
        self._steering.clear()
        return "\n\n".join(late)

    async def say(self, text: str) -> bool:
        if not self._turning or mapping_in(self._agent, "_meta", "steering").get("supported") is not True:
            return False
        prompt = [{"type": "text", "text": text}]
        params = {"sessionId": self.id, "prompt": prompt, "_meta": {"steering": {"idleBehavior": "promptRequired"}}}
        self._steering.append((text, asyncio.ensure_future(self._ask(STEER, params))))
        return True

    async def interrupt(self) -> None:
        if self._turning:
            self._interrupted = True
            params = serialize_params(CancelNotification(session_id=self.id))
            self._program.write({"jsonrpc": "2.0", "method": AGENT_METHODS["session_cancel"], "params": params})
            self._withdraw_questions()

    async def close(self) -> Failure | None:
        self._closed = self._closed or asyncio.ensure_future(self._close())
        return await asyncio.shield(self._closed)

    async def _close(self) -> Failure | None:
        self._withdraw_questions()
        code = await self._program.finish()
        await self._connection.close()
        steering = [task for _, task in self._steering]
        for task in steering:
            task.cancel()
        await asyncio.gather(*steering, return_exceptions=True)
        if code == 0 or self._late is not None:
            return self._late
        return Failure(failure_class=FailureClass.CRASHED, message=f"{self._name} exited with {code} after its turn")

    # ── what it says ──

    async def hear(self, line: str, cut: int) -> None:
        message = None if cut else read_object(line)
        if message is None:
            await self._stage.emit(Activity("output", text=line[:SHOWN]))
            if cut and '"session/update"' not in line[:SHOWN]:
                self._line.end()  # an answer that is too long to be read will not come again
        elif is_update(message):
            update = message["params"].get("update")
            for activity in self._updates.read(update if isinstance(update, dict) else {}, line):
                if not self._quiet:
                    await self._stage.emit(activity)
        else:
            self._note_a_second_answer(message)
            if "stopReason" in mapping_in(message, "result") and names_a_key_twice(line):
                self._late = self._failed(FailureClass.CRASHED, "its end names a key twice")
            passed = self._line.pass_on(message)
            await self._stage.emit(Activity("output", text=f"[{message.get('method', 'answer')}]"[:SHOWN], raw=line))
            if passed:
                await asyncio.sleep(0)  # the library comes to it before the next line

    def _note_a_second_answer(self, message: Json) -> None:
        """Of two answers to one request the library takes the first: one that refuses it counts all the same."""
        if not is_answer(message):
            return
        id_, result = message["id"], message.get("result")
        stop = result.get("stopReason", "end_turn") if isinstance(result, dict) else "nothing"
        if id_ in self._answered and stop != "end_turn":
            self._late = self._late or self._failed(FailureClass.CRASHED, f"it answered twice, and then with {stop}")
        if len(self._answered) < REQUESTS_MAX:
            self._answered.add(id_)

    # ── what it asks ──

    async def _answer(self, method: str, params: Any, is_notification: bool) -> Any:
        """Raises: RequestError, for all that is not offered."""
        if is_notification:
            return None
        if method != CLIENT_METHODS["session_request_permission"] or len(self._asking) >= ASKED_MAX:
            raise RequestError.method_not_found(method)
        try:
            request = RequestPermissionRequest.model_validate(params)
        except ValidationError as error:
            raise RequestError.invalid_params() from error
        if not self._terms.ask:
            return _decision(request, allowed=True)
        asking = asyncio.ensure_future(self._stage.ask(_question(request, self._terms.folder)))
        self._asking.add(asking)
        try:
            permission = await asking
            if not permission.allowed and permission.why:
                self._denied.append(f"That was not allowed: {permission.why}")
            return _decision(request, allowed=permission.allowed)
        except asyncio.CancelledError:
            return RequestPermissionResponse(outcome=DeniedOutcome(outcome="cancelled"))
        finally:
            self._asking.discard(asking)

    def _withdraw_questions(self) -> None:
        for asking in self._asking:
            asking.cancel()

    # ── how it ended ──

    def _count(self, read: int | None, written: int | None) -> None:
        """Agents count by the turn; what a conversation used is the sum."""
        self._read += read or 0
        self._written += written or 0
        self._counted = self._counted or read is not None or written is not None

    def _usage(self) -> Usage:
        read, written = (self._read, self._written) if self._counted else (None, None)
        told = Usage.told(read, written, self._updates.cost_usd)
        rows = tuple(self._by_model.values())
        whole = told.tokens == sum(row.input_tokens + row.output_tokens for row in rows)  # else a part has no name
        return told.model_copy(update={"models": rows}) if rows and whole else told

    def _failure_in(self, result: Json, tokens: int) -> Failure | None:
        """What an answered prompt tells against itself. Success must be said, and something have been done for it."""
        stop = str(result.get("stopReason", ""))[:40]
        if told := failure_told(result):
            text, kinds = str(told.get("title", "")), {f"category:{told.get('category')}"}
            return self._failed(classify(Sign(text, None, frozenset(kinds)), self._bridge.failures), text)
        if stop in STOPS:
            return self._failed(STOPS[stop], f"its turn ended as {stop}")
        if stop != "end_turn":
            return self._failed(FailureClass.CRASHED, f"its turn ended as {stop or 'nothing'}")
        if not self._updates.spoke or (self._bridge.counts and not tokens):
            return self._failed(FailureClass.CRASHED, "its turn ended in good order, without an answer of its model")
        return None

    def _failure_of(self, error: RequestError) -> Failure:
        """The failure that a refused request is."""
        data = error.data if isinstance(error.data, dict) else {}
        detail = data.get("message") or data.get("details")
        info = data.get("codexErrorInfo")
        names = {str(data.get("errorKind", "")), info if isinstance(info, str) else "", str(error.code)}
        text = f"{error}: {detail}" if isinstance(detail, str) else str(error)
        status = error.code if 400 <= error.code < 600 else None
        return self._failed(classify(Sign(text, status, frozenset(names)), self._bridge.failures), text)

    def _failed(self, class_: FailureClass, text: str) -> Failure:
        waits = class_ in (FailureClass.QUOTA, FailureClass.RATE_LIMITED)
        back_ms = told_back_ms(text, now_of_the_system()) if waits else None
        return Failure(failure_class=class_, message=f"{self._name}: {text[:500]}", retry_at_ms=back_ms)


def _introduction() -> InitializeRequest:
    return InitializeRequest(
        protocol_version=PROTOCOL_VERSION,
        client_capabilities=ClientCapabilities(field_meta=TELL_US),
        client_info=Implementation(name="codeswarm", title="Codeswarm", version=VERSION),
    )


def _question(request: RequestPermissionRequest, folder: str) -> Question:
    call = request.tool_call
    given = call.raw_input if isinstance(call.raw_input, dict) else {}
    command, cwd, reason = (given.get(key) for key in ("command", "cwd", "description"))
    return Question(
        id=call.tool_call_id,
        command=str(command or call.title or "something"),
        folder=str(cwd or folder),
        reason=str(reason or ""),
        raw=request.model_dump_json(by_alias=True, exclude_none=True),
    )


def _decision(request: RequestPermissionRequest, *, allowed: bool) -> RequestPermissionResponse:
    """The option that says so this once, else the one that says so for good; none: nothing was decided."""
    wanted = ("allow_once", "allow_always") if allowed else ("reject_once", "reject_always")
    found = (option.option_id for kind in wanted for option in request.options if option.kind == kind)
    option_id = next(found, None)
    if option_id is None:
        return RequestPermissionResponse(outcome=DeniedOutcome(outcome="cancelled"))
    return RequestPermissionResponse(outcome=AllowedOutcome(outcome="selected", option_id=option_id))
