"""The real Codex, against a model that fails in every way that we know: what it then says has the right class."""

from __future__ import annotations

import asyncio
import dataclasses
import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from codeswarm.agents.base import AgentSpec, Permission
from codeswarm.agents.codex import thread
from codeswarm.agents.codex.agent import CodexAgent
from codeswarm.domain.results import FailureClass as F
from codeswarm.environment import Login
from codeswarm.testing import model_server as model
from codeswarm.testing.agent_contract import LIMIT_S, hanging_turn, whole
from codeswarm.testing.model_server import Answer, ModelServer, Say, Shell, Tokens, Turn, Use, conversation, sequence
from codeswarm.testing.stage import OpenStage
from codeswarm.vendors import OPENAI
from tests.support.real_clis import needs_codex

pytestmark = needs_codex
SPENT_UNTIL_S = 1_900_000_000
"""In the year 2030; a whole minute, since codex says no seconds."""
FAULTS: dict[str, tuple[Answer, F]] = {
    "rate_limited": (model.RateLimited(0.1), F.RATE_LIMITED),
    "quota": (model.QuotaExhausted(), F.QUOTA),
    "out_of_credit": (model.OutOfCredit(), F.QUOTA),
    "server_error": (model.ServerError(), F.OVERLOADED),
    "unavailable": (model.ServerError(503), F.OVERLOADED),
    "overloaded": (model.Overloaded(), F.OVERLOADED),
    "unauthorized": (model.Unauthorized(), F.AUTH),
    "forbidden": (model.Refuse(403, "not for you"), F.AUTH),
    "unknown_model": (model.UnknownModel(), F.UNKNOWN_MODEL),
    "context_overflow": (model.ContextOverflow(), F.CONTEXT_OVERFLOW),
    "error_in_stream": (model.ErrorInStream(), F.OVERLOADED),
    "garbage_in_stream": (model.GarbageInStream(), F.OVERLOADED),
    "drop_before_headers": (model.DropBeforeHeaders(), F.OVERLOADED),
    "drop_in_stream": (model.DropInStream(), F.OVERLOADED),
    "refused": (Turn(Say("I can't do that."), stop="refusal"), F.REFUSED),
    "cut_short": (Turn(Say("It is"), stop="length"), F.CRASHED),
    "bad_request": (model.Refuse(400, "no house rules"), F.CRASHED),
}


def codex_of(server: ModelServer) -> CodexAgent:
    given = server.environment("codex")
    login = Login(os.defpath, {}, {name: given[name] for name in OPENAI.variables})
    return CodexAgent(AgentSpec("codex", "gpt-5.5"), login)


@pytest.fixture
async def stage(tmp_path: Path) -> AsyncIterator[OpenStage]:
    stage = OpenStage(tmp_path)
    yield stage
    assert await stage.end_all() == ()


@pytest.mark.parametrize("name", FAULTS)
async def test_each_fault_has_its_class(stage: OpenStage, name: str) -> None:
    answer, expected = FAULTS[name]
    async with ModelServer(answer) as server:
        ending = await whole(codex_of(server), stage)
        assert len(server.requests) <= 3, "codex's own retries are turned down"
    assert ending.failure is not None
    assert ending.failure.failure_class is expected, ending.failure


async def test_a_spent_quota_says_until_when(stage: OpenStage) -> None:
    async with ModelServer(model.QuotaExhausted(SPENT_UNTIL_S)) as server:
        ending = await whole(codex_of(server), stage)
    assert ending.failure is not None
    until_ms = ending.failure.retry_at_ms
    assert until_ms is not None
    assert 0 <= until_ms - SPENT_UNTIL_S * 1000 <= 60_000


async def test_a_dropped_stream_is_tried_again(stage: OpenStage) -> None:
    async with ModelServer(sequence([model.DropInStream(), Say("recovered")])) as server:
        ending = await whole(codex_of(server), stage)
    assert (ending.failure, ending.summary) == (None, "recovered")


async def test_a_model_that_can_not_be_reached_ends_the_turn(stage: OpenStage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(thread, "WAITS", 1)
    server = ModelServer(Say("nobody hears this"))
    await server.start()
    agent = codex_of(server)
    await server.close()
    ending = await whole(agent, stage)
    assert ending.failure is not None
    assert ending.failure.failure_class is F.OVERLOADED


async def test_an_interrupted_turn_is_cancelled_and_its_command_gone(stage: OpenStage) -> None:
    fifo = stage.box.workspace / "began"
    os.mkfifo(fifo)
    script = conversation([Shell("trap '' INT TERM HUP; echo > began; sleep 3141")], then=Say("end"))
    async with ModelServer(script) as server:
        talk = await codex_of(server).open(stage.task(), stage)
        turn = asyncio.ensure_future(talk.turn("Do it."))
        await asyncio.wait_for(asyncio.to_thread(fifo.read_text), LIMIT_S)
        await talk.interrupt()
        ending = await asyncio.wait_for(turn, LIMIT_S)
        assert await talk.close() is None
    assert ending.failure is not None
    assert ending.failure.failure_class is F.CANCELLED


async def test_a_word_into_a_running_turn_reaches_the_model(stage: OpenStage) -> None:
    async with ModelServer(model.HangBeforeHeaders(Say("It took a while."))) as server:
        talk = await codex_of(server).open(stage.task(), stage)
        turn = asyncio.ensure_future(talk.turn("Do it."))
        await server.hanging()
        assert await talk.say("Mind the gap.")
        server.release()
        await server.arrived(2)
        server.release()
        ending = await asyncio.wait_for(turn, LIMIT_S)
        assert await talk.close() is None
        assert "Mind the gap." in server.requests[-1].text
    assert ending.failure is None


@pytest.mark.parametrize("allowed", [True, False])
async def test_it_asks_before_it_acts_where_it_is_made_to(stage: OpenStage, *, allowed: bool) -> None:
    stage.answer = Permission(allowed=allowed)
    patch = "*** Begin Patch\n*** Add File: patched.txt\n+hello\n*** End Patch\n"
    script = conversation([Shell("touch ran.txt"), Use("apply_patch", patch)], then=Say("end"))
    async with ModelServer(script) as server:
        talk = await codex_of(server).open(stage.task(ask=True), stage)
        ending = await talk.turn("Do it.")
        assert await talk.close() is None
    made = {path.name for path in stage.box.workspace.glob("*.txt")}
    assert ending.failure is None
    assert [question.command.split("/")[0] for question in stage.asked] == ["touch ran.txt", "change "]
    assert stage.asked[0].folder == str(stage.box.workspace)
    assert made == ({"ran.txt", "patched.txt"} if allowed else set())


async def test_tokens_are_counted_on_over_turns_and_processes(stage: OpenStage) -> None:
    script = conversation([Turn(Say("one"), usage=Tokens(1000, 20)), Turn(Say("two"), usage=Tokens(2000, 30))])
    async with ModelServer(script) as server:
        talk = await codex_of(server).open(stage.task(), stage)
        first = await talk.turn("One.")
        assert await talk.close() is None
        again = await codex_of(server).open(stage.task(conversation=talk.id, resume=True), stage)
        second = await again.turn("Two.")
        assert await again.close() is None
    assert (first.usage.input_tokens, first.usage.output_tokens) == (1000, 20)
    assert (second.usage.input_tokens, second.usage.output_tokens, second.usage.cost_usd) == (3000, 50, None)


@pytest.mark.parametrize("trusted", [False, True])
async def test_the_repository_s_rules_are_told_by_the_prompt_alone_and_its_programs_started_once_it_is_trusted(
    stage: OpenStage, *, trusted: bool
) -> None:
    workspace = stage.box.workspace
    (workspace / ".codex").mkdir()
    server_of_its_own = f'[mcp_servers.own]\ncommand = "touch"\nargs = ["{workspace}/started"]\n'
    (workspace / ".codex" / "config.toml").write_text(server_of_its_own)
    (workspace / "AGENTS.md").write_text("HOUSE RULES\n")
    async with ModelServer(conversation([Shell("echo wrote > wrote")], then=Say("done"))) as server:
        task = dataclasses.replace(stage.task(), trusted=trusted)
        talk = await codex_of(server).open(task, stage)
        assert (await talk.turn("Do it.")).failure is None
        assert await talk.close() is None
        assert not server.requests[0].mentions("HOUSE RULES")
    assert (workspace / "wrote").exists()
    assert (workspace / "started").exists() == trusted
    assert not (stage.box.home / ".codex" / "config.toml").exists(), "trust is not for good"


async def test_a_killed_server_is_a_lost_attempt(stage: OpenStage) -> None:
    async with ModelServer(model.HangBeforeHeaders()) as server:
        talk = await codex_of(server).open(stage.task(), stage)

        class Here:
            async def hanging(self) -> None:
                await server.hanging()

        turn = await hanging_turn(talk, Here())  # type: ignore[arg-type]
        stage.running[0].process.terminate()
        ending = await asyncio.wait_for(turn, LIMIT_S)
        await talk.close()
    assert ending.failure is not None, "codex exits with 0 when it is told to end, and that is no success"
