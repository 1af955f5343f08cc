"""The real Gemini CLI, against a scripted model, is held to the contract of agents."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from codeswarm.agents.base import AgentSpec
from codeswarm.agents.gemini import GeminiAgent
from codeswarm.environment import Environment
from codeswarm.testing.agent_contract import AgentContract, ModelDirector
from codeswarm.testing.model_server import ModelServer
from tests.support.real_clis import CLIS, needs_from_npm, path_with_node


def gemini_of(server: ModelServer, model: str = "gemini-2.5-pro") -> GeminiAgent:
    login = Environment({"PATH": f"{CLIS}:{path_with_node()}", **server.environment("gemini")}).login
    return GeminiAgent(AgentSpec("gemini", model), Path("/"), Path("/nonexistent"), login)


@needs_from_npm("gemini")
class TestGemini(AgentContract):
    @pytest.fixture
    async def director(self) -> AsyncIterator[ModelDirector]:
        director = ModelDirector()
        async with director.server:
            yield director
            director.server.release()

    @pytest.fixture
    def agent(self, director: ModelDirector) -> GeminiAgent:
        return gemini_of(director.server)
