from __future__ import annotations

import asyncio
import json
import os
import stat
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from codeswarm.agents.base import Agent, AgentSpec
from codeswarm.agents.claude import asking
from codeswarm.agents.claude.agent import ClaudeAgent
from codeswarm.agents.command import CommandAgent
from codeswarm.agents.replay.agent import ReplayAgent
from codeswarm.agents.replay.recording import recording_path
from codeswarm.environment import Login
from codeswarm.testing.agent_contract import CONVERSATION, LIMIT_S, AgentContract, Director, ModelDirector
from codeswarm.testing.stage import OpenStage


class TestClaude(AgentContract):
    @pytest.fixture
    async def director(self) -> AsyncIterator[ModelDirector]:
        director = ModelDirector()
        async with director.server:
            yield director
            director.server.release()

    @pytest.fixture
    def agent(self, director: ModelDirector) -> Agent:
        given = director.server.environment("claude")
        names = ("ANTHROPIC_API_KEY", "ANTHROPIC_BASE_URL")
        return ClaudeAgent(AgentSpec("claude"), Login(os.environ["PATH"], {name: given[name] for name in names}))

    async def test_a_question_beyond_all_that_are_open_is_refused_in_words_that_its_model_reads(
        self, agent: Agent, stage: OpenStage, director: ModelDirector, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(asking, "ASKED_MAX", 0)
        conversation = await agent.open(stage.task(conversation=CONVERSATION, ask=True), stage)
        director.writes("refused.txt", "1\n")
        assert (await asyncio.wait_for(conversation.turn("Do ticket 7."), LIMIT_S)).failure is None
        await asyncio.wait_for(conversation.close(), LIMIT_S)
        assert not (stage.box.workspace / "refused.txt").exists()
        assert director.knows("too much is asked at once")


class Hanging:
    """Knows that a program hangs, by a pipe that it opens for writing."""

    def __init__(self, folder: Path) -> None:
        self.fifo = folder / "hangs"
        os.mkfifo(self.fifo)
        self._end = os.open(self.fifo, os.O_RDONLY | os.O_NONBLOCK)

    async def hanging(self) -> None:
        told = asyncio.Event()
        loop = asyncio.get_running_loop()
        loop.add_reader(self._end, told.set)
        try:
            await asyncio.wait_for(told.wait(), LIMIT_S)
        finally:
            loop.remove_reader(self._end)
            os.close(self._end)

    def knows(self, text: str) -> bool:
        raise AssertionError(f"nobody asks whether {text!r} is known of an agent of one turn")


class Script(Hanging):
    """Directs a shell script."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.path = folder / "agent"
        self._becomes("exit 0")

    def _becomes(self, text: str) -> None:
        self.path.write_text(f"#!/bin/sh\necho 'I begin.'\n{text}\n")
        self.path.chmod(self.path.stat().st_mode | stat.S_IXUSR)

    def writes(self, path: str, text: str) -> None:
        self._becomes(f"printf '%s' '{text}' > {path}")

    def fails(self) -> None:
        self._becomes("exit 3")

    def hangs(self) -> None:
        self._becomes(f"echo hangs > {self.fifo}\nexec sleep 1000")


class TestCommand(AgentContract):
    @pytest.fixture
    def director(self, tmp_path: Path) -> Script:
        return Script(tmp_path)

    @pytest.fixture
    def agent(self, director: Script, tmp_path: Path) -> Agent:
        return CommandAgent(AgentSpec("command", str(director.path)), tmp_path, tmp_path)


class Recording(Hanging):
    """Directs the player of recordings. Its hanging is known by what it says before: it takes no other word."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.folder = folder / "recordings"
        self._path = recording_path(self.folder, "t1", "implementation", 2)
        self._path.parent.mkdir(parents=True)

    def _becomes(self, *steps: dict[str, object]) -> None:
        self._path.write_text("".join(json.dumps({"t": 0, **step}) + "\n" for step in steps))

    def writes(self, path: str, text: str) -> None:
        step = {"type": "write", "path": path, "text": text, "mode": "100644"}
        self._becomes({"type": "assistant", "text": "I begin."}, step, {"type": "end", "exit": 0})

    def fails(self) -> None:
        self._becomes({"type": "end", "exit": 1})

    def hangs(self) -> None:
        self._becomes({"type": "write", "path": str(self.fifo), "text": "hangs"}, {"type": "hang"})


class TestReplay(AgentContract):
    @pytest.fixture
    def director(self, tmp_path: Path) -> Director:
        return Recording(tmp_path)

    @pytest.fixture
    def agent(self, director: Recording, tmp_path: Path) -> Agent:
        return ReplayAgent(AgentSpec("replay", str(director.folder)), tmp_path)
