"""What the Gemini CLI says over ACP, as it really said it (`transcripts/gemini/`, 0.61) and as it might be garbled."""

from __future__ import annotations

import asyncio
import dataclasses
import json
import stat
from pathlib import Path

import pytest

from codeswarm.agents.acp.bridges import GEMINI
from codeswarm.agents.acp.talk import AcpConversation, Terms
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
