"""What every agent does. Subclass `AgentContract` with the fixtures `agent` and `director`.

A `Director` says what the agent's next turns bring. `ModelDirector` is one for whatever asks a model over HTTP: a
scripted model answers in its place.
"""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Protocol

import pytest

from codeswarm.agents.base import Agent, Conversation, Ending, Permission
from codeswarm.domain.results import FailureClass
from codeswarm.sandbox.marks import marked
from codeswarm.testing.model_server import HangBeforeHeaders, ModelServer, Refuse, Reply, Request, Say, Shell, written
from codeswarm.testing.stage import OpenStage

LIMIT_S = 120.0
"""By which everything that must come to its end by itself has; far more than it takes."""


class Director(Protocol):
    """What the agent under test does in its next turn, whatever it is told."""

    def writes(self, path: str, text: str) -> None:
        """It makes a file in the workspace, says something, and ends well."""

    def fails(self) -> None:
        """It can't do what it is told."""

    def hangs(self) -> None:
        """It begins, and does not end by itself."""

    async def hanging(self) -> None:
        """Wait until it does."""

    def knows(self, text: str) -> bool:
        """Whether what it was last told, in this turn or an earlier one of its conversation, holds `text`."""
        ...


class ModelDirector:
    """Directs an agent through its model. `script` is the scripted server's."""

    def __init__(self) -> None:
        self.server = ModelServer(self.script)
        self._file: tuple[str, str] | None = None
        self._fault: Reply | None = None
        self._turns_before = 0
        self._last: Request | None = None

    def script(self, request: Request) -> Reply:
        if request.is_side_call:
            return Say("ok")
        self._last = request
        if self._fault is not None:
            return self._fault
        if self._file is not None:
            path, text = self._file
            self._file = None
            return Shell(written(path, text))
        return Say("It is done.")

    def writes(self, path: str, text: str) -> None:
        self._file, self._fault = (path, text), None

    def fails(self) -> None:
        self._fault = Refuse(409, "no such thing will be done")

    def hangs(self) -> None:
        self._fault = HangBeforeHeaders()

    async def hanging(self) -> None:
        await self.server.hanging()

    def knows(self, text: str) -> bool:
        return self._last is not None and text in self._last.text


class AgentContract:
    @pytest.fixture
    def agent(self) -> Agent:
        raise NotImplementedError("give the suite a fixture `agent`")

    @pytest.fixture
    def director(self) -> Director:
        raise NotImplementedError("give the suite a fixture `director`")

    @pytest.fixture
    async def stage(self, tmp_path: Path) -> AsyncIterator[OpenStage]:
        stage = OpenStage(tmp_path)
        yield stage
        assert await stage.end_all() == ()

    async def test_it_is_found_to_work(self, agent: Agent) -> None:
        health = agent.check()
        assert health.works, health.what
        assert "\n" not in health.what

    async def test_a_turn_does_what_it_is_told_and_says_so(
        self, agent: Agent, stage: OpenStage, director: Director
    ) -> None:
        director.writes("made.txt", "as told\n")
        assert (await whole(agent, stage)).failure is None
        assert (stage.box.workspace / "made.txt").read_text() == "as told\n"
        assert stage.said
        understood = [activity for activity in stage.said if activity.type != "output"]
        assert not understood or any(activity.raw for activity in understood), "lines stand beside what they mean"

    async def test_a_turn_that_fails_is_an_ending_and_no_exception(
        self, agent: Agent, stage: OpenStage, director: Director
    ) -> None:
        director.fails()
        ending = await whole(agent, stage)
        assert ending.failure is not None
        assert ending.failure.message

    async def test_an_interrupted_turn_ends_and_is_no_success(
        self, agent: Agent, stage: OpenStage, director: Director
    ) -> None:
        director.hangs()
        conversation = await agent.open(stage.task(conversation=CONVERSATION), stage)
        turn = await hanging_turn(conversation, director)
        await conversation.interrupt()
        ending = await asyncio.wait_for(turn, LIMIT_S)
        closed = await asyncio.wait_for(conversation.close(), LIMIT_S)
        assert ending.failure or closed

    async def test_a_killed_program_is_noticed_in_the_middle_of_its_turn(
        self, agent: Agent, stage: OpenStage, director: Director
    ) -> None:
        director.hangs()
        conversation = await agent.open(stage.task(conversation=CONVERSATION), stage)
        turn = await hanging_turn(conversation, director)
        for pid in marked(stage.box.name):
            os.kill(pid, signal.SIGKILL)
        failure = (await asyncio.wait_for(turn, LIMIT_S)).failure
        assert failure is not None
        assert failure.failure_class in (FailureClass.LOST, FailureClass.CRASHED)
        await asyncio.wait_for(conversation.close(), LIMIT_S)

    async def test_words_are_taken_by_a_running_turn_alone(
        self, agent: Agent, stage: OpenStage, director: Director
    ) -> None:
        director.hangs()
        conversation = await agent.open(stage.task(conversation=CONVERSATION), stage)
        assert not await conversation.say("Too early.")
        turn = await hanging_turn(conversation, director)
        assert await conversation.say("Mind the gap.") == agent.can.inject
        await stage.end_all()
        await asyncio.wait_for(turn, LIMIT_S)
        assert not await conversation.say("Too late.")
        await conversation.close()

    async def test_closing_twice_is_closing_once_and_leaves_no_process(
        self, agent: Agent, stage: OpenStage, director: Director
    ) -> None:
        director.writes("made.txt", "as told\n")
        conversation = await agent.open(stage.task(conversation=CONVERSATION), stage)
        await conversation.turn("Do ticket 7.")
        assert await conversation.close() == await conversation.close() is None
        assert marked(stage.box.name) == []

    async def test_a_turn_that_is_given_up_holds_nobody_up(
        self, agent: Agent, stage: OpenStage, director: Director
    ) -> None:
        director.hangs()
        conversation = await agent.open(stage.task(conversation=CONVERSATION), stage)
        turn = await hanging_turn(conversation, director)
        turn.cancel()
        await asyncio.wait({turn})
        await stage.end_all()
        await asyncio.wait_for(conversation.close(), LIMIT_S)

    async def test_a_second_turn_knows_the_first_and_counts_on(
        self, agent: Agent, stage: OpenStage, director: Director
    ) -> None:
        if not agent.can.turns:
            pytest.skip(f"{agent.spec} takes one turn a conversation")
        conversation = await agent.open(stage.task(conversation=CONVERSATION), stage)
        director.writes("first.txt", "1\n")
        first = await conversation.turn("The first word.")
        director.writes("second.txt", "2\n")
        second = await conversation.turn("The second word.")
        assert await conversation.close() is None
        assert (first.failure, second.failure) == (None, None)
        assert director.knows("The first word.")
        assert (stage.box.workspace / "second.txt").read_text() == "2\n"
        assert (second.usage.tokens or 0) >= (first.usage.tokens or 0)

    async def test_a_later_conversation_goes_on_with_an_earlier_one(
        self, agent: Agent, stage: OpenStage, director: Director
    ) -> None:
        if not agent.can.resume:
            pytest.skip(f"{agent.spec} does not go on in an earlier conversation")
        director.writes("first.txt", "1\n")
        conversation = await agent.open(stage.task(conversation=CONVERSATION), stage)
        assert (await conversation.turn("The first word.")).failure is None
        assert await conversation.close() is None
        again = await agent.open(stage.task(conversation=conversation.id, resume=True), stage)
        director.writes("second.txt", "2\n")
        assert (await again.turn("The second word.")).failure is None
        assert await again.close() is None
        assert director.knows("The first word.")

    async def test_a_conversation_that_was_never_kept_is_begun_anew(
        self, agent: Agent, stage: OpenStage, director: Director
    ) -> None:
        """Whoever was killed at its first word has written nothing down."""
        if not agent.can.resume:
            pytest.skip(f"{agent.spec} does not go on in an earlier conversation")
        director.writes("made.txt", "as told\n")
        conversation = await agent.open(stage.task(conversation=CONVERSATION, resume=True), stage)
        assert (await asyncio.wait_for(conversation.turn("Do ticket 7."), LIMIT_S)).failure is None
        assert await asyncio.wait_for(conversation.close(), LIMIT_S) is None
        assert (stage.box.workspace / "made.txt").read_text() == "as told\n"

    async def test_what_is_allowed_is_asked_about_once_and_done(
        self, agent: Agent, stage: OpenStage, director: Director
    ) -> None:
        if not agent.can.ask:
            pytest.skip(f"{agent.spec} can't be made to ask")
        conversation = await agent.open(stage.task(conversation=CONVERSATION, ask=True), stage)
        director.writes("allowed.txt", "1\n")
        assert (await asyncio.wait_for(conversation.turn("Do ticket 7."), LIMIT_S)).failure is None
        (asked,) = stage.asked
        assert "allowed.txt" in asked.command
        assert asked.id
        assert (stage.box.workspace / "allowed.txt").exists()
        assert await conversation.close() is None

    async def test_what_is_not_allowed_is_not_done_and_the_agent_is_told_why(
        self, agent: Agent, stage: OpenStage, director: Director
    ) -> None:
        if not agent.can.ask:
            pytest.skip(f"{agent.spec} can't be made to ask")
        stage.answer = Permission(allowed=False, why="the moon is full")
        conversation = await agent.open(stage.task(conversation=CONVERSATION, ask=True), stage)
        director.writes("refused.txt", "1\n")
        await asyncio.wait_for(conversation.turn("Do ticket 7."), LIMIT_S)
        await asyncio.wait_for(conversation.close(), LIMIT_S)
        assert len(stage.asked) == 1
        assert not (stage.box.workspace / "refused.txt").exists()
        assert not agent.can.turns or director.knows("the moon is full")

    async def test_nothing_is_asked_where_nobody_wants_to_be_asked(
        self, agent: Agent, stage: OpenStage, director: Director
    ) -> None:
        director.writes("made.txt", "1\n")
        assert (await whole(agent, stage)).failure is None
        assert stage.asked == []


CONVERSATION = "2b6f4c1e-6f0a-4c39-9a57-6f2f1a8f6f01"


async def whole(agent: Agent, stage: OpenStage, prompt: str = "Do ticket 7.") -> Ending:
    """A conversation of one turn, as a worker has it: what its end tells counts, too."""
    conversation = await agent.open(stage.task(prompt, conversation=CONVERSATION), stage)
    ending = await asyncio.wait_for(conversation.turn(prompt), LIMIT_S)
    failure = await asyncio.wait_for(conversation.close(), LIMIT_S)
    return ending if ending.failure is not None else Ending(failure, ending.usage, ending.summary)


async def hanging_turn(conversation: Conversation, director: Director) -> asyncio.Task[Ending]:
    """A turn that has begun to hang. Raises: AssertionError for one that ends instead."""
    turn = asyncio.ensure_future(conversation.turn("Do ticket 7."))
    hanging = asyncio.ensure_future(director.hanging())
    async with asyncio.timeout(LIMIT_S):
        await asyncio.wait({turn, hanging}, return_when=asyncio.FIRST_COMPLETED)
    if turn.done():
        hanging.cancel()
        raise AssertionError(f"it was to hang, and ended: {turn.result()}")
    return turn
