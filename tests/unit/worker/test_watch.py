"""The watch over a running attempt, on virtual time: nothing here sleeps."""

from __future__ import annotations

import asyncio
from typing import Any, cast

import pytest

from codeswarm.agents.base import Activity
from codeswarm.clock import Clock
from codeswarm.domain.pipeline import Role
from codeswarm.domain.results import FailureClass, Usage
from codeswarm.domain.settings import Patience, WorkspaceSettings
from codeswarm.domain.states import AgentState
from codeswarm.egress.base import Endpoint
from codeswarm.errors import CodeswarmError, RouterUnreachable
from codeswarm.protocol import (
    DeliveredRequest,
    HandBackOut,
    Heartbeat,
    MessageOut,
    Offer,
    Problem,
    PulseOut,
    VitalSign,
    WorkspaceOrder,
)
from codeswarm.router_client import RouterRefused
from codeswarm.testing.clock import VirtualClock, settle
from codeswarm.worker.line import Line
from codeswarm.worker.processes import Tables
from codeswarm.worker.stage import WorkerStage
from codeswarm.worker.vitals import Vitals
from codeswarm.worker.watch import Stop, Watch, keep_alive

F = FailureClass


def offer(**fields: Any) -> Offer:
    least = {
        "id": "s1:a:1",
        "session": "s1",
        "subject": "a",
        "epoch": 1,
        "role": Role.IMPLEMENTER,
        "ttl_s": 60,
        "heartbeat_s": 10,
        "attempt_timeout_s": 7200,
        "workspace": WorkspaceOrder(repository="", objects="", settings=WorkspaceSettings()),
    }
    return Offer(**{**least, **fields})


class FarEnd:
    """The router at the other end of the line: it waits as long as it is asked to, or answers what a test says."""

    def __init__(self, clock: VirtualClock) -> None:
        self._clock = clock
        self.beats: list[Heartbeat] = []
        self.answers: asyncio.Queue[PulseOut | Exception] = asyncio.Queue()
        self.delivered_messages: list[int] = []

    async def heartbeat(self, lease: str, body: Heartbeat) -> PulseOut:
        self.beats.append(body)
        asked = asyncio.create_task(self.answers.get())
        timer = asyncio.create_task(self._clock.sleep(body.wait_s))
        try:
            await asyncio.wait({asked, timer}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            timer.cancel()
        if not asked.done():
            asked.cancel()
            return PulseOut()
        if isinstance(asked.result(), Exception):
            raise cast(Exception, asked.result())
        return cast(PulseOut, asked.result())

    async def delivered(self, lease: str, body: DeliveredRequest) -> None:
        self.delivered_messages.append(body.message)


class Silent:
    """A transcript that keeps nothing."""

    def write(self, activity: Activity) -> None:
        """Nothing is kept."""


def stage_without_processes(clock: Clock, offered: Offer) -> WorkerStage:
    """That of an agent that is up, and of which nothing can be seen from outside."""
    anything, vitals = cast(Any, None), Vitals(offered.patience, clock.monotonic())
    vitals.started(clock.monotonic())
    return WorkerStage(anything, anything, {}, cast(Any, Silent()), clock, anything, vitals, Tables())


class Scene:
    def __init__(self, *, takes_words: bool = True, **fields: Any) -> None:
        self.clock = VirtualClock()
        self.far_end = FarEnd(self.clock)
        self.line = cast(Line, self.far_end)
        self.stage = stage_without_processes(self.clock, offer(**fields))
        self.takes_words = takes_words
        self.words: list[str] = []
        self.snapshots = 0
        self.changed = False
        self.failure: Exception | None = None
        self.watch = Watch(
            offer(**fields),
            self.line,
            self.stage,
            self.clock,
            self.snapshot,
            messages_seen=0,
            say=self.say,
        )

    async def say(self, text: str) -> bool:
        if self.takes_words:
            self.words.append(text)
        return self.takes_words

    async def snapshot(self) -> bool:
        self.snapshots += 1
        if self.failure is not None:
            raise self.failure
        return self.changed


def refused(status: int) -> RouterRefused:
    return RouterRefused(Problem(title="no", status=status))


@pytest.mark.parametrize(("header", "free"), [("", True), ("x-api-key", False)])
async def test_what_a_key_pays_is_no_subscriptions_whatever_an_agent_tells(header: str, free: bool) -> None:
    stage = stage_without_processes(VirtualClock(), offer())
    stage.reach(Endpoint("https://model.example", header, "sk-1234567890" if header else ""))
    await stage.emit(Activity("rate_limit", data={"five_hour": {"utilization": 0.1}}))
    assert stage.used(Usage(cost_usd=500.0)).subscription is free


async def test_however_many_windows_an_agent_tells_of_a_heartbeat_can_hold_them() -> None:
    stage = stage_without_processes(VirtualClock(), offer())
    for number in range(3):
        told = {f"w{number}-{each}": {"utilization": 0.5} for each in range(1000)}
        await stage.emit(Activity("rate_limit", data=told))
    assert Heartbeat(epoch=1, windows=tuple(stage.windows.values())).windows


async def test_the_heart_beats_as_often_as_it_is_told_to_and_no_oftener() -> None:
    scene = Scene(heartbeat_s=10)
    watching = asyncio.create_task(scene.watch.run())
    await scene.clock.advance(95)
    assert len(scene.far_end.beats) == 10
    spawning = VitalSign(state=AgentState.SPAWNING, for_s=0)
    assert scene.far_end.beats[0] == Heartbeat(epoch=1, messages_seen=0, wait_s=10, vital=spawning)
    watching.cancel()


async def test_each_heartbeat_tells_what_the_agent_is_at_and_since_when() -> None:
    scene = Scene(heartbeat_s=10)
    watching = asyncio.create_task(scene.watch.run())
    await scene.clock.advance(2)
    await scene.stage.emit(Activity("command_started", "pytest -q"))
    await scene.clock.advance(18)
    running = VitalSign(state=AgentState.RUNNING_COMMAND, for_s=18, doing="pytest -q")
    assert scene.far_end.beats[-1].vital == running
    watching.cancel()


async def test_time_spent_waiting_for_others_does_not_count_for_the_whole() -> None:
    scene = Scene(attempt_timeout_s=100)
    watching = asyncio.create_task(scene.watch.run())
    await scene.clock.advance(90)
    scene.stage.vitals.asked(scene.clock.monotonic())
    await scene.clock.advance(5000)
    scene.stage.vitals.answered(scene.clock.monotonic())
    await scene.clock.advance(9.9)
    assert not watching.done()
    await scene.clock.advance(0.2)
    assert watching.result().failure_class is F.TIMED_OUT


async def test_a_heart_that_rests_for_longer_than_a_request_may_wait_beats_all_the_same() -> None:
    scene = Scene(heartbeat_s=400, ttl_s=1200)
    watching = asyncio.create_task(scene.watch.run())
    await scene.clock.advance(1)
    assert not watching.done()
    assert scene.far_end.beats[0].wait_s == 60
    watching.cancel()


@pytest.mark.parametrize(
    "error", [refused(409), refused(404), RouterUnreachable("gone", "a test has it so", "codeswarm resume")]
)
async def test_a_lease_that_is_lost_stops_the_attempt_and_nothing_more_is_reported(error: Exception) -> None:
    scene = Scene()
    scene.far_end.answers.put_nowait(error)
    stop = await asyncio.wait_for(scene.watch.run(), 10)
    assert (stop.failure_class, stop.lost) == (F.LOST, True)


async def test_a_cancellation_stops_the_attempt_with_its_reason() -> None:
    scene = Scene()
    scene.far_end.answers.put_nowait(PulseOut(cancel="stop --now"))
    assert await scene.watch.run() == Stop(F.CANCELLED, "stop --now")


async def test_each_heartbeat_tells_the_newest_figures_and_none_where_nothing_is_known() -> None:
    scene = Scene(heartbeat_s=10)
    watching = asyncio.create_task(scene.watch.run())
    await scene.clock.advance(5)
    await scene.stage.emit(Activity("usage", data={"input_tokens": 7, "cost_usd": 0.25}))
    await scene.clock.advance(10)
    assert [beat.usage for beat in scene.far_end.beats] == [None, Usage(input_tokens=7, cost_usd=0.25)]
    watching.cancel()


async def test_that_a_cap_is_reached_is_heard_once_and_said_to_be_heard() -> None:
    told: list[str] = []

    async def hand_back(order: HandBackOut) -> None:
        told.append(order.why)

    scene = Scene()
    keeping = asyncio.create_task(keep_alive(scene.line, offer(), hand_back=hand_back))
    order = HandBackOut(why="it is used up", seconds=60, tokens=10)
    for _ in range(2):
        scene.far_end.answers.put_nowait(PulseOut(hand_back=order))
    await settle()
    assert told == ["it is used up"]
    assert [beat.handing_back for beat in scene.far_end.beats] == [False, True, True]
    keeping.cancel()


async def test_words_are_carried_in_once_and_acknowledged() -> None:
    scene = Scene()
    watching = asyncio.create_task(scene.watch.run())
    messages = tuple(MessageOut(number=number, by="ada", text=f"word {number}") for number in (3, 7))
    scene.far_end.answers.put_nowait(PulseOut(messages=messages))
    await settle()
    assert ["word 3" in scene.words[0], "word 7" in scene.words[1]] == [True, True]
    assert scene.far_end.delivered_messages == [3, 7]
    assert scene.far_end.beats[-1].messages_seen == 7
    watching.cancel()


async def test_words_for_an_agent_that_takes_none_are_left_for_the_next_attempt() -> None:
    scene = Scene(takes_words=False)
    watching = asyncio.create_task(scene.watch.run())
    scene.far_end.answers.put_nowait(PulseOut(messages=(MessageOut(number=1, by="ada", text="word"),)))
    await settle()
    assert scene.words == []
    assert scene.far_end.delivered_messages == []
    assert scene.far_end.beats[-1].messages_seen == 1, "and the router is not asked for them over and over"
    watching.cancel()


async def test_an_attempt_that_takes_too_long_is_timed_out_to_the_second() -> None:
    scene = Scene(attempt_timeout_s=100)
    watching = asyncio.create_task(scene.watch.run())
    await scene.clock.advance(99.9)
    assert not watching.done()
    await scene.clock.advance(0.1)
    assert watching.result() == Stop(F.TIMED_OUT, "the attempt did not end within 100 s")


async def test_an_agent_that_says_nothing_and_changes_nothing_is_hung() -> None:
    scene = Scene(patience=Patience(thinking_s=60))
    watching = asyncio.create_task(scene.watch.run())
    await scene.clock.advance(59)
    await scene.stage.emit(Activity("output", "a word"))
    await scene.clock.advance(59)
    assert not watching.done()
    await scene.clock.advance(1)
    assert watching.result().failure_class is F.HUNG


async def test_files_that_change_are_a_sign_of_life() -> None:
    scene = Scene(patience=Patience(thinking_s=60), heartbeat_s=10)
    scene.changed = True
    watching = asyncio.create_task(scene.watch.run())
    await scene.clock.advance(600)
    assert not watching.done()
    scene.changed = False
    await scene.clock.advance(60)
    assert watching.done()


async def test_snapshots_are_taken_at_heartbeats_and_at_the_end_of_each_turn() -> None:
    scene = Scene(heartbeat_s=10)
    watching = asyncio.create_task(scene.watch.run())
    await scene.clock.advance(30)
    assert scene.snapshots == 3
    await scene.stage.emit(Activity("turn"))
    await settle()
    assert scene.snapshots == 4
    watching.cancel()


async def test_a_snapshot_that_fails_is_made_up_for_by_the_next_but_not_under_a_lease_that_is_over() -> None:
    scene = Scene(heartbeat_s=10)
    scene.failure = CodeswarmError("the disk is full", "no room", "codeswarm du")
    watching = asyncio.create_task(scene.watch.run())
    await scene.clock.advance(30)
    assert (scene.snapshots, watching.done()) == (3, False)
    scene.failure = refused(409)
    await scene.clock.advance(10)
    assert watching.result().lost


async def test_when_it_is_cancelled_nothing_of_it_is_left() -> None:
    scene = Scene()
    watching = asyncio.create_task(scene.watch.run())
    await scene.clock.advance(1)
    watching.cancel()
    await asyncio.gather(watching, return_exceptions=True)
    await settle()
    assert scene.clock.next_wake_s is None


async def test_of_several_reasons_at_once_a_lost_lease_counts_first() -> None:
    scene = Scene(attempt_timeout_s=10, patience=Patience(thinking_s=10), heartbeat_s=10)
    watching = asyncio.create_task(scene.watch.run())
    await scene.clock.advance(9)
    scene.far_end.answers.put_nowait(refused(409))
    await scene.clock.advance(1)
    assert watching.result().lost


async def test_a_gate_is_kept_alive_without_anyone_to_hear() -> None:
    clock = VirtualClock()
    far_end = FarEnd(clock)
    keeping = asyncio.create_task(keep_alive(cast(Line, far_end), offer()))
    await clock.advance(25)
    assert len(far_end.beats) == 3
    far_end.answers.put_nowait(PulseOut(cancel="the session was cancelled"))
    assert (await keeping).reason == "the session was cancelled"
