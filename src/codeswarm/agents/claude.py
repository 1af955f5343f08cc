"""`claude[:MODEL]`: the Claude Code CLI, driven by stream-json both ways.

Facts (seen with 2.1): the CLI takes user turns as JSON lines on standard input and answers each with a `result` line;
it goes on in an earlier conversation by id, from the same folder and HOME; it retries refused keys for minutes when
left alone, exits 0 when interrupted, and can say `success` with `is_error`. So its retries are turned down, its
exit code is never believed alone, and what it claims is only a claim.
"""

from __future__ import annotations

import asyncio
import importlib.util
import re
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from codeswarm.agents.base import Activity, AgentSpec, ByHand, Capabilities, Ending, Health, Stage, Task
from codeswarm.agents.claude_asking import FLAGS, ClaudeAsking
from codeswarm.agents.claude_by_hand import ready_for_a_person
from codeswarm.agents.claude_usage import Figures, usage_of
from codeswarm.agents.failures import BY_STATUS, Row, Sign, Table, classify
from codeswarm.agents.lines import moment_ms, read_object
from codeswarm.agents.program import SHOWN, Program
from codeswarm.domain.results import Failure, FailureClass, Usage
from codeswarm.egress.base import Endpoint
from codeswarm.environment import CLAUDE_ENDPOINT, Login
from codeswarm.errors import AgentUnavailable
from codeswarm.host import is_system, which
from codeswarm.process import TimedOut, run_sync

DEFAULT_MODEL = "sonnet"
ENDPOINT = "https://api.anthropic.com"
HOSTS = ("api.anthropic.com", "console.anthropic.com", "platform.claude.com", "claude.ai")
"""What the CLI asks by itself with a token of an account."""
UNKNOWN = Usage()
BYPASS = ("--permission-mode", "bypassPermissions")
NAME, RESUME = "--session-id", "--resume"
FORGOTTEN = "No conversation found"
"""It was killed before it wrote down what was said to it."""
INTERRUPT = "codeswarm-interrupt"
INSTALL = "npm install -g @anthropic-ai/claude-code"
MINIMUM = (2, 0, 0)
"""1.0 does not know --setting-sources, and would end every attempt at once."""
VERSION_S = 20.0
_VERSION = re.compile(r"(\d+)\.(\d+)\.(\d+) \(Claude Code\)")

FIXED_ENVIRONMENT = {
    "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
    "DISABLE_AUTOUPDATER": "1",
    "CLAUDE_CODE_MAX_RETRIES": "2",
    "IS_SANDBOX": "1",
}


def find_claude(path_variable: str) -> str | None:
    """The CLI on the PATH, or the one that the `claude-agent-sdk` package bundles."""
    if found := which("claude", path_variable):
        return found
    spec = importlib.util.find_spec("claude_agent_sdk")
    if spec is None or spec.origin is None:
        return None
    bundled = Path(spec.origin).parent / "_bundled" / "claude"
    return str(bundled) if bundled.exists() else None


def version_of(executable: str, path_variable: str) -> tuple[int, ...] | None:
    """What a CLI says of itself; None where it says nothing that we understand."""
    env = {"PATH": path_variable, "HOME": "/nonexistent", "TERM": "dumb"}
    try:
        said = run_sync([executable, "--version"], cwd=Path("/"), env=env, timeout_s=VERSION_S).stdout
    except (OSError, TimedOut):
        return None
    found = _VERSION.match(said.decode(errors="replace"))
    return tuple(map(int, found.groups())) if found else None


class ClaudeAgent:
    can = Capabilities(
        resume=True,
        turns=True,
        inject=True,
        ask=True,
        cost=True,
        context_tokens=200_000,
        models=("opus", "sonnet", "haiku"),
    )

    def __init__(self, spec: AgentSpec, login: Login) -> None:
        self.spec = spec
        self._login = login

    def check(self) -> Health:
        found = find_claude(self._login.path)
        if found is None:
            return Health(works=False, what="claude is not installed", fix=INSTALL)
        if not self._login.claude:
            return Health(
                works=False,
                what=f"claude ({found}) has no login that agents may use",
                fix="claude setup-token   # then: export CLAUDE_CODE_OAUTH_TOKEN=…, or export ANTHROPIC_API_KEY=…",
            )
        version = version_of(found, self._login.path)
        if version is not None and version < MINIMUM:
            wanted, there = (".".join(map(str, numbers)) for numbers in (MINIMUM, version))
            what = f"claude {there} ({found}) is too old: it is spoken to as {wanted} and later understand it"
            return Health(works=False, what=what, fix=f"{INSTALL}@latest")
        return Health(works=True, what=f"claude ({found}), login from {', '.join(sorted(self._login.claude))}")

    async def open(self, task: Task, stage: Stage) -> ClaudeConversation:
        executable = self._executable()
        visible = () if is_system(executable) else (executable,)
        environment = {**FIXED_ENVIRONMENT, **credentials(self._login.claude, stage), **task.environment()}
        conversation = ClaudeConversation(task.conversation, stage, task.used, str(task.inside.workspace))

        async def start(flag: str) -> None:
            await conversation.start(
                [str(executable), *self._flags(task), flag, task.conversation], environment, visible
            )

        await start(RESUME if task.resume else NAME)
        if task.resume:
            conversation.anew = lambda: start(NAME)
        return conversation

    def by_hand(self, task: Task, stage: Stage) -> ByHand:
        executable = self._executable()
        given = credentials(self._login.claude, stage)
        argv = [str(executable), RESUME, task.conversation, "--model", self.spec.argument or DEFAULT_MODEL]
        argv += ["--setting-sources", "project"] if task.trusted else ["--setting-sources", "", "--strict-mcp-config"]
        argv += ["--permission-mode", "default"]  # the person is there to be asked
        ready = ready_for_a_person(str(task.inside.workspace), given.get("ANTHROPIC_API_KEY", ""))
        environment = {**FIXED_ENVIRONMENT, **given, **task.environment()}
        return ByHand((*ready, *argv), environment, () if is_system(executable) else (executable,))

    def _executable(self) -> Path:
        program = find_claude(self._login.path)
        if program is None:
            raise AgentUnavailable("claude is not installed", "no program of that name is on the PATH", INSTALL)
        return Path(program).resolve()

    def _flags(self, task: Task) -> list[str]:
        model = self.spec.argument or DEFAULT_MODEL
        flags = ["-p", "--input-format", "stream-json", "--output-format", "stream-json", "--verbose"]
        flags += ["--model", model, *(FLAGS if task.ask else BYPASS)]
        flags += ["--setting-sources", "project"] if task.trusted else ["--setting-sources", "", "--strict-mcp-config"]
        return flags


def credentials(given: Mapping[str, str], stage: Stage) -> dict[str, str]:
    """What it logs in with. A key is put into its requests outside; a token of an account it wants itself."""
    login = dict(given)
    upstream = login.get(CLAUDE_ENDPOINT, ENDPOINT)
    if token := login.get("ANTHROPIC_AUTH_TOKEN"):  # the CLI's own order
        reached = stage.reach(Endpoint(upstream, "authorization", token, "Bearer"))
        return {"ANTHROPIC_AUTH_TOKEN": reached.secret, CLAUDE_ENDPOINT: reached.url}
    if key := login.get("ANTHROPIC_API_KEY"):
        reached = stage.reach(Endpoint(upstream, "x-api-key", key))
        return {"ANTHROPIC_API_KEY": reached.secret, CLAUDE_ENDPOINT: reached.url}
    stage.allow(*HOSTS)
    if CLAUDE_ENDPOINT in login:
        login[CLAUDE_ENDPOINT] = stage.reach(Endpoint(upstream)).url
    return login


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
        ending = await self._turn(prompt)
        anew, self.anew = self.anew, None
        if anew is None or ending.failure is None or FORGOTTEN not in ending.failure.message:
            return ending
        await self.program.finish()
        self._figures = Figures(UNKNOWN)
        await anew()
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
            self._late = result
        else:
            self._answer.set_result(result)

    def ending(self, result: Mapping[str, Any]) -> Ending:
        failure = failure_of(result, self._rate_limit)
        return Ending(failure=failure, usage=usage_of(result), summary=str(result.get("result") or self._said))


BUSY = frozenset({429, 529})
"""Statuses of a provider that wants to be left alone for a while."""


def _user(text: str) -> dict[str, Any]:
    return {"type": "user", "message": {"role": "user", "content": text}}


def activities(message: Mapping[str, Any], raw: str) -> list[Activity]:
    """What one line of stream-json says, in our words. The raw line stands beside the first."""
    kind = message.get("type")
    found: list[Activity] = []
    if kind == "assistant":
        found = [activity for block in _blocks(message) if (activity := _assistant_block(block)) is not None]
    elif kind == "user":
        found = [
            Activity("command_completed", text=_plain(block.get("content"))[:4000], data=_id(block, "tool_use_id"))
            for block in _blocks(message)
            if block.get("type") == "tool_result"
        ]
    elif kind == "rate_limit_event":
        found = [Activity("rate_limit", data=dict(message))]
    elif kind == "system" and message.get("subtype") == "api_retry" and message.get("error_status") in BUSY:
        found = [Activity("rate_limit", text=str(message.get("error", "")), data=dict(message))]
    elif kind == "result":
        usage = usage_of(message)
        found = [Activity("usage", data=usage.model_dump()), Activity("turn", text=str(message.get("result") or ""))]
    found = found or [Activity("output", text=f"[{kind} {message.get('subtype', '')}]".replace(" ]", "]"))]
    return [Activity(a.type, a.text, a.data, raw if place == 0 else "") for place, a in enumerate(found)]


def _blocks(message: Mapping[str, Any]) -> list[dict[str, Any]]:
    inner = message.get("message")
    content = inner.get("content") if isinstance(inner, dict) else None
    if isinstance(content, str):
        return [{"type": "text", "text": content}]
    return [block for block in content if isinstance(block, dict)] if isinstance(content, list) else []


def _assistant_block(block: Mapping[str, Any]) -> Activity | None:
    if block.get("type") == "text":
        return Activity("assistant", text=str(block.get("text", "")))
    if block.get("type") == "thinking":
        return Activity("reasoning", text=str(block.get("thinking", "")))
    if block.get("type") == "tool_use":
        arguments = block.get("input") if isinstance(block.get("input"), dict) else {}
        assert arguments is not None
        name = str(block.get("name", ""))
        if name in ("Write", "Edit", "NotebookEdit"):
            return Activity("file_change", text=str(arguments.get("file_path", "")), data={"tool": name})
        data = {"tool": name, **_id(block, "id")}
        return Activity("command_started", text=str(arguments.get("command") or name), data=data)
    return None


def _id(block: Mapping[str, Any], key: str) -> dict[str, str]:
    """By which the end of a command is known for that of its beginning."""
    return {"id": str(block[key])} if block.get(key) else {}


def _plain(content: object) -> str:
    if isinstance(content, str):
        return content
    if isinstance(content, list):
        return "\n".join(str(part.get("text", "")) for part in content if isinstance(part, dict))
    return ""


REJECTED = "rate_limit_rejected"
"""Our name for a notice that the account's window is spent."""
FAILURES: Table = (
    Row(FailureClass.CANCELLED, kinds=("aborted_streaming", "aborted_tools", "interrupted")),
    Row(FailureClass.QUOTA, words=("usage limit", "credit balance", "quota"), kinds=(REJECTED,)),
    Row(FailureClass.CONTEXT_OVERFLOW, words=("prompt is too long",), kinds=("prompt_too_long",)),
    Row(FailureClass.AUTH, words=("invalid api key", "please run /login")),
    Row(FailureClass.OVERLOADED, words=("overloaded",)),
    *BY_STATUS,
)


def failure_of(result: Mapping[str, Any], rate_limit: Mapping[str, Any]) -> Failure | None:
    """The failure that a `result` line tells of, or None. Words decide before statuses: 429 may be either kind.

    Success must be said in full: a line of which a part is missing is none.
    """
    if result.get("is_error") is False and result.get("subtype") == "success":
        return None
    text = str(result.get("result") or _plain_list(result.get("errors")) or result.get("subtype") or "")
    status = result.get("api_error_status")
    names = {str(result.get(key, "")) for key in ("api_error_type", "terminal_reason", "subtype")}
    rejected = {REJECTED} if rate_limit.get("status") == "rejected" else set()
    said = f"{text} {result.get('api_error_type', '')}"
    sign = Sign(said, status if isinstance(status, int) else None, frozenset(names | rejected))
    class_ = classify(sign, FAILURES)
    return Failure(
        failure_class=class_,
        message=f"claude: {text[:500]}" + (f" (HTTP {status})" if status else ""),
        retry_at_ms=moment_ms(rate_limit.get("resetsAt")) if class_ is FailureClass.QUOTA else None,
    )


def _plain_list(errors: object) -> str:
    return "; ".join(str(error) for error in errors) if isinstance(errors, list) else ""
