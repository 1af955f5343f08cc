"""What Codex's app server says, as it was really said (`transcripts/codex/`, by 0.163) and as it might be garbled."""

from __future__ import annotations

import asyncio
import dataclasses
import json
import random
import time
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest

from codeswarm.agents.base import Ending
from codeswarm.agents.codex.thread import ITEMS_MAX, CodexThread, Terms
from codeswarm.agents.codex.words import activities, command_of, failure_of, reset_of, usage_of
from codeswarm.agents.moments import now_of_the_system, told_moment_ms
from codeswarm.domain.results import FailureClass as F, ModelUsage, Usage
from tests.support.spoken import Spoken
from tests.support.stages import QuietStage

FOLDER = Path(__file__).parent / "transcripts" / "codex"
TRANSCRIPTS = {path.stem: path.read_bytes() for path in sorted(FOLDER.glob("*.jsonl"))}
SUCCESS = TRANSCRIPTS["success"]
FAILURES = {
    "rate_limited": F.RATE_LIMITED,
    "quota": F.QUOTA,
    "quota_until": F.QUOTA,
    "out_of_credit": F.QUOTA,
    "server_error": F.OVERLOADED,
    "unavailable": F.OVERLOADED,
    "overloaded": F.OVERLOADED,
    "unauthorized": F.AUTH,
    "forbidden": F.AUTH,
    "unknown_model": F.UNKNOWN_MODEL,
    "context_overflow": F.CONTEXT_OVERFLOW,
    "error_in_stream": F.OVERLOADED,
    "garbage_in_stream": F.OVERLOADED,
    "drop_before_headers": F.OVERLOADED,
    "drop_in_stream": F.OVERLOADED,
    "refused": F.REFUSED,
    "cut_short": F.CRASHED,
    "bad_request": F.CRASHED,
    "interrupted": F.CRASHED,  # nobody asked for it here
}
TERMS = Terms("", "/codeswarm/workspace", "gpt-5.5", "never")
NOW = datetime(2026, 11, 21, 3, 0, tzinfo=timezone(timedelta(hours=-5)))


async def conversation(transcript: bytes, code: int = 0, stage: QuietStage | None = None) -> Ending:
    spoken = Spoken(transcript, code)
    spoken.said = spoken.said if stage is None else stage.said
    spoken_with = CodexThread(spoken, TERMS)
    await spoken_with.open(["codex"], {}, ())
    ending = await spoken_with.turn("Do ticket 7.")
    failure = await spoken_with.close()
    return ending if ending.failure else dataclasses.replace(ending, failure=failure)


def heard(transcript: bytes, code: int = 0, stage: QuietStage | None = None) -> Ending:
    return asyncio.run(conversation(transcript, code, stage))


# ── as it was really said ──


def test_a_turn_that_went_well_is_heard_as_what_was_said_done_and_used() -> None:
    stage = QuietStage()
    ending = heard(SUCCESS, 0, stage)
    row = ModelUsage(model="", input_tokens=6000, cached_tokens=500, output_tokens=90)
    assert ending == Ending(usage=Usage(input_tokens=6000, output_tokens=90, models=(row,)), summary="Done.")
    said = [(activity.type, activity.text) for activity in stage.said if activity.type != "output"]
    assert said == [
        ("reasoning", "Hm."),
        ("assistant", "I'll look."),
        ("command_started", "echo hi > a.txt; ls"),
        ("command_completed", "a.txt\n"),
        ("usage", ""),
        ("file_change", "/codeswarm/workspace/p.txt"),
        ("usage", ""),
        ("assistant", "Done."),
        ("usage", ""),
        ("turn", "Done."),
    ]


def test_each_line_is_kept_once_as_it_was() -> None:
    stage = QuietStage()
    heard(SUCCESS, 0, stage)
    assert [activity.raw for activity in stage.said if activity.raw] == SUCCESS.decode().splitlines()


def test_every_recorded_fault_has_a_class_here() -> None:
    assert set(TRANSCRIPTS) == {*FAILURES, "success"}


@pytest.mark.parametrize("name", FAILURES)
@pytest.mark.parametrize("code", [0, 1])
def test_each_fault_is_told_by_its_class_whatever_the_exit_code(name: str, code: int) -> None:
    failure = heard(TRANSCRIPTS[name], code).failure
    assert failure is not None
    assert failure.failure_class is FAILURES[name]
    assert failure.message.startswith("codex: ")
    assert len(failure.message) > len("codex: ")


def test_a_good_turn_with_a_bad_exit_code_is_a_crash() -> None:
    failure = heard(SUCCESS, 101).failure
    assert failure is not None
    assert failure.failure_class is F.CRASHED


def test_a_turn_without_its_end_is_a_crash_whatever_the_exit_code() -> None:
    lines = SUCCESS.splitlines(keepends=True)
    for kept in range(len(lines)):
        for code in (0, -15):
            failure = heard(b"".join(lines[:kept]), code).failure
            assert failure is not None
            assert failure.failure_class is F.CRASHED


def test_the_end_of_a_turn_in_a_line_too_long_to_be_read_is_no_success() -> None:
    lines = SUCCESS.splitlines(keepends=True)
    end = json.loads(lines[-1])
    end["params"]["turn"]["items"] = ["x" * (2 << 20)]
    failure = heard(b"".join(lines[:-1]) + json.dumps(end).encode() + b"\n").failure
    assert failure is not None
    assert failure.failure_class is F.CRASHED


def test_the_end_of_another_turn_or_thread_is_not_that_of_this_one() -> None:
    lines = SUCCESS.splitlines(keepends=True)
    for where, key in (("params", "threadId"), ("turn", "id")):
        end = json.loads(lines[-1])
        (end["params"] if where == "params" else end["params"]["turn"])[key] = "another"
        assert heard(b"".join(lines[:-1]) + json.dumps(end).encode() + b"\n").failure is not None


# ── quota ──


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("try again at 3:26 AM.", datetime(2026, 11, 21, 3, 27)),
        ("or try again at 10:26 PM.", datetime(2026, 11, 21, 22, 27)),
        ("or try again at 12:05 AM.", datetime(2026, 11, 22, 0, 6)),
        ("or try again at Nov 24th, 2026 2:53 AM.", datetime(2026, 11, 24, 2, 54)),
        ("or try again at Dec 1st, 2026 12:00 PM.", datetime(2026, 12, 1, 12, 1)),
    ],
)
def test_the_moment_that_it_tells_is_read_in_local_time_to_the_end_of_its_minute(text: str, moment: datetime) -> None:
    assert told_moment_ms(text, NOW) == int(moment.replace(tzinfo=NOW.tzinfo).timestamp() * 1000)


@pytest.mark.parametrize(
    "text",
    ["", "try again later", "try again at 25:61 PM.", "try again at 13:00 PM", "try again at Foo 40th, 2026 1:00 AM"],
)
def test_a_moment_that_is_none_is_no_promise(text: str) -> None:
    assert told_moment_ms(text, NOW) is None


def test_the_reset_of_the_last_spent_window_counts_before_what_is_said() -> None:
    spent, later = {"usedPercent": 100, "resetsAt": 1_900_000_000}, {"usedPercent": 100.0, "resetsAt": 1_900_500_000}
    half = {"usedPercent": 50, "resetsAt": 1_999_000_000}
    assert reset_of({"rateLimits": {"primary": spent, "secondary": half}}) == 1_900_000_000_000
    assert reset_of({"rateLimits": {"primary": spent, "secondary": later}}) == 1_900_500_000_000
    error = {"message": "try again at 3:26 AM.", "codexErrorInfo": "usageLimitExceeded"}
    failure = failure_of(error, {"rateLimits": {"primary": spent}}, NOW)
    assert (failure.failure_class, failure.retry_at_ms) == (F.QUOTA, 1_900_000_000_000)


@pytest.mark.parametrize("resets", [None, True, "soon", -1, 0, 1e30, 10**400, float("nan"), float("inf"), [], {}])
def test_a_reset_that_is_none_is_no_promise(resets: object) -> None:
    assert reset_of({"rateLimits": {"primary": {"usedPercent": 100, "resetsAt": resets}}}) is None


# ── whatever it may say ──


@pytest.mark.parametrize(
    "message",
    [
        {},
        {"method": None},
        {"method": ["item/started"], "params": {}},
        {"method": "item/started"},
        {"method": "item/completed", "params": {"item": 3}},
        {"method": "item/completed", "params": {"item": {"type": ["x"]}}},
        {"method": "item/completed", "params": {"item": {"type": "fileChange", "changes": [3, None, {}]}}},
        {"method": "item/completed", "params": {"item": {"type": "reasoning", "summary": 3, "content": [{}]}}},
        {"method": "item/started", "params": {"item": {"type": "commandExecution", "command": "echo 'open"}}},
        {"method": "account/rateLimits/updated", "params": {"rateLimits": []}},
        {"method": "error", "params": {"error": "text"}},
        {"method": "thread/tokenUsage/updated", "params": {"tokenUsage": {"total": []}}},
    ],
)
def test_a_line_of_any_shape_is_at_least_one_activity(message: dict[str, Any]) -> None:
    assert activities(message, json.dumps(message))


def test_figures_that_are_none_are_unknown_and_not_zero() -> None:
    for total in ({}, {"inputTokens": True}, {"inputTokens": -3, "outputTokens": "7"}, {"inputTokens": 10**40}):
        assert usage_of({"tokenUsage": {"total": total}}) == Usage()


def test_the_zone_is_that_of_the_system_whatever_ours_is(monkeypatch: pytest.MonkeyPatch) -> None:
    before = now_of_the_system().utcoffset()
    try:
        for zone in ("Asia/Tokyo", "America/New_York"):
            monkeypatch.setenv("TZ", zone)
            time.tzset()
            assert now_of_the_system().utcoffset() == before
    finally:
        monkeypatch.undo()
        time.tzset()


def test_a_command_is_told_without_the_shell_around_it() -> None:
    assert command_of({"command": "/bin/bash -lc 'echo hi; ls'"}) == "echo hi; ls"
    assert command_of({"command": "ls -l"}) == "ls -l"
    assert command_of({"command": "/bin/bash -lc 'open"}) == "/bin/bash -lc 'open"


@pytest.mark.parametrize(
    "other", ["./bash -lc 'make test'", "/codeswarm/workspace/sh -c 'make test'", "python -c 'x()'"]
)
def test_what_only_looks_like_a_shell_is_told_with_the_command(other: str) -> None:
    assert command_of({"command": other}) == other, "else a policy would allow `make test`, and that runs"


def test_of_what_it_is_about_to_do_it_keeps_no_more_than_it_may_ask_about() -> None:
    talk = CodexThread(QuietStage(), TERMS)
    for number in range(2 * ITEMS_MAX):
        talk._note({"method": "item/started", "params": {"item": {"id": f"i{number}"}}})
    assert len(talk._items) == ITEMS_MAX
    for number in range(2 * ITEMS_MAX):
        talk._note({"method": "item/completed", "params": {"item": {"id": f"i{number}"}}})
    assert not talk._items


def test_two_threads_in_one_stream_are_not_taken_for_each_other() -> None:
    """Lines of a turn that went well, among those of one that failed, make no success of it."""
    dice = random.Random(7)
    good = [line for line in SUCCESS.splitlines(keepends=True) if b'"method"' in line]
    for name in FAILURES:
        lines = TRANSCRIPTS[name].splitlines(keepends=True)
        for line in good:
            lines.insert(dice.randrange(1, len(lines)), line)
        assert heard(b"".join(lines)).failure is not None, name


def test_moments_are_read_by_the_zone_of_this_machine() -> None:
    utc = told_moment_ms("try again at 3:26 AM.", NOW.astimezone(UTC))
    assert utc != told_moment_ms("try again at 3:26 AM.", NOW)
