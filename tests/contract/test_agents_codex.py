"""The real Codex, against a scripted model, is held to the contract of agents."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator

import pytest

from codeswarm.agents.base import AgentSpec
from codeswarm.agents.codex.agent import CodexAgent
from codeswarm.environment import Login
from codeswarm.testing.agent_contract import AgentContract, ModelDirector
from codeswarm.vendors import OPENAI
from tests.support.real_clis import needs_codex


@needs_codex
class TestCodex(AgentContract):
    @pytest.fixture
    async def director(self) -> AsyncIterator[ModelDirector]:
        director = ModelDirector()
        async with director.server:
            yield director

    @pytest.fixture
    def agent(self, director: ModelDirector) -> CodexAgent:
        given = director.server.environment("codex")
        keys = {name: given[name] for name in OPENAI.variables}
        return CodexAgent(AgentSpec("codex", "gpt-5.5"), Login(os.defpath, {}, keys))
