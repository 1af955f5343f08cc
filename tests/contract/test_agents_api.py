"""`api:` under the contract of agents, on both wires that it speaks."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator

import pytest

from codeswarm.agents.api.agent import ApiAgent
from codeswarm.agents.base import Agent, AgentSpec
from codeswarm.environment import Login
from codeswarm.testing.agent_contract import AgentContract, ModelDirector


class ApiContract(AgentContract):
    @pytest.fixture
    async def director(self) -> AsyncIterator[ModelDirector]:
        director = ModelDirector()
        async with director.server:
            yield director
            director.server.release()


class TestAnthropicMessages(ApiContract):
    @pytest.fixture
    def agent(self, director: ModelDirector) -> Agent:
        keys = director.server.environment("claude")
        return ApiAgent(AgentSpec("api", "claude-m-1"), Login(os.environ["PATH"], {}, keys), pauses_s=(0, 0))


class TestChatCompletions(ApiContract):
    @pytest.fixture
    def agent(self, director: ModelDirector) -> Agent:
        keys = {"OPENAI_BASE_URL": f"{director.server.url}/v1"}
        return ApiAgent(AgentSpec("api", "m-1"), Login(os.environ["PATH"], {}, keys), pauses_s=(0, 0))
