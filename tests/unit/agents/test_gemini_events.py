"""What the Gemini CLI says over ACP, as it really said it (`transcripts/gemini/`, 0.61) and as it might be garbled."""

from __future__ import annotations

import asyncio
import dataclasses
import json
import stat
from datetime import UTC, datetime
from pathlib import Path

import pytest

from codeswarm.agents.acp.bridges import GEMINI
from codeswarm.agents.acp.talk import AcpConversation, Terms
from codeswarm.agents.acp.words import add_up, rows_of, told_back_ms
from codeswarm.agents.base import AgentSpec, Ending
from codeswarm.agents.gemini import GeminiAgent, model_of, version_of
from codeswarm.domain.results import FailureClass as F, ModelUsage, Usage
from codeswarm.environment import Login
from tests.support.spoken import Spoken
from tests.support.stages import QuietStage

FOLDER = Path(__file__).parent / "transcripts" / "gemini"
TRANSCRIPTS = {path.stem: path.read_bytes() for path in sorted(FOLDER.glob("*.jsonl"))}
SUCCESS = TRANSCRIPTS["success"]
FAILURES = {
    "rate_limited": F.RATE_LIMITED,
    "quota": F.QUOTA,
    "out_of_credit": F.QUOTA,
    "server_error": F.OVERLOADED,
    "overloaded": F.OVERLOADED,
    "unauthorized": F.AUTH,
    "wrong_key": F.AUTH,
    "unknown_model": F.UNKNOWN_MODEL,
    "context_overflow": F.CONTEXT_OVERFLOW,
    "garbage_in_stream": F.OVERLOADED,
    "drop_in_stream": F.OVERLOADED,
    "error_in_stream": F.CRASHED,
    "bad_request": F.CRASHED,
}
TERMS = Terms("/codeswarm/workspace", "", "", Usage(), trusted=False, ask=False)


async def conversation(transcript: bytes, code: int = 0, stage: QuietStage | None = None) -> Ending:
    spoken = Spoken(transcript, code)
    spoken.said = spoken.said if stage is None else stage.said
    talk = AcpConversation("gemini", GEMINI, spoken, TERMS)
    await talk.open(["gemini"], {}, ())
    ending = await talk.turn("Do ticket 7.")
    failure = await talk.close()
    return ending if ending.failure else dataclasses.replace(ending, failure=failure)


def heard(transcript: bytes, code: int = 0, stage: QuietStage | None = None) -> Ending:
    return asyncio.run(conversation(transcript, code, stage))


def test_a_turn_that_went_well_is_heard_as_what_was_said_and_used() -> None:
    stage = QuietStage()
    ending = heard(SUCCESS, 0, stage)
    row = ModelUsage(model="gemini-2.5-pro", input_tokens=6000, output_tokens=90)
    assert ending == Ending(usage=Usage(input_tokens=6000, output_tokens=90, models=(row,)), summary="Done.")
    said = [activity.type for activity in stage.said if activity.type not in ("output", "reasoning")]
    assert [said[0], *said[-3:]] == ["assistant", "assistant", "usage", "turn"]
    assert {"command_started", "command_completed", "file_change"} <= set(said)


@pytest.mark.parametrize("name", FAILURES)
def test_each_fault_is_told_by_its_class(name: str) -> None:
    for code in (0, 1):
        failure = heard(TRANSCRIPTS[name], code).failure
        assert failure is not None
        assert failure.failure_class is FAILURES[name]


def test_every_recorded_fault_has_a_class_here() -> None:
    assert set(TRANSCRIPTS) == {*FAILURES, "success"}


def test_a_turn_without_its_end_is_a_crash_whatever_the_exit_code() -> None:
    lines = SUCCESS.splitlines(keepends=True)
    for kept in range(len(lines)):
        for code in (0, -15):
            assert heard(b"".join(lines[:kept]), code).failure is not None


# ── when to come back, and what which model used ──

NOW = datetime(2026, 11, 21, 3, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "after_s"),
    [
        ("Resource has been exhausted.\nSuggested retry after 34.5s.", 34.5),
        ("Suggested retry after 3600s.", 3600),
        ("You've hit your usage limit. Try again at Nov 21st, 2026 3:26 AM.".replace("Try", "try"), 27 * 60),
    ],
)
def test_the_moment_to_come_back_is_read_as_it_is_told(text: str, after_s: float) -> None:
    assert told_back_ms(text, NOW) == int((NOW.timestamp() + after_s) * 1000)


@pytest.mark.parametrize("told", ["-5s", "1e9s", "99999999999s", "s", "NaNs", "5 minutes", "5sec"])
def test_a_moment_to_come_back_that_is_none_is_no_promise(told: str) -> None:
    assert told_back_ms(f"Suggested retry after {told}.", NOW) is None


def test_a_burst_says_when_it_is_over() -> None:
    failure = heard(TRANSCRIPTS["rate_limited"]).failure
    assert failure is not None
    assert failure.retry_at_ms is not None


def test_rows_by_model_are_summed_over_turns() -> None:
    def told(model: object, read: object, wrote: object) -> dict[str, object]:
        return {"model": model, "token_count": {"input_tokens": read, "output_tokens": wrote}}

    by_model: dict[str, ModelUsage] = {}
    for rows in (
        [told("pro", 10, 2), told("flash", 5, 1)],
        [told("pro", 20, 3)],
        [told(3, 1, 1), told("x", -1, "2"), 7],
    ):
        add_up(by_model, rows_of({"_meta": {"quota": {"model_usage": rows}}}))
    assert {name: (row.input_tokens, row.output_tokens) for name, row in by_model.items()} == {
        "pro": (30, 5),
        "flash": (5, 1),
    }
    for number in range(100):
        add_up(by_model, [ModelUsage(model=str(number), input_tokens=1)])
    assert len(by_model) == 20


# ── the program ──


def test_a_model_is_named_in_short_or_whole() -> None:
    assert [model_of(name) for name in ("2.5-pro", "gemini-2.5-pro", "auto")] == ["gemini-2.5-pro"] * 2 + ["auto"]


def test_its_version_is_that_of_its_package(tmp_path: Path) -> None:
    program = tmp_path / "gemini-cli" / "bundle" / "gemini.js"
    program.parent.mkdir(parents=True)
    for package, version in (({"version": "0.61.0"}, (0, 61, 0)), ({"version": "odd"}, None), ([], None)):
        (tmp_path / "gemini-cli" / "package.json").write_text(json.dumps(package))
        assert version_of(program) == version


def test_one_without_node_says_so(tmp_path: Path) -> None:
    program = tmp_path / "gemini"
    program.write_text("")
    program.chmod(stat.S_IRWXU)
    agent = GeminiAgent(AgentSpec("gemini"), tmp_path, tmp_path, Login(str(tmp_path), {}, {"GEMINI_API_KEY": "k"}))
    health = agent.check()
    assert not health.works
    assert "needs node" in health.what
