"""An ACP agent may say anything: nothing of it crashes the adapter, and no broken end becomes a success."""

from __future__ import annotations

import asyncio
import json
import random
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from codeswarm.agents.acp.agent import AcpAgent
from codeswarm.agents.acp.bridges import ANY, CLAUDE, CODEX, GEMINI, bridge_in
from codeswarm.agents.acp.talk import EXPLAINED_MAX, AcpConversation, Terms
from codeswarm.agents.acp.words import Updates, failure_told, model_option, models_of, tokens_of
from codeswarm.agents.base import AgentSpec, Ending, Permission
from codeswarm.agents.lines import MAX_LINE
from codeswarm.agents.moments import now_of_the_system, told_moment_ms
from codeswarm.domain.results import FailureClass, Usage
from codeswarm.environment import Login
from codeswarm.testing.stage import OpenStage, QuietStage

SESSION = "s-1"


def update(kind_: str, /, **rest: Any) -> bytes:
    params = {"sessionId": SESSION, "update": {"sessionUpdate": kind_, **rest}}
    return json.dumps({"jsonrpc": "2.0", "method": "session/update", "params": params}).encode() + b"\n"


def answer(number: int, **rest: Any) -> bytes:
    return json.dumps({"jsonrpc": "2.0", "id": number, **rest}).encode() + b"\n"


DONE = {"stopReason": "end_turn", "usage": {"totalTokens": 30, "inputTokens": 20, "outputTokens": 10}}
BEGUN = [answer(0, result={"protocolVersion": 1}), answer(1, result={"sessionId": SESSION})]
CALL = {"toolCallId": "c1", "title": "ls", "kind": "execute", "rawInput": {"command": "ls -l"}}
TURN = [
    update("agent_thought_chunk", content={"type": "text", "text": "hm"}),
    update("agent_message_chunk", content={"type": "text", "text": "I look."}),
    update("tool_call", status="pending", **CALL),
    update("tool_call_update", toolCallId="c1", status="completed", rawOutput="a.txt"),
    update("agent_message_chunk", content={"type": "text", "text": "Do"}),
    update("agent_message_chunk", content={"type": "text", "text": "ne."}),
    answer(2, result=DONE),
]
PROGRAM = """
import sys
data = open(sys.argv[1], "rb").read().split(b"\\0AFTER ANOTHER LINE\\0")
for part in data:
    sys.stdout.buffer.write(part); sys.stdout.buffer.flush()
    if part is not data[-1] and not sys.stdin.readline(): break
"""
NEXT = b"\0AFTER ANOTHER LINE\0"


async def played(folder: Path, lines: list[bytes], stage: OpenStage | None = None) -> tuple[Ending, OpenStage]:
    """A turn of an agent that says just this, whatever it is told, and ends."""
    (folder / "agent.py").write_text(PROGRAM)
    (folder / "said").write_bytes(NEXT + NEXT.join([*BEGUN, b"".join(lines)]))
    stage = stage or OpenStage(folder)
    command = f"{sys.executable} {folder / 'agent.py'} {folder / 'said'}"
    agent = AcpAgent(AgentSpec("acp", command), folder, folder, Login("/usr/bin:/bin", {}))
    talk = await agent.open(stage.task(ask=True), stage)
    ending = await asyncio.wait_for(talk.turn("Do it."), 60)
    failure = await talk.close()
    await stage.end_all()
    return (ending if ending.failure else Ending(failure, ending.usage, ending.summary)), stage


async def test_a_turn_is_told_in_our_words(tmp_path: Path) -> None:
    ending, stage = await played(tmp_path, TURN)
    assert (ending.failure, ending.summary) == (None, "Done.")
    assert (ending.usage.input_tokens, ending.usage.output_tokens) == (20, 10)
    said = [(activity.type, activity.text) for activity in stage.said if activity.type not in ("output", "usage")]
    assert said == [
        ("reasoning", "hm"),
        ("assistant", "I look."),
        ("command_started", "ls -l"),
        ("command_completed", "a.txt"),
        ("assistant", "Do"),
        ("assistant", "ne."),
        ("turn", "Done."),
    ]
    assert all(activity.raw for activity in stage.said if activity.type == "assistant")


FLOOD = b'{"jsonrpc":"2.0","method":"session/update","params":{"x":"' + b"y" * (MAX_LINE + 10) + b'"}}\n'
HOSTILE = {
    "no JSON": b"hello\n",
    "invalid UTF-8": b'{"jsonrpc": "2.0", "id": 2, "result": \xff\xfe}\n',
    "deep": b'{"a":' * 100_000 + b"\n",
    "a long line": FLOOD,
    "an id that is a list": b'{"jsonrpc": "2.0", "id": [1], "result": {}}\n',
    "an id that is a truth": b'{"jsonrpc": "2.0", "id": true, "result": {}}\n',
    "an answer nobody asked for": answer(77, result={}),
    "a request without parameters": b'{"jsonrpc": "2.0", "id": 5, "method": "session/request_permission"}\n',
    "a request of no method of ours": b'{"jsonrpc": "2.0", "id": "x", "method": "fs/read_text_file", "params": {}}\n',
    "a method that is a number": b'{"jsonrpc": "2.0", "id": 5, "method": 7}\n',
    "an update of nothing": b'{"jsonrpc": "2.0", "method": "session/update", "params": {"update": 3}}\n',
    "a message that is a list": b"[1, 2]\n",
    "an error that is a text": b'{"jsonrpc": "2.0", "id": 2, "error": "no"}\n',
    "NUL": b"\0\0\0\n",
}


@pytest.mark.parametrize("name", HOSTILE)
async def test_a_hostile_line_before_a_good_end_changes_nothing(tmp_path: Path, name: str) -> None:
    ending, _ = await played(tmp_path, [TURN[1], HOSTILE[name], *TURN[4:]])
    assert (ending.failure, ending.summary) == (None, "I look.Done.")


@pytest.mark.parametrize(
    ("end", "class_"),
    [
        ([], FailureClass.CRASHED),
        ([TURN[-1][:-20]], FailureClass.CRASHED),
        ([answer(2, result={})], FailureClass.CRASHED),
        ([answer(2, result={"stopReason": ["end_turn"]})], FailureClass.CRASHED),
        ([answer(2, result={"stopReason": "cancelled"})], FailureClass.CANCELLED),
        ([answer(2, result={"stopReason": "refusal"})], FailureClass.REFUSED),
        ([answer(2, result={"stopReason": "max_turn_requests"})], FailureClass.TIMED_OUT),
        ([answer(2, error={"code": -32000, "message": "Authentication required"})], FailureClass.AUTH),
        ([answer(2, error={"code": 429, "message": "slow down"})], FailureClass.RATE_LIMITED),
        ([answer(2, error={"code": -32603, "message": "x", "data": {"errorKind": "model_not_found"}})],
         FailureClass.UNKNOWN_MODEL),
        ([answer(3, result={"stopReason": "end_turn"})], FailureClass.CRASHED),
    ],
    ids=str,
)  # fmt: skip
async def test_an_end_that_is_no_good_one_is_a_failure(tmp_path: Path, end: list[bytes], class_: FailureClass) -> None:
    ending, _ = await played(tmp_path, [TURN[1], *end])
    assert ending.failure is not None
    assert ending.failure.failure_class is class_


async def test_a_reset_is_told_by_the_zone_of_the_system_whatever_ours_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    end = answer(2, error={"code": -32603, "message": "usage limit: try again at Nov 24th, 2036 10:26 PM."})
    told = []
    try:
        for zone in ("Asia/Tokyo", "America/New_York"):
            monkeypatch.setenv("TZ", zone)
            time.tzset()
            ending, _ = await played(tmp_path, [TURN[1], end])
            assert ending.failure is not None
            told.append(ending.failure.retry_at_ms)
    finally:
        monkeypatch.undo()
        time.tzset()
    assert told == [told_moment_ms(str(end), now_of_the_system())] * 2


async def test_an_end_that_is_too_long_to_be_read_is_none_of_success(tmp_path: Path) -> None:
    end = answer(2, result={"stopReason": "end_turn", "_meta": {"x": "y" * (MAX_LINE + 10)}})
    ending, _ = await played(tmp_path, [TURN[1], end, NEXT])
    assert ending.failure is not None


async def test_a_good_end_without_a_word_before_is_none(tmp_path: Path) -> None:
    ending, _ = await played(tmp_path, [TURN[-1]])
    assert ending.failure is not None
    assert "without an answer" in ending.failure.message


async def test_mutated_turns_crash_nothing_and_none_that_lacks_its_end_succeeds(tmp_path: Path) -> None:
    chance = random.Random(7)
    for _ in range(40):
        lines = [_mutated(line, chance) for line in TURN[:-1] if chance.random() > 0.1]
        chance.shuffle(lines)
        whole = chance.random() < 0.5
        ending, _ = await played(tmp_path, [*lines, *(TURN[-1:] if whole else [TURN[-1][: chance.randrange(60)]])])
        assert whole or ending.failure is not None


def _mutated(line: bytes, chance: random.Random) -> bytes:
    if chance.random() < 0.5:
        return line
    place = chance.randrange(len(line) - 1)
    return line[:place] + bytes([chance.randrange(256)]).replace(b"\n", b" ") + line[place + 1 :]


def test_ten_thousand_mutated_updates_are_read_as_something() -> None:
    chance, updates = random.Random(9), Updates()
    values: list[Any] = [None, 1, True, "x", "", [], {}, [[]], {"text": 1}, "agent_message_chunk", "completed", 1e308]
    keys = ("sessionUpdate", "content", "toolCallId", "status", "rawInput", "rawOutput", "kind", "title", "locations",
            "cost", "_meta")  # fmt: skip
    kinds = ("agent_message_chunk", "agent_thought_chunk", "tool_call", "tool_call_update", "usage_update", "plan")
    for _ in range(10_000):
        found = {key: chance.choice(values) for key in keys if chance.random() < 0.6}
        found.setdefault("sessionUpdate", chance.choice(kinds))
        for activity in updates.read(found, "raw"):
            assert isinstance(activity.text, str)
        assert isinstance(updates.said, str)
    assert updates.cost_usd is None


@pytest.mark.parametrize("told", [{}, {"usage": 3}, {"usage": {"totalTokens": -1, "outputTokens": "x"}},
                                  {"_meta": {"quota": {"token_count": []}}}, {"_meta": [], "models": 1}])  # fmt: skip
def test_an_end_that_tells_nothing_is_unknown_and_not_nothing(told: dict[str, Any]) -> None:
    assert tokens_of(told) == (None, None)
    assert (failure_told(told), models_of(told), model_option(told)) == ({}, (), "")


async def test_a_permission_is_asked_for_and_told_by_the_option_that_says_so(tmp_path: Path) -> None:
    options = [{"optionId": k, "name": k, "kind": k} for k in ("allow_always", "allow_once", "reject_once")]
    params = {"sessionId": SESSION, "toolCall": CALL, "options": options}
    asks = json.dumps({"jsonrpc": "2.0", "id": 9, "method": "session/request_permission", "params": params}).encode()
    stage = OpenStage(tmp_path)
    stage.answer = Permission(allowed=False)
    ending, _ = await played(tmp_path, [TURN[1], asks + b"\n", NEXT, TURN[-1]], stage)
    assert ending.failure is None
    assert [(question.id, question.command) for question in stage.asked] == [("c1", "ls -l")]


class Mute:
    """A program that takes whatever is written."""

    def write(self, message: Any) -> bool:
        return True


async def test_interrupted_between_two_prompts_of_a_turn_it_is_not_prompted_again() -> None:
    talk = AcpConversation("mine", ANY, QuietStage(), Terms("/w", "", "", Usage(), trusted=False, ask=True))
    talk._program = Mute()  # type: ignore[assignment]
    prompts = []

    async def ends_and_is_interrupted(name: str, params: Any) -> Any:
        prompts.append(params.prompt[0].text)
        talk._denied.append("That was not allowed: the policy says no")
        talk._updates.spoke = True
        await talk.interrupt()
        return DONE

    talk.id = SESSION
    talk._request = ends_and_is_interrupted  # type: ignore[method-assign]
    await asyncio.wait_for(talk.turn("Do it."), 10)
    assert prompts == ["Do it."]
    await asyncio.wait_for(talk.turn("Do the next."), 10)
    assert prompts == ["Do it.", "Do the next."]


async def test_who_asks_again_and_again_for_what_is_not_allowed_is_not_prompted_for_ever() -> None:
    talk = AcpConversation("mine", ANY, QuietStage(), Terms("/w", "", "", Usage(), trusted=False, ask=True))
    prompts = []

    async def asks_again(name: str, params: Any) -> Any:
        prompts.append(params.prompt[0].text)
        talk._denied.append("That was not allowed: the policy says no")
        talk._updates.spoke = True
        return DONE

    talk.id = SESSION
    talk._request = asks_again  # type: ignore[method-assign]
    ending = await asyncio.wait_for(talk.turn("Do it."), 10)
    assert (ending.failure, len(prompts)) == (None, 1 + EXPLAINED_MAX)


def test_an_agent_is_known_by_its_program_or_its_package() -> None:
    assert bridge_in(["npx", "-y", "@agentclientprotocol/claude-agent-acp@0.100.0"]) is CLAUDE
    assert bridge_in(["/opt/x/codex-acp"]) is CODEX
    assert bridge_in(["gemini", "--acp"]) is GEMINI
    assert bridge_in(["./mine", "--acp"]) is ANY


def test_an_agent_that_is_not_known_is_given_nothing_but_what_was_named(tmp_path: Path) -> None:
    secrets = {"ANTHROPIC_API_KEY": "a", "OPENAI_API_KEY": "o", "GEMINI_API_KEY": "g"}
    agent = AcpAgent(AgentSpec("acp", "cat"), tmp_path, tmp_path, Login("/usr/bin:/bin", {}, secrets, {"MISTRAL": "m"}))
    told = agent.bridge.environment(Login("", {}, secrets), OpenStage(tmp_path))
    assert told == {}
    assert agent.check().what == "acp: cat, given MISTRAL"
