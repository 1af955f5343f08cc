"""An attempt that comes to a cap: its turn is stopped, one more is taken within its bounds, and nothing else."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, cast

import pytest

from codeswarm.agents.base import Activity, Conversation, Ending
from codeswarm.domain.results import FailureClass, Usage
from codeswarm.protocol import HandBackOut
from codeswarm.testing.clock import VirtualClock, settle
from codeswarm.worker.stage import WorkerStage
from codeswarm.worker.turns import ASKED, Turns
from tests.unit.worker.test_watch import offer, stage_without_processes

ORDER = HandBackOut(why="2.01 of 2.00 USD of the ticket are spent or set aside", seconds=60, tokens=1000)


class Talker:
    """A conversation that works until it is interrupted, and answers what it is asked then."""

    id = "c1"

    def __init__(
        self, stage: WorkerStage, answer: Callable[[Talker], Any] | None = None, *, deaf: bool = False
    ) -> None:
        self.stage = stage
        self.answer = answer
        self.deaf = deaf
        self.prompts: list[str] = []
        self.interrupts = 0
        self.stopped = asyncio.Event()
        self.done = asyncio.Event()

    async def turn(self, prompt: str) -> Ending:
        self.prompts.append(prompt)
        if prompt == ASKED:
            return await self._last()
        working = [asyncio.ensure_future(event.wait()) for event in (self.stopped, self.done)]
        await asyncio.wait(working, return_when=asyncio.FIRST_COMPLETED)
        if self.done.is_set():
            return Ending(usage=Usage(input_tokens=5), summary="all done")
        return Ending.failed(FailureClass.CANCELLED, "interrupted", usage=Usage(input_tokens=9), summary="half")

    async def _last(self) -> Ending:
        self.stopped.clear()
        if self.answer is not None:
            await self.answer(self)
            return Ending.failed(FailureClass.CANCELLED, "interrupted", summary="cut off")
        return Ending(summary="half is done, the tests are left")

    async def used(self, tokens: int) -> None:
        await self.stage.emit(Activity("usage", data={"input_tokens": tokens}))

    async def interrupt(self) -> None:
        self.interrupts += 1
        if not self.deaf:
            self.stopped.set()


class Scene:
    def __init__(self, answer: Callable[[Talker], Any] | None = None, *, more: bool = True, deaf: bool = False) -> None:
        self.clock = VirtualClock()
        self.stage = stage_without_processes(self.clock, offer())
        self.turns = Turns(self.stage, self.clock, 10, more=more)
        self.talker = Talker(self.stage, answer, deaf=deaf)
        self.running = asyncio.create_task(self.turns.run(cast(Conversation, self.talker), "do it"))

    async def come_to_the_cap(self) -> None:
        await settle()
        await self.turns.tell(ORDER)
        await settle()


async def test_without_a_word_of_caps_a_turn_is_a_turn() -> None:
    scene = Scene()
    await settle()
    scene.talker.done.set()
    assert await scene.running == Ending(usage=Usage(input_tokens=5), summary="all done")
    assert scene.talker.interrupts == 0


async def test_at_a_cap_the_turn_is_stopped_and_one_more_says_what_is_left() -> None:
    scene = Scene()
    await scene.come_to_the_cap()
    ending = await scene.running
    assert ending.failure is not None
    assert ending.failure.failure_class is FailureClass.OVER_BUDGET
    assert ending.failure.message == f"{ORDER.why}\n\nit handed back:\nhalf is done, the tests are left"
    assert scene.talker.prompts == ["do it", ASKED]
    assert ending.summary == "half is done, the tests are left"


async def test_told_over_and_over_it_is_asked_once() -> None:
    scene = Scene()
    for _ in range(3):
        await scene.turns.tell(ORDER)
    await scene.running
    assert scene.talker.prompts.count(ASKED) == 1


async def test_what_was_finished_before_it_could_be_stopped_counts() -> None:
    scene = Scene()
    await settle()
    scene.talker.done.set()
    await settle()
    await scene.turns.tell(ORDER)
    assert (await scene.running).failure is None


async def test_an_agent_whose_conversations_take_one_turn_only_is_stopped_and_asked_nothing() -> None:
    scene = Scene(more=False)
    await scene.come_to_the_cap()
    ending = await scene.running
    assert ending.failure is not None
    assert ending.failure.failure_class is FailureClass.OVER_BUDGET
    assert scene.talker.prompts == ["do it"]


async def _never(talker: Talker) -> None:
    await talker.stopped.wait()


async def test_the_last_turn_is_bounded_in_time() -> None:
    scene = Scene(_never)
    await scene.come_to_the_cap()
    await scene.clock.advance(59.9)
    assert not scene.running.done()
    await scene.clock.advance(0.2)
    assert (await scene.running).failure is not None
    assert scene.talker.interrupts == 2


async def _spend(talker: Talker) -> None:
    for tokens in (10, 500, 999, 1009, 5000):
        await talker.used(tokens)
        await settle()
        if talker.stopped.is_set():
            return
    await talker.stopped.wait()


async def test_the_last_turn_is_bounded_in_tokens() -> None:
    scene = Scene(_spend)
    await settle()
    await scene.talker.used(9)
    await scene.come_to_the_cap()
    ending = await scene.running
    assert scene.clock.monotonic() == 0, "nobody waited for the time"
    assert ending.usage.tokens == 1009


async def test_who_does_not_stop_is_ended_and_asked_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    scene = Scene(deaf=True)
    ended = []

    async def end_all() -> tuple[str, ...]:
        ended.append(scene.clock.monotonic())
        scene.talker.stopped.set()
        return ()

    monkeypatch.setattr(scene.stage, "end_all", end_all)
    await scene.come_to_the_cap()
    await scene.clock.advance(10.1)
    ending = await scene.running
    assert ended == [10]
    assert ending.failure is not None
    assert ending.failure.failure_class is FailureClass.OVER_BUDGET
    assert scene.talker.prompts == ["do it"]


async def test_a_fault_of_ours_within_a_turn_is_raised() -> None:
    clock = VirtualClock()
    stage = stage_without_processes(clock, offer())

    class Broken(Talker):
        async def turn(self, prompt: str) -> Ending:
            raise RuntimeError("a bug")

    turns = Turns(stage, clock, 10, more=True)
    with pytest.raises(RuntimeError, match="a bug"):
        await turns.run(cast(Conversation, Broken(stage)), "do it")
