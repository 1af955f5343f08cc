"""What a network and its gateways may say to the real CLIs (`tests.support.hostile_wire`): each has its class."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from codeswarm.agents.api.agent import ApiAgent
from codeswarm.agents.base import Agent, AgentSpec
from codeswarm.agents.claude.agent import ClaudeAgent
from codeswarm.domain.results import FailureClass
from codeswarm.environment import Environment
from codeswarm.testing.agent_contract import LIMIT_S
from codeswarm.testing.model_server import Answer, ModelServer, Request, Say
from codeswarm.testing.stage import OpenStage
from tests.contract.test_agents_gemini import gemini_of
from tests.integration.test_codex_faults import codex_of
from tests.support.hostile_wire import WIRE
from tests.support.real_clis import needs_claude, needs_codex, needs_from_npm

TALK = "00000000-0000-4000-8000-000000000007"


def claude_of(server: ModelServer) -> Agent:
    login = Environment({"PATH": os.defpath, **server.environment("claude")}).login
    return ClaudeAgent(AgentSpec("claude", "sonnet"), login)


def api_of(server: ModelServer) -> Agent:
    login = Environment({"PATH": os.defpath, **server.environment("codex")}).login
    return ApiAgent(AgentSpec("api", "openai/m-1"), login, (0.01,))


AGENTS = [
    pytest.param(claude_of, marks=needs_claude, id="claude"),
    pytest.param(codex_of, marks=needs_codex, id="codex"),
    pytest.param(gemini_of, marks=needs_from_npm("gemini"), id="gemini"),
    pytest.param(api_of, id="api"),
]


@pytest.mark.parametrize("agent_of", AGENTS)
async def test_whatever_the_wire_says_a_turn_ends_in_its_class_and_the_next_one_works(
    tmp_path: Path, agent_of: Callable[[ModelServer], Agent]
) -> None:
    stage, now = OpenStage(tmp_path), list[Answer]([Say("Well.")])

    def script(request: Request) -> Answer:
        return Say("ok") if request.is_side_call else now[0]

    found: dict[str, tuple[FailureClass | None, str]] = {}
    async with ModelServer(script) as server:  # type: ignore[arg-type]
        talk = await agent_of(server).open(stage.task(conversation=TALK), stage)
        for name, (fault, _) in WIRE.items():
            now[0] = fault
            ending = await asyncio.wait_for(talk.turn("Do it."), LIMIT_S)
            found[name] = (ending.failure.failure_class, ending.failure.message) if ending.failure else (None, "")
        now[0] = Say("Well.")
        assert (await asyncio.wait_for(talk.turn("Do it."), LIMIT_S)).failure is None, "after all of that it works"
        assert await talk.close() is None
    assert await stage.end_all() == ()
    assert {name: said for name, said in found.items() if said[0] not in WIRE[name][1]} == {}
