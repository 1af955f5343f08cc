"""Every adapter as something that is told a transcript: what was really said to it, well and badly ended."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from codeswarm.agents.acp.bridges import CLAUDE, CODEX, GEMINI, Bridge
from codeswarm.agents.acp.talk import AcpConversation, Terms as AcpTerms
from codeswarm.agents.api.agent import ApiConversation
from codeswarm.agents.base import AgentSpec, Conversation, Ending, Task
from codeswarm.agents.claude.conversation import ClaudeConversation
from codeswarm.agents.codex.thread import CodexThread, Terms as CodexTerms
from codeswarm.agents.command import CommandAgent, CommandConversation
from codeswarm.agents.replay import player
from codeswarm.agents.replay.agent import ReplayConversation
from codeswarm.domain.results import Usage
from codeswarm.sandbox.base import Inside
from tests.mutations.program import Heard

Open = Callable[[Heard], Awaitable[Conversation]]
FOLDER = Path("/codeswarm")
TRANSCRIPTS = Path(__file__).parents[1] / "unit" / "agents" / "transcripts"
INSIDE = Inside(FOLDER / "workspace", FOLDER / "home", FOLDER / "run", FOLDER / "tmp")
TASK = Task("s1", "t1", "implementation", "implementer", 1, 1, "", INSIDE, FOLDER / "b", FOLDER / "r", "c-1")


@dataclasses.dataclass(frozen=True)
class Adapter:
    """`begins`: lines of a transcript that are said before the turn; none of them tells of its end."""

    name: str
    success: bytes
    failures: Mapping[str, bytes]
    open: Open
    ended_well: Callable[[Mapping[str, Any]], bool]
    """Whether a message tells of a turn that came to a good end."""
    begins: int = 0
    by_code: bool = False
    """It is told by the exit code alone how it ended."""
    told: Callable[[bytes, int], tuple[bytes, int]] = lambda transcript, code: (transcript, code)
    """What a program says, and its exit code, where the transcript is what it plays."""

    async def play(self, transcript: bytes, code: int) -> Ending:
        """The ending of a program that says this, whatever it is told, and exits with a code."""
        said, code = self.told(transcript, code)
        talk = await self.open(Heard(_parts(said) if self.begins else [said], code))
        ending = await talk.turn("Do ticket 7.")
        failure = await talk.close()
        return ending if ending.failure else dataclasses.replace(ending, failure=failure)

    def may_succeed(self, transcript: bytes, code: int) -> bool:
        """Whether it is said in full, in a line of its own, that all went well."""
        said, code = self.told(transcript, code)
        return code == 0 and (self.by_code or any(map(self.ended_well, _objects(said))))


def _objects(transcript: bytes) -> list[dict[str, Any]]:
    found = []
    for line in transcript.split(b"\n"):
        with contextlib.suppress(ValueError, RecursionError):
            message = json.loads(line.decode(errors="replace"))
            found += [message] if isinstance(message, dict) else []
    return found


def _parts(transcript: bytes) -> list[bytes]:
    """What is said before each further request: up to an answer."""
    parts = [b""]
    for line in transcript.splitlines(keepends=True):
        parts[-1] += line
        if b'"id"' in line[:40] and b'"method"' not in line:
            parts.append(b"")
    return parts


def _of(message: Any, *keys: str) -> Any:
    for key in keys:
        message = message.get(key) if isinstance(message, dict) else None
    return message


def _lines(*messages: Mapping[str, Any]) -> bytes:
    return b"".join(json.dumps(message).encode() + b"\n" for message in messages)


def _files(folder: str) -> dict[str, bytes]:
    return {path.stem: path.read_bytes() for path in sorted((TRANSCRIPTS / folder).glob("*.jsonl"))}


# ── Claude Code ──


async def _claude(stage: Heard) -> Conversation:
    talk = ClaudeConversation("c-1", stage)
    await talk.start(["claude"], {}, ())
    return talk


def _claude_ended_well(message: Mapping[str, Any]) -> bool:
    return (message.get("type"), message.get("subtype"), message.get("is_error")) == ("result", "success", False)


# ── Codex ──


async def _codex(stage: Heard) -> Conversation:
    talk = CodexThread(stage, CodexTerms("", "/codeswarm/workspace", None, "never"))
    await talk.open(["codex"], {}, ())
    return talk


def _codex_files() -> dict[str, bytes]:
    """All as if they were of one thread and turn: so they can't be told from each other by that."""
    found = {}
    for name, transcript in _files("codex").items():
        answers = {message.get("id"): message for message in _objects(transcript) if "method" not in message}
        ids = _of(answers[2], "result", "thread", "id"), _of(answers.get(3), "result", "turn", "id")
        named = zip(ids, (b"thread-1", b"turn-1"), strict=True)
        found[name] = functools.reduce(
            lambda said, pair: said.replace(str(pair[0]).encode(), pair[1]), named, transcript
        )
    return found


# ── ACP ──

ACP_TERMS = AcpTerms("/codeswarm/workspace", "", "", Usage(), trusted=False, ask=True)


def _acp(bridge: Bridge) -> Open:
    async def open_(stage: Heard) -> Conversation:
        talk = AcpConversation("agent", bridge, stage, ACP_TERMS)
        await talk.open(["agent"], {}, ())
        return talk

    return open_


def _update(kind_: str, /, **rest: Any) -> dict[str, Any]:
    params = {"sessionId": "s-1", "update": {"sessionUpdate": kind_, **rest}}
    return {"jsonrpc": "2.0", "method": "session/update", "params": params}


def _bridged(answer: Mapping[str, Any], name: str) -> bytes:
    """A turn of a bridge, with the answer that its end is."""
    text, call = {"type": "text", "text": "I look."}, {"toolCallId": "c1", "title": "ls", "kind": "execute"}
    return _lines(
        {"jsonrpc": "2.0", "id": 0, "result": {"protocolVersion": 1, "agentInfo": {"name": name, "version": "1"}}},
        {"jsonrpc": "2.0", "id": 1, "result": {"sessionId": "s-1"}},
        _update("agent_thought_chunk", content=text),
        _update("agent_message_chunk", content=text),
        _update("tool_call", status="pending", rawInput={"command": "ls -l"}, **call),
        _update("tool_call_update", toolCallId="c1", status="completed", rawOutput="a.txt"),
        _update("usage_update", cost={"amount": 0.1, "currency": "USD"}),
        {"jsonrpc": "2.0", "id": 2, **answer},
    )


REFUSALS: dict[str, dict[str, Any]] = {
    "quota": {"error": {"code": -32603, "message": "Internal error", "data": {"codexErrorInfo": "usageLimitExceeded"}}},
    "login": {"error": {"code": -32603, "message": "Internal error", "data": {"errorKind": "authentication_failed"}}},
    "refused": {"result": {"stopReason": "refusal"}},
    "cancelled": {"result": {"stopReason": "cancelled"}},
    "too long": {"result": {"stopReason": "max_tokens", "usage": {"totalTokens": 30, "outputTokens": 10}}},
    "crashed": {"error": {"code": -32603, "message": "Internal error"}},
}
GOOD = {"result": {"stopReason": "end_turn", "usage": {"totalTokens": 30, "inputTokens": 20, "outputTokens": 10}}}


def _acp_ended_well(message: Mapping[str, Any]) -> bool:
    return _of(message, "result", "stopReason") == "end_turn"


def _bridge(name: str, bridge: Bridge) -> Adapter:
    failures = {fault: _bridged(answer, bridge.agent) for fault, answer in REFUSALS.items()}
    return Adapter(name, _bridged(GOOD, bridge.agent), failures, _acp(bridge), _acp_ended_well, begins=2)


def _gemini_files() -> dict[str, bytes]:
    found = _files("gemini")
    del found["error_in_stream"]  # which ends in good order: that it failed is told by a number alone
    return {name: transcript.replace(_session(transcript), b"s-1") for name, transcript in found.items()}


def _session(transcript: bytes) -> bytes:
    return next(str(id_).encode() for one in _objects(transcript) if (id_ := _of(one, "result", "sessionId")))


# ── api ──


async def _api(stage: Heard) -> Conversation:
    talk = ApiConversation("c-1", stage)
    await talk.start({})
    return talk


_WORKED: tuple[dict[str, Any], ...] = (
    {"type": "reasoning", "text": "hm"},
    {"type": "assistant", "text": "I look."},
    {"type": "command_started", "text": "ls", "tool": "shell"},
    {"type": "command_completed", "text": "a.txt", "tool": "shell"},
    {"type": "usage", "input_tokens": 20, "output_tokens": 10},
    {"type": "assistant", "text": "Done."},
)
API_DONE = _lines(*_WORKED, {"type": "ended", "outcome": "done", "heard": 0, "usage": {}, "said": "Done."})
API_FAILED = {
    name: _lines(*_WORKED, {"type": "ended", "heard": 0, "usage": {"input_tokens": 20}, "said": "Done.", **end})
    for name, end in {
        "quota": {"outcome": "failed", "status": 429, "kind": "insufficient_quota", "message": "no more"},
        "burst": {"outcome": "failed", "status": 429, "kind": "rate_limit_exceeded", "message": "slow down"},
        "refused": {"outcome": "refused", "message": "I won't."},
        "interrupted": {"outcome": "interrupted", "message": "stopped"},
        "nothing": {"outcome": None},
    }.items()
}


# ── command and replay ──


async def _command(stage: Heard) -> Conversation:
    return CommandConversation(CommandAgent(AgentSpec("command", "true"), Path("/"), Path("/")), TASK, stage)


COMMAND_SAID = _lines(*_WORKED, {"type": "turn", "text": "Done."}, {"usage": {"cost_usd": 1}, "type": "usage"})
FAILED_CODES = (1, 75, 137, -9, -15, 255)


async def _replay(stage: Heard) -> Conversation:
    return ReplayConversation(Path(player.__file__), TASK, stage)


def _played(recording: bytes, code: int) -> tuple[bytes, int]:
    """What the player says of a recording, and how it ends; files are not written."""
    said: list[bytes] = []
    clock = SimpleNamespace(monotonic=lambda: 0.0, sleep=lambda delay: None)

    def act(step: dict[str, Any]) -> None:
        if step["type"] not in ("write", "delete", "result", "hang"):
            said.append(_lines({key: value for key, value in step.items() if key != "t"}))

    try:
        ended = player.play(recording.decode().splitlines(), act, clock)
    except Exception as error:  # noqa: BLE001 - as the program ends of it: with its words, and 1
        return b"".join([*said, f"{type(error).__name__}: {error}\n".encode(errors="replace")]), 1
    return b"".join(said), ended or code


_STEPS = [{"t": number / 10, **step} for number, step in enumerate(_WORKED)]
_FILE = {"t": 2.0, "type": "write", "path": "a.txt", "text": "a", "mode": "100644"}
_WAIT = {"t": 2.1, "type": "await", "event": "TicketLanded", "match": {"ticket": "t2"}}


def _recording(**end: Any) -> bytes:
    return _lines(*_STEPS, _FILE, _WAIT, *_STEPS, {"t": 3.0, "type": "end", **end})


def all_adapters() -> dict[str, Adapter]:
    """By name."""
    claude, codex, gemini = _files(""), _codex_files(), _gemini_files()
    refused = {f"exit {code}": _recording(exit=code) for code in (75, 112, 137)}
    found = (
        Adapter("claude", claude.pop("success"), claude, _claude, _claude_ended_well),
        Adapter(
            "codex",
            codex.pop("success"),
            codex,
            _codex,
            lambda message: _of(message, "params", "turn", "status") == "completed",
            begins=4,
        ),
        Adapter("gemini", gemini.pop("success"), gemini, _acp(GEMINI), _acp_ended_well, begins=4),
        _bridge("acp, claude", CLAUDE),
        _bridge("acp, codex", CODEX),
        Adapter("api", API_DONE, API_FAILED, _api, lambda message: message.get("outcome") == "done"),
        Adapter("command", COMMAND_SAID, {"exit": COMMAND_SAID}, _command, lambda message: True, by_code=True),
        Adapter(
            "replay",
            _recording(exit=0),
            {**refused, "signal": _recording(signal=9)},
            _replay,
            lambda message: True,
            by_code=True,
            told=_played,
        ),
    )
    return {adapter.name: adapter for adapter in found}


def codes_of(adapter: Adapter, *, fails: bool) -> Sequence[int]:
    """Exit codes that go with such a transcript."""
    if adapter.name == "command":
        return FAILED_CODES if fails else (0,)
    return (0, 0, 0, 1, -9) if fails else (0, 0, 0, 0, 1, 137, -9)
