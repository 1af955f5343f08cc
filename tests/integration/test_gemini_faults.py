"""The real Gemini CLI, against a model that fails in every way that we know: what it then says has the right class."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator

import pytest

from codeswarm.agents.base import Permission
from codeswarm.domain.results import FailureClass as F
from codeswarm.testing import model_server as model
from codeswarm.testing.agent_contract import LIMIT_S, whole
from codeswarm.testing.model_server import Answer, ModelServer, Request, Say, Shell, Tokens, Turn, conversation
from codeswarm.testing.stage import OpenStage
from tests.contract.test_agents_gemini import gemini_of
from tests.support.real_clis import needs_from_npm

pytestmark = needs_from_npm("gemini")
FAULTS: dict[str, tuple[Answer, F]] = {
    "a burst": (model.RateLimited(1), F.RATE_LIMITED),
    "a burst that names no time": (model.RateLimited(None), F.RATE_LIMITED),
    "a refusal by 429 alone": (model.Refuse(429, "slow down"), F.RATE_LIMITED),
    "a spent quota": (model.QuotaExhausted(), F.QUOTA),
    "no credit": (model.OutOfCredit(), F.QUOTA),
    "a server error": (model.ServerError(), F.OVERLOADED),
    "unavailable": (model.ServerError(503), F.OVERLOADED),
    "an overload": (model.Overloaded(), F.OVERLOADED),
    "a wrong login": (model.Unauthorized(), F.AUTH),
    "a wrong key": (model.Refuse(400, "API key not valid. Please pass a valid API key."), F.AUTH),
    "forbidden": (model.Refuse(403, "not for you"), F.AUTH),
    "an unknown model": (model.UnknownModel(), F.UNKNOWN_MODEL),
    "too long a prompt": (model.ContextOverflow(), F.CONTEXT_OVERFLOW),
    "garbage in the stream": (model.GarbageInStream(), F.OVERLOADED),
    "a dropped request": (model.DropBeforeHeaders(), F.OVERLOADED),
    "a dropped stream": (model.DropInStream(), F.OVERLOADED),
    "an error in the stream": (model.ErrorInStream(), F.CRASHED),  # told as a good end: nothing was counted
    "a bad request": (model.Refuse(400, "no house rules"), F.CRASHED),
}


@pytest.fixture
async def stage(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[OpenStage]:
    stage = OpenStage(tmp_path_factory.mktemp("gemini"))
    yield stage
    assert await stage.end_all() == ()


async def test_each_fault_has_its_class_and_is_asked_once(stage: OpenStage) -> None:
    now: list[Answer] = [Say("Well.")]

    def script(request: Request) -> Answer:
        return Say("ok") if request.is_side_call else now[0]

    found, asked = {}, {}
    async with ModelServer(script) as server:  # type: ignore[arg-type]
        talk = await gemini_of(server).open(stage.task(), stage)
        for name, (fault, _) in FAULTS.items():
            now[0], before = fault, len(server.requests)
            ending = await asyncio.wait_for(talk.turn("Do it."), LIMIT_S)
            found[name] = ending.failure.failure_class if ending.failure else None
            asked[name] = len(server.requests) - before
        now[0] = Say("Well.")
        assert (await talk.turn("Do it.")).failure is None, "after all of that it works"
        assert await talk.close() is None
    assert found == {name: class_ for name, (_, class_) in FAULTS.items()}
    assert set(asked.values()) == {1}, "its own retries are turned down"


async def test_an_interrupted_turn_is_cancelled_and_its_command_gone(stage: OpenStage) -> None:
    fifo = stage.box.workspace / "began"
    os.mkfifo(fifo)
    script = conversation([Shell("trap '' INT TERM HUP; echo > began; sleep 3141")], then=Say("end"))
    async with ModelServer(script) as server:
        talk = await gemini_of(server).open(stage.task(), stage)
        turn = asyncio.ensure_future(talk.turn("Do it."))
        await asyncio.wait_for(asyncio.to_thread(fifo.read_text), LIMIT_S)
        await talk.interrupt()
        ending = await asyncio.wait_for(turn, LIMIT_S)
        assert await talk.close() is None
    assert ending.failure is not None
    assert ending.failure.failure_class is F.CANCELLED


@pytest.mark.parametrize("allowed", [True, False])
async def test_it_asks_before_it_runs_anything(stage: OpenStage, *, allowed: bool) -> None:
    stage.answer = Permission(allowed=allowed)
    async with ModelServer(conversation([Shell("touch ran.txt")], then=Say("end"))) as server:
        talk = await gemini_of(server).open(stage.task(ask=True), stage)
        ending = await talk.turn("Do it.")
        assert await talk.close() is None
    assert [question.command for question in stage.asked] == ["touch ran.txt"]
    assert (stage.box.workspace / "ran.txt").exists() == allowed
    assert ending.failure is None


async def test_tokens_are_counted_on_over_turns(stage: OpenStage) -> None:
    script = conversation([Turn(Say("one"), usage=Tokens(1000, 20)), Turn(Say("two"), usage=Tokens(2000, 30))])
    async with ModelServer(script) as server:
        talk = await gemini_of(server).open(stage.task(), stage)
        first, second = await talk.turn("One."), await talk.turn("Two.")
        assert await talk.close() is None
    assert (first.usage.input_tokens, first.usage.output_tokens) == (1000, 20)
    assert (second.usage.input_tokens, second.usage.output_tokens, second.usage.cost_usd) == (3000, 50, None)


async def test_the_repository_s_own_programs_are_not_started(stage: OpenStage) -> None:
    workspace = stage.box.workspace
    (workspace / ".gemini").mkdir()
    servers = f'{{"mcpServers": {{"own": {{"command": "touch", "args": ["{workspace}/started"]}}}}}}'
    (workspace / ".gemini" / "settings.json").write_text(servers)
    async with ModelServer(conversation([Shell("echo wrote > wrote")], then=Say("done"))) as server:
        assert (await whole(gemini_of(server), stage)).failure is None
    assert (workspace / "wrote").exists()
    assert not (workspace / "started").exists()
