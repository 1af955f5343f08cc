"""`claude[:MODEL]`: the Claude Code CLI, driven by stream-json both ways.

Facts (seen with 2.1): the CLI takes user turns as JSON lines on standard input and answers each with a `result` line;
it goes on in an earlier conversation by id, from the same folder and HOME; it retries refused keys for minutes when
left alone, exits 0 when interrupted, and can say `success` with `is_error`. So its retries are turned down, its
exit code is never believed alone, and what it claims is only a claim.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib.util
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from codeswarm.agents.base import Activity, AgentSpec, Ending, Health, Stage, Task
from codeswarm.agents.command import end_with_main
from codeswarm.agents.lines import read_lines, read_object
from codeswarm.domain.results import Failure, FailureClass, Usage
from codeswarm.environment import Login
from codeswarm.errors import AgentUnavailable
from codeswarm.host import is_system, which
from codeswarm.process import KILLED, TimedOut, run_sync

DEFAULT_MODEL = "sonnet"
LAST_SECOND = 2**33
"""In the year 2242."""
INTERRUPT = "codeswarm-interrupt"
INSTALL = "npm install -g @anthropic-ai/claude-code"
MINIMUM = (2, 0, 0)
"""1.0 does not know --setting-sources, and would end every attempt at once."""
VERSION_S = 20.0
_VERSION = re.compile(r"(\d+)\.(\d+)\.(\d+) \(Claude Code\)")

_FIXED_ENVIRONMENT = {
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
    can_resume = True
    can_inject = True

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

    async def run(self, task: Task, stage: Stage) -> Ending:
        executable = self._executable()
        visible = () if is_system(executable) else (executable,)
        environment = {**_FIXED_ENVIRONMENT, **self._login.claude, **task.environment()}
        running = await stage.start([str(executable), *self._flags(task)], environment, visible)
        talk = _Talk(stage, running.process)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(talk.listen())
            tasks.create_task(talk.listen_to_errors())
            speaking = tasks.create_task(talk.speak(task.prompt))
            await end_with_main(running)
            speaking.cancel()
        return talk.ending(await running.process.wait())

    def _executable(self) -> Path:
        program = find_claude(self._login.path)
        if program is None:
            raise AgentUnavailable("claude is not installed", "no program of that name is on the PATH", INSTALL)
        return Path(program).resolve()

    def _flags(self, task: Task) -> list[str]:
        model = self.spec.argument or DEFAULT_MODEL
        flags = ["-p", "--input-format", "stream-json", "--output-format", "stream-json", "--verbose"]
        flags += ["--model", model, "--permission-mode", "bypassPermissions", "--setting-sources", ""]
        flags += ["--strict-mcp-config"]
        return [*flags, "--resume" if task.resume else "--session-id", task.conversation]


@dataclass(slots=True)
class _Talk:
    """One conversation with a running CLI."""

    stage: Stage
    process: asyncio.subprocess.Process
    result: Mapping[str, Any] | None = None
    answered: asyncio.Event = field(default_factory=asyncio.Event)
    errors: str = ""
    said: str = ""
    rate_limit: Mapping[str, Any] = field(default_factory=dict)

    async def speak(self, prompt: str) -> None:
        """The prompt, then a person's words as they come; at the end of the turn the input is closed."""
        await self._write({"type": "user", "message": {"role": "user", "content": prompt}})
        stop = asyncio.create_task(self.stage.stop.wait())
        answered = asyncio.create_task(self.answered.wait())
        word = None
        try:
            while not self.answered.is_set():
                word = word or asyncio.create_task(self.stage.messages.get())
                await asyncio.wait({stop, answered, word}, return_when=asyncio.FIRST_COMPLETED)
                if word.done():
                    await self._write({"type": "user", "message": {"role": "user", "content": word.result()}})
                    word = None
                if stop.done():
                    break
            if stop.done():
                await self._interrupt()
                await answered
        finally:
            for waiting in (stop, answered, word):
                if waiting is not None:
                    waiting.cancel()
            self._close()

    async def _interrupt(self) -> None:
        request = {"type": "control_request", "request_id": INTERRUPT, "request": {"subtype": "interrupt"}}
        await self._write(request)

    async def _write(self, line: Mapping[str, Any]) -> None:
        assert self.process.stdin is not None
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            self.process.stdin.write(json.dumps(line).encode() + b"\n")
            await self.process.stdin.drain()

    def _close(self) -> None:
        assert self.process.stdin is not None
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            self.process.stdin.close()

    async def listen(self) -> None:
        assert self.process.stdout is not None
        async for line, cut in read_lines(self.process.stdout):
            message = None if cut else read_object(line)
            if message is None:
                await self.stage.emit(Activity("output", text=line[:2000]))
                continue
            if message.get("type") == "rate_limit_event" and isinstance(message.get("rate_limit_info"), dict):
                self.rate_limit = message["rate_limit_info"]
            if message.get("type") == "result":
                self.result = message
            for activity in activities(message, line):
                self.said = activity.text if activity.type == "assistant" else self.said
                await self.stage.emit(activity)
            if self.result is not None:
                self.answered.set()
        self.answered.set()

    async def listen_to_errors(self) -> None:
        assert self.process.stderr is not None
        async for line, _ in read_lines(self.process.stderr):
            self.errors = f"{self.errors}\n{line}"[-2000:]
            await self.stage.emit(Activity("output", text=line[:2000]))

    def ending(self, code: int) -> Ending:
        result = self.result
        if result is None:
            how = f"was ended by signal {-code}" if code < 0 else f"exited with {code}"
            detail = f"claude {how} before the end of its turn: {self.errors.strip()[-300:]}".rstrip(": ")
            class_ = FailureClass.LOST if code in KILLED else FailureClass.CRASHED
            return Ending.failed(class_, detail, summary=self.said)
        usage = usage_of(result)
        failure = failure_of(result, self.rate_limit)
        if failure is None and code != 0:
            failure = Failure(failure_class=FailureClass.CRASHED, message=f"claude exited with {code} after its turn")
        return Ending(failure=failure, usage=usage, summary=str(result.get("result") or self.said))


def activities(message: Mapping[str, Any], raw: str) -> list[Activity]:
    """What one line of stream-json says, in our words. The raw line stands beside the first."""
    kind = message.get("type")
    found: list[Activity] = []
    if kind == "assistant":
        found = [activity for block in _blocks(message) if (activity := _assistant_block(block)) is not None]
    elif kind == "user":
        found = [
            Activity("command_completed", text=_plain(block.get("content"))[:4000])
            for block in _blocks(message)
            if block.get("type") == "tool_result"
        ]
    elif kind == "rate_limit_event":
        found = [Activity("rate_limit", data=dict(message))]
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
        return Activity("command_started", text=str(arguments.get("command") or name), data={"tool": name})
    return None


def _plain(content: object) -> str:
    if isinstance(content, str):
        return content
    if isinstance(content, list):
        return "\n".join(str(part.get("text", "")) for part in content if isinstance(part, dict))
    return ""


def usage_of(result: Mapping[str, Any]) -> Usage:
    """Cumulative figures of a `result` line: tokens over all models, cost as the CLI prices it; else unknown."""
    models = result.get("modelUsage")
    rows = [row for row in models.values() if isinstance(row, dict)] if isinstance(models, dict) else []
    read = ("inputTokens", "cacheReadInputTokens", "cacheCreationInputTokens")
    return Usage.told(
        sum(_count(row.get(key)) for row in rows for key in read) if rows else None,
        sum(_count(row.get("outputTokens")) for row in rows) if rows else None,
        result.get("total_cost_usd"),
    )


def _count(value: object) -> int:
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else 0


_BY_STATUS = {
    401: FailureClass.AUTH,
    403: FailureClass.AUTH,
    404: FailureClass.UNKNOWN_MODEL,
    429: FailureClass.RATE_LIMITED,
    500: FailureClass.OVERLOADED,
    502: FailureClass.OVERLOADED,
    503: FailureClass.OVERLOADED,
    504: FailureClass.OVERLOADED,
    529: FailureClass.OVERLOADED,
}
_BY_WORDS = (
    ("usage limit", FailureClass.QUOTA),
    ("credit balance", FailureClass.QUOTA),
    ("quota", FailureClass.QUOTA),
    ("prompt is too long", FailureClass.CONTEXT_OVERFLOW),
    ("invalid api key", FailureClass.AUTH),
    ("please run /login", FailureClass.AUTH),
    ("overloaded", FailureClass.OVERLOADED),
)


def failure_of(result: Mapping[str, Any], rate_limit: Mapping[str, Any]) -> Failure | None:
    """The failure that a `result` line tells of, or None. Words decide before statuses: 429 may be either kind.

    Success must be said in full: a line of which a part is missing is none.
    """
    if result.get("is_error") is False and result.get("subtype") == "success":
        return None
    text = str(result.get("result") or _plain_list(result.get("errors")) or result.get("subtype") or "")
    status = result.get("api_error_status")
    lowered = f"{text} {result.get('api_error_type', '')}".lower()
    class_ = next((found for word, found in _BY_WORDS if word in lowered), None)
    if class_ is None and rate_limit.get("status") == "rejected":
        class_ = FailureClass.QUOTA
    if class_ is None and isinstance(status, int):
        class_ = _BY_STATUS.get(status)
    if str(result.get("terminal_reason", "")).startswith(("aborted", "interrupt")):
        class_ = FailureClass.CANCELLED
    return Failure(
        failure_class=class_ or FailureClass.CRASHED,
        message=f"claude: {text[:500]}" + (f" (HTTP {status})" if status else ""),
        retry_at_ms=_moment_ms(rate_limit.get("resetsAt")) if class_ is FailureClass.QUOTA else None,
    )


def _plain_list(errors: object) -> str:
    return "; ".join(str(error) for error in errors) if isinstance(errors, list) else ""


def _moment_ms(seconds: object) -> int | None:
    """Unix seconds as the CLI tells them; what can't be a moment is no promise."""
    if isinstance(seconds, bool) or not isinstance(seconds, int | float) or not 0 < seconds < LAST_SECOND:
        return None
    return int(seconds * 1000)
