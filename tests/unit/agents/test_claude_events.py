"""What Claude Code says, as it was really said (`transcripts/`, from version 2.1.327) and as it might be garbled."""

from __future__ import annotations

import asyncio
import dataclasses
import json
import stat
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from codeswarm.agents.base import Agent, AgentSpec, Ending, Task
from codeswarm.agents.claude.agent import ClaudeAgent
from codeswarm.agents.claude.conversation import ClaudeConversation
from codeswarm.agents.claude.usage import usage_of
from codeswarm.agents.claude.words import activities, failure_of
from codeswarm.domain.results import FailureClass, ModelUsage, Usage
from codeswarm.environment import Login
from tests.support.stages import OpenStage, QuietStage, stream_of

F = FailureClass
FOLDER = Path(__file__).parent / "transcripts"
TRANSCRIPTS = {path.stem: path.read_bytes() for path in sorted(FOLDER.glob("*.jsonl"))}
SUCCESS = TRANSCRIPTS["success"]
FAILURES = {
    "unauthorized": F.AUTH,
    "rate_limited": F.RATE_LIMITED,
    "quota": F.RATE_LIMITED,  # with an API key, a spent quota and a burst can't be told apart
    "credit": F.QUOTA,
    "overloaded": F.OVERLOADED,
    "unknown_model": F.UNKNOWN_MODEL,
    "overflow": F.CONTEXT_OVERFLOW,
    "max_turns": F.CRASHED,
    "interrupted": F.CANCELLED,
}


class Said:
    """A program that has said all that it will and ended."""

    def __init__(self, transcript: bytes, code: int) -> None:
        self.process: Any = SimpleNamespace(
            stdin=None,
            stdout=stream_of(transcript),
            stderr=stream_of(b"some warning\n"),
            returncode=code,
            wait=self.wait,
        )
        self._code = code

    async def wait(self) -> int:
        return self._code

    async def end(self) -> tuple[str, ...]:
        return ()


class Transcribed(QuietStage):
    """A stage on which whatever is started says a transcript and exits with a code."""

    def __init__(self, transcript: bytes, code: int) -> None:
        super().__init__()
        self._said = Said(transcript, code)

    async def start(
        self, argv: Sequence[str], env: Mapping[str, str], visible: Sequence[Any] = (), *, stderr: int | None = None
    ) -> Any:
        return self._said


async def one_turn(agent: Agent, stage: QuietStage, task: Task) -> Ending:
    """A conversation of one turn, as the worker has it."""
    conversation = await agent.open(task, stage)
    ending = await conversation.turn(task.prompt)
    failure = await conversation.close()
    return ending if ending.failure else dataclasses.replace(ending, failure=failure)


def heard(transcript: bytes, code: int = 0, stage: QuietStage | None = None) -> Ending:
    """How a conversation ends in which the CLI says all this and exits with `code`."""

    async def listen() -> Ending:
        said = Transcribed(transcript, code)
        said.said = said.said if stage is None else stage.said
        conversation = ClaudeConversation("c-1", said)
        await conversation.start(["claude"], {}, ())
        ending = await conversation.turn("Do ticket 7.")
        failure = await conversation.close()
        return ending if ending.failure else dataclasses.replace(ending, failure=failure)

    return asyncio.run(listen())


def result_line(transcript: bytes) -> dict[str, Any]:
    return dict(json.loads(transcript.splitlines()[-1]))


# ── as it was really said ──


def test_a_turn_that_went_well_is_heard_as_what_was_said_done_and_used() -> None:
    stage = QuietStage()
    ending = heard(SUCCESS, 0, stage)
    row = ModelUsage(model="claude-sonnet-5-5", input_tokens=3000, output_tokens=150)
    usage = Usage(input_tokens=3000, output_tokens=150, cost_usd=0.0075, models=(row,))
    assert ending == Ending(usage=usage, summary="Done.")
    heard_of = [activity for activity in stage.said if activity.type != "output"]
    within = [activity for activity in heard_of[:-2] if activity.type == "usage"]
    assert [activity.data["input_tokens"] for activity in within][-1] == 3000, "metered while it worked"
    said = [(activity.type, activity.text) for activity in heard_of if activity not in within]
    assert said == [
        ("reasoning", "Hm."),
        ("assistant", "I'll look."),
        ("command_started", "echo hi > shell.txt"),
        ("command_completed", "(Bash completed with no output)"),
        ("file_change", "written.txt"),
        ("command_completed", said[5][1]),
        ("assistant", "Done."),
        ("usage", ""),
        ("turn", "Done."),
    ]


def test_each_line_is_kept_once_as_it_was() -> None:
    stage = QuietStage()
    heard(SUCCESS, 0, stage)
    raw = [activity.raw for activity in stage.said if activity.raw]
    assert raw == SUCCESS.decode().splitlines()


@pytest.mark.parametrize("name", list(FAILURES))
def test_each_fault_is_told_by_its_class(name: str) -> None:
    failure = heard(TRANSCRIPTS[name], 1).failure
    assert failure is not None
    assert failure.failure_class is FAILURES[name]
    assert failure.message.startswith("claude: ")
    assert len(failure.message) > len("claude: ")


@pytest.mark.parametrize("name", list(FAILURES))
def test_an_exit_code_of_0_makes_no_failure_a_success(name: str) -> None:
    assert heard(TRANSCRIPTS[name], 0).failure is not None


def test_success_with_is_error_is_no_success() -> None:
    line = result_line(TRANSCRIPTS["unauthorized"])
    assert (line["subtype"], line["is_error"]) == ("success", True)
    assert failure_of(line, {}) is not None


def test_a_good_result_with_a_bad_exit_code_is_a_crash() -> None:
    for code in (1, 143, -9):
        failure = heard(SUCCESS, code).failure
        assert failure is not None
        assert failure.failure_class is F.CRASHED


def test_a_conversation_without_a_result_is_a_crash_whatever_its_exit_code() -> None:
    lines = SUCCESS.splitlines(keepends=True)
    for kept in range(len(lines)):
        for code in (0, 1, -15):
            ending = heard(b"".join(lines[:kept]), code)
            assert ending.failure is not None
            assert ending.failure.failure_class is F.CRASHED
            assert "before the end of its turn" in ending.failure.message
    assert heard(b"".join(lines[:-1]), 0).summary == "Done.", "its last words are kept all the same"


def test_what_it_said_on_standard_error_is_in_the_message_of_a_crash() -> None:
    failure = heard(b"", 1).failure
    assert failure is not None
    assert failure.message == "claude exited with 1 before the end of its turn: some warning"


def test_a_result_that_is_too_long_to_be_read_is_no_success() -> None:
    line = result_line(SUCCESS) | {"result": "x" * (2 << 20)}
    assert heard(json.dumps(line).encode() + b"\n", 0).failure is not None


# ── quota ──


def limited(**info: Any) -> bytes:
    event = {"type": "rate_limit_event", "rate_limit_info": info}
    return json.dumps(event).encode() + b"\n" + TRANSCRIPTS["quota"]


def test_a_rejected_usage_window_is_a_spent_quota_until_it_resets() -> None:
    stage = QuietStage()
    ending = heard(limited(status="rejected", resetsAt=1_800_000_000, rateLimitType="five_hour"), 1, stage)
    assert ending.failure is not None
    assert (ending.failure.failure_class, ending.failure.retry_at_ms) == (F.QUOTA, 1_800_000_000_000)
    assert stage.said[0].type == "rate_limit"


def test_a_window_that_is_only_warned_of_is_a_burst() -> None:
    failure = heard(limited(status="allowed_warning", resetsAt=1_800_000_000), 1).failure
    assert failure is not None
    assert (failure.failure_class, failure.retry_at_ms) == (F.RATE_LIMITED, None)


@pytest.mark.parametrize(
    "resets", [None, True, "soon", -1, 0, 1e30, 2**70, 10**400, float("nan"), float("inf"), [], {}, 1.8e12]
)
def test_a_moment_of_reset_that_is_none_is_no_promise(resets: object) -> None:
    info = {"status": "rejected", "resetsAt": resets}
    failure = failure_of(result_line(TRANSCRIPTS["quota"]), info)
    assert failure is not None
    assert (failure.failure_class, failure.retry_at_ms) == (F.QUOTA, None)


# ── usage ──


def test_usage_is_the_sum_over_all_models_caches_included() -> None:
    row = {"inputTokens": 10, "outputTokens": 3, "cacheReadInputTokens": 100, "cacheCreationInputTokens": 5}
    found = usage_of({"modelUsage": {"a": row, "b": row}, "total_cost_usd": 1})
    assert (found.input_tokens, found.output_tokens, found.cost_usd) == (230, 6, 1.0)
    row_of_a = ModelUsage(model="a", input_tokens=115, cached_tokens=100, cache_write_tokens=5, output_tokens=3)
    assert found.models == (row_of_a, row_of_a.model_copy(update={"model": "b"}))


@pytest.mark.parametrize(
    "result",
    [
        {},
        {"modelUsage": {}, "total_cost_usd": None},
        {"modelUsage": [], "total_cost_usd": "0"},
        {"modelUsage": {"a": 3}, "total_cost_usd": True},
        {"total_cost_usd": float("nan")},
        {"total_cost_usd": 10**400},
        {"total_cost_usd": -1},
    ],
)
def test_figures_that_are_none_are_unknown_and_not_zero(result: dict[str, Any]) -> None:
    assert usage_of(result) == Usage()


# ── whatever it may say ──


@pytest.mark.parametrize(
    "message",
    [
        {},
        {"type": None},
        {"type": ["assistant"]},
        {"type": "assistant"},
        {"type": "assistant", "message": "hello"},
        {"type": "assistant", "message": {"content": 3}},
        {
            "type": "assistant",
            "message": {"content": [3, None, {}, {"type": "text"}, {"type": "tool_use", "input": 3}]},
        },
        {"type": "assistant", "message": {"content": "as one text"}},
        {"type": "user", "message": {"content": [{"type": "tool_result", "content": [{"text": 3}, "x"]}]}},
        {"type": "user", "message": {"content": [{"type": "tool_result", "content": {"a": 1}}]}},
        {"type": "system", "subtype": ["odd"]},
        {"type": "rate_limit_event", "rate_limit_info": "x"},
        {"type": "result", "result": {"a": 1}, "modelUsage": 3},
        {"type": "control_response"},
    ],
)
def test_a_line_of_any_shape_is_at_least_one_activity(message: dict[str, Any]) -> None:
    assert activities(message, json.dumps(message))


# ── a whole run of the adapter, with a program in the CLI's place ──

STAND_IN = """#!/bin/sh
echo "$@" > "$HOME/flags"
env > "$HOME/env"
read -r first
printf '%s\\n' "$first" > "$HOME/heard"
{then}
"""


def stand_in(folder: Path, then: str) -> ClaudeAgent:
    """An adapter that finds a shell script where the CLI would be."""
    binary = folder / "bin" / "claude"
    binary.parent.mkdir()
    binary.write_text(STAND_IN.replace("{then}", then))
    binary.chmod(binary.stat().st_mode | stat.S_IXUSR)
    login = Login(f"{binary.parent}:/usr/bin:/bin", {"ANTHROPIC_API_KEY": "k"})
    return ClaudeAgent(AgentSpec.parse("claude:haiku"), login)


async def test_the_prompt_is_told_as_a_user_turn_and_the_end_of_the_turn_ends_the_run(tmp_path: Path) -> None:
    stage = OpenStage(tmp_path)
    agent = stand_in(tmp_path, f"cat {FOLDER / 'success.jsonl'}\ncat > /dev/null")
    ending = await one_turn(agent, stage, stage.task("Do ticket 7, “please”."))
    assert ending.failure is None
    spoken = json.loads((stage.box.home / "heard").read_text())
    assert spoken == {"type": "user", "message": {"role": "user", "content": "Do ticket 7, “please”."}}
    flags = (stage.box.home / "flags").read_text().split()
    assert flags[flags.index("--model") + 1] == "haiku"
    assert flags[flags.index("--session-id") + 1] == "c-1"
    environment = dict(line.split("=", 1) for line in (stage.box.home / "env").read_text().splitlines() if "=" in line)
    assert environment["ANTHROPIC_API_KEY"] == "k"
    assert environment["CODESWARM_EPOCH"] == "5"


async def test_an_earlier_conversation_is_gone_on_with_by_its_id(tmp_path: Path) -> None:
    stage = OpenStage(tmp_path)
    agent = stand_in(tmp_path, f"cat {FOLDER / 'success.jsonl'}")
    await one_turn(agent, stage, stage.task(conversation="c-0", resume=True))
    flags = (stage.box.home / "flags").read_text().split()
    assert flags[flags.index("--resume") + 1] == "c-0"
    assert "--session-id" not in flags


async def test_words_of_a_person_reach_the_running_turn(tmp_path: Path) -> None:
    stage = OpenStage(tmp_path)
    agent = stand_in(
        tmp_path, f'read -r second\nprintf "%s" "$second" > "$HOME/second"\ncat {FOLDER / "success.jsonl"}'
    )
    conversation = await agent.open(stage.task(), stage)
    assert not await conversation.say("too early")
    turn = asyncio.create_task(conversation.turn("Do ticket 7."))
    await asyncio.sleep(0)
    assert await conversation.say("use the new API")
    assert (await turn).failure is None
    assert json.loads((stage.box.home / "second").read_text())["message"]["content"] == "use the new API"
    assert not await conversation.say("too late"), "nobody reads on when the turn is over"
    assert await conversation.close() is None


async def test_told_to_stop_it_interrupts_its_turn_and_waits_for_the_answer(tmp_path: Path) -> None:
    stage = OpenStage(tmp_path)
    then = f'echo "{{}}"\nread -r second\nprintf "%s" "$second" > "$HOME/second"\ncat {FOLDER / "interrupted.jsonl"}'
    agent = stand_in(tmp_path, then)
    conversation = await agent.open(stage.task(), stage)
    turn = asyncio.create_task(conversation.turn("Do ticket 7."))
    await stage.heard.wait()
    await conversation.interrupt()
    ending = await turn
    assert ending.failure is not None
    assert ending.failure.failure_class is F.CANCELLED
    assert json.loads((stage.box.home / "second").read_text())["request"] == {"subtype": "interrupt"}
    await conversation.close()


FORGETFUL = """case " $* " in *--resume*)
    {first}
    echo "No conversation found with session ID: c-0" >&2
    exit 1;;
esac
cat > /dev/null"""
"""Has never heard of the conversation that it is to go on with; a new one takes as long as nobody ends it."""


async def test_interrupted_before_it_says_that_it_forgot_a_conversation_it_begins_none_anew(tmp_path: Path) -> None:
    stage = OpenStage(tmp_path)
    agent = stand_in(tmp_path, FORGETFUL.replace("{first}", "echo '{}'; read -r interrupt"))
    conversation = await agent.open(stage.task(conversation="c-0", resume=True), stage)
    turn = asyncio.create_task(conversation.turn("Do ticket 7."))
    await stage.heard.wait()
    await conversation.interrupt()
    failure = (await asyncio.wait_for(turn, 10)).failure
    assert failure is not None
    assert (failure.failure_class, len(stage.started)) == (F.CANCELLED, 1)
    await conversation.close()


async def test_interrupted_while_one_is_begun_anew_it_takes_no_turn(tmp_path: Path) -> None:
    class InterruptedStage(OpenStage):
        async def start(self, argv: Sequence[str], *rest: Any, **more: Any) -> Any:
            if self.started:
                await conversation.interrupt()
            return await super().start(argv, *rest, **more)

    stage = InterruptedStage(tmp_path)
    agent = stand_in(tmp_path, FORGETFUL.replace("{first}", ""))
    conversation = await agent.open(stage.task(conversation="c-0", resume=True), stage)
    failure = (await asyncio.wait_for(conversation.turn("Do ticket 7."), 10)).failure
    assert failure is not None
    assert (failure.failure_class, len(stage.started)) == (F.CANCELLED, 2)
    assert await asyncio.wait_for(conversation.close(), 10) is None


async def test_what_it_leaves_running_does_not_hold_the_run_open(tmp_path: Path) -> None:
    stage = OpenStage(tmp_path)
    agent = stand_in(tmp_path, f"sleep 600 &\ncat {FOLDER / 'success.jsonl'}")
    ending = await asyncio.wait_for(one_turn(agent, stage, stage.task()), 60)
    assert ending.failure is None


def test_without_the_cli_or_a_login_it_says_how_to_get_them(tmp_path: Path) -> None:
    agent = stand_in(tmp_path, "true")
    assert agent.check().works
    without_login = ClaudeAgent(agent.spec, Login(str(tmp_path / "bin"), {})).check()
    assert not without_login.works
    assert "ANTHROPIC_API_KEY" in without_login.fix


@pytest.mark.parametrize(
    ("said", "works"), [("1.0.60 (Claude Code)", False), ("2.0.0 (Claude Code)", True), ("who asks?", True)]
)
def test_a_cli_that_does_not_know_our_options_yet_is_too_old(said: str, works: bool, tmp_path: Path) -> None:
    agent = stand_in(tmp_path, "true")
    (tmp_path / "bin" / "claude").write_text(f"#!/bin/sh\n[ \"$1\" = --version ] && echo '{said}'\n")
    health = agent.check()
    assert health.works is works
    assert works or ("npm install -g @anthropic-ai/claude-code@latest" in health.fix and "1.0.60" in health.what)
