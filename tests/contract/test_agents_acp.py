"""Real ACP agents under the contract of agents, each against the scripted model."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from codeswarm.agents.base import Agent
from codeswarm.testing.agent_contract import AgentContract, ModelDirector
from tests.support.acp_agents import agent_for, needs


class AcpContract(AgentContract):
    kind = ""
    model = ""

    @pytest.fixture
    async def director(self) -> AsyncIterator[ModelDirector]:
        director = ModelDirector()
        async with director.server:
            yield director
            director.server.release()

    @pytest.fixture
    def agent(self, director: ModelDirector) -> Agent:
        return agent_for(self.kind, director.server, self.model)


@needs("claude")
class TestClaudeAgentAcp(AcpContract):
    kind = "claude"
    model = "sonnet"


@needs("codex")
class TestCodexAcp(AcpContract):
    kind = "codex"
    model = "gpt-5.5"


@needs("gemini")
class TestGeminiAcp(AcpContract):
    kind = "gemini"
    model = "gemini-2.5-pro"
