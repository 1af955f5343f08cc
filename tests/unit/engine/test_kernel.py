from __future__ import annotations

import asyncio
import random
from collections.abc import Iterator
from contextlib import aclosing
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings, strategies as st

from codeswarm.domain import commands as cmd, events as ev
from codeswarm.domain.evolve import evolve
from codeswarm.domain.ids import SessionId
from codeswarm.domain.states import SuspendReason
from codeswarm.engine import kernel as kernel_module
from codeswarm.engine.kernel import Kernel, replay
from codeswarm.errors import LedgerBroken, LedgerError, LedgerFull, LedgerUnavailable, Refused, VersionConflict
from codeswarm.ledger.base import Recorded, Reply
from codeswarm.ledger.memory import MemoryLedger
from codeswarm.ledger.sqlite import SqliteLedger
from codeswarm.testing.clock import VirtualClock, settle
from tests.support.kernels import BIG, ONE, TROUBLES, TWO, kernel_on, locked, note, notes, start_command

THREE = SessionId("three")


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[SqliteLedger]:
    ledger = SqliteLedger(tmp_path / "ledger.sqlite3")
    yield ledger
    ledger.close()


def assert_memory_is_what_the_ledger_says(kernel: Kernel, *ids: SessionId) -> None:
    for id_ in ids:
        assert kernel.session(id_) == replay(kernel.ledger, id_)


# ── answers ──


async def test_a_command_is_answered_and_told_only_once_it_is_on_disk(ledger: SqliteLedger) -> None:
    kernel = await kernel_on(ledger, ONE)
    told: list[str] = []
    kernel.observe(lambda records: told.extend(notes(records)))
    with locked(ledger.path):
        command = asyncio.create_task(kernel.execute(ONE, note("said")))
        await settle()
        assert kernel.session(ONE).version == replay(ledger, ONE).version + 1, "the state runs ahead of the disk"
        assert (command.done(), told) == (False, [])
    assert notes(await command) == ["said"]
    assert told == ["said"], "who observes hears of it before who asked for it"
    assert notes(list(ledger.history(ONE))) == ["said"]


async def test_an_answer_of_nothing_new_waits_until_what_it_rests_on_is_on_disk(ledger: SqliteLedger) -> None:
    kernel = await kernel_on(ledger, ONE)
    pause = cmd.SuspendSession(reason=SuspendReason.PAUSED, by="ada")
    with locked(ledger.path):
        first = asyncio.create_task(kernel.execute(ONE, pause))
        again = asyncio.create_task(kernel.execute(ONE, pause))
        await settle()
        assert not again.done()
    assert [record.event.kind for record in await first] == ["SessionSuspended"]
    assert await again == []
    assert await kernel.execute(ONE, pause) == []


@pytest.mark.parametrize("trouble", TROUBLES)
async def test_an_answer_of_nothing_new_fails_with_what_it_rests_on(ledger: SqliteLedger, trouble: str) -> None:
    kernel = await kernel_on(ledger, ONE)
    pause = cmd.SuspendSession(reason=SuspendReason.PAUSED, by="ada", detail=BIG)
    with TROUBLES[trouble](ledger):
        both = await asyncio.gather(*(kernel.execute(ONE, pause) for _ in range(2)), return_exceptions=True)
    assert [isinstance(answer, LedgerUnavailable) for answer in both] == [True, True]
    assert kernel.session(ONE).status == "draft"


async def test_commands_that_wait_for_the_disk_share_a_commit(ledger: SqliteLedger) -> None:
    kernel = await kernel_on(ledger, ONE, TWO)
    groups: list[int] = []
    ledger.listen(lambda records: groups.append(len(records)))
    with locked(ledger.path):
        commands = [
            asyncio.create_task(kernel.execute(id_, note(f"{id_} {number}")))
            for number in range(100)
            for id_ in (ONE, TWO)
        ]
        await settle()
    answers = await asyncio.gather(*commands)
    assert sum(groups) == 200
    assert len(groups) <= 2, "one that had begun, and one with all that came meanwhile"
    assert notes(list(ledger.history(TWO))) == [f"two {number}" for number in range(100)]
    assert [len(answer) for answer in answers] == [1] * 200, "each is told its own events"


async def test_a_refused_command_changes_nothing_and_an_unknown_session_is_told(ledger: SqliteLedger) -> None:
    kernel = await kernel_on(ledger, ONE)
    before = kernel.session(ONE).version
    with pytest.raises(Refused, match="nobody"):
        await kernel.execute(ONE, cmd.HoldTicket(ticket="nobody", by="ada"))
    with pytest.raises(Refused, match="no session 'ghost'"):
        await kernel.execute(SessionId("ghost"), note("to whom"))
    assert (kernel.session(ONE).version, ledger.head()[0]) == (before, before)
    assert [session.id for session in kernel.live_sessions()] == [ONE]


async def test_a_fact_without_a_decision_is_recorded_like_any_other(ledger: SqliteLedger) -> None:
    kernel = await kernel_on(ledger, ONE)
    rejected = ev.CommandRejected(command="HoldTicket", reason="because", hint="", by="ada")
    recorded = await kernel.durable(kernel.record(ONE, rejected))
    assert [record.event for record in recorded] == [rejected]
    assert_memory_is_what_the_ledger_says(kernel, ONE)


async def test_a_reply_is_kept_with_its_events_and_lost_with_them(ledger: SqliteLedger) -> None:
    kernel = await kernel_on(ledger)
    with TROUBLES["disk full"](ledger), pytest.raises(LedgerFull):
        await kernel.execute(ONE, start_command(ONE, *(f"t{i}" for i in range(500))), reply=Reply("key", "first"))
    assert ledger.reply("key") is None
    await kernel.execute(ONE, start_command(ONE), reply=Reply("key", "second"))
    assert ledger.reply("key") == "second"


async def test_a_start_loads_every_session_that_is_not_over(ledger: SqliteLedger) -> None:
    kernel = await kernel_on(ledger, ONE, TWO, THREE)
    await kernel.execute(TWO, cmd.CancelSession(by="ada"))
    again = await kernel_on(ledger)
    assert [session.id for session in again.live_sessions()] == [ONE, THREE]
    assert_memory_is_what_the_ledger_says(again, ONE, TWO, THREE)


# ── a commit that fails ──


@pytest.mark.parametrize("trouble", TROUBLES)
async def test_a_failed_commit_drops_all_that_ran_ahead_and_commands_work_again_once_the_cause_is_gone(
    ledger: SqliteLedger, trouble: str
) -> None:
    kernel = await kernel_on(ledger, ONE, TWO, THREE)
    told: list[Recorded] = []
    kernel.observe(told.extend)
    before = {id_: replay(ledger, id_) for id_ in (ONE, TWO, THREE)}
    with TROUBLES[trouble](ledger):
        failed = await asyncio.gather(
            *(kernel.execute(id_, note(BIG)) for id_ in (ONE, TWO, ONE)), return_exceptions=True
        )
    assert [type(error) for error in failed] == [LedgerFull if trouble == "disk full" else LedgerUnavailable] * 3
    assert {id_: kernel.session(id_) for id_ in before} == before
    assert told == []
    for id_ in (ONE, TWO, THREE):
        assert notes(await kernel.execute(id_, note("again"))) == ["again"]
    assert_memory_is_what_the_ledger_says(kernel, ONE, TWO, THREE)
    assert len(told) == 3


async def test_sessions_that_were_dropped_are_still_live_and_in_their_order(ledger: SqliteLedger) -> None:
    """Those who look for work look at the live sessions alone: one that is missing there would rest for ever."""
    kernel = await kernel_on(ledger, ONE, TWO, THREE)
    with TROUBLES["disk full"](ledger), pytest.raises(LedgerFull):
        await kernel.execute(TWO, note(BIG))
    assert [session.id for session in kernel.live_sessions()] == [ONE, TWO, THREE]
    assert_memory_is_what_the_ledger_says(kernel, TWO)


async def test_a_failure_that_nobody_waits_for_is_made_good_too(ledger: SqliteLedger) -> None:
    kernel = await kernel_on(ledger, ONE)
    with TROUBLES["disk full"](ledger):
        submitted = kernel.submit(ONE, note(BIG))
        while not submitted.failed:
            await asyncio.sleep(0)
        await settle()
    assert notes(await kernel.execute(ONE, note("at once"))) == ["at once"]
    with pytest.raises(LedgerFull):
        await kernel.durable(submitted)
    assert notes(await kernel.execute(ONE, note("after a late look"))) == ["after a late look"]
    assert_memory_is_what_the_ledger_says(kernel, ONE)


async def test_a_late_look_at_an_old_failure_harms_nothing_that_is_on_its_way() -> None:
    """Only the first one to see a failure drops what ran ahead; what came after it stands on firm ground."""
    ledger = MemoryLedger()
    kernel = await kernel_on(ledger, ONE)
    ledger.fail_next = LedgerFull("full", "a test has it so", "codeswarm resume")
    old = kernel.submit(ONE, note("lost"))
    await settle()
    new = kernel.submit(ONE, note("kept"))
    state = kernel.session(ONE)
    with pytest.raises(LedgerFull):
        await kernel.durable(old)
    assert kernel.session(ONE) is state
    assert notes(await kernel.durable(new)) == ["kept"]


async def test_a_session_whose_start_failed_is_not_there_and_can_be_started_again(ledger: SqliteLedger) -> None:
    kernel = await kernel_on(ledger)
    with TROUBLES["write-protected"](ledger), pytest.raises(LedgerUnavailable):
        await kernel.execute(ONE, start_command(ONE))
    assert kernel.live_sessions() == []
    with pytest.raises(Refused, match="no session"):
        kernel.session(ONE)
    await kernel.execute(ONE, start_command(ONE))
    assert [session.id for session in kernel.live_sessions()] == [ONE]


async def test_after_an_io_error_nothing_more_is_written() -> None:
    ledger = MemoryLedger()
    kernel = await kernel_on(ledger, ONE)
    ledger.fail_next = LedgerBroken("the disk failed", "a test has it so", "codeswarm resume")
    for _ in range(3):
        with pytest.raises(LedgerBroken):
            await kernel.execute(ONE, note("never"))
    assert notes(list(ledger.history(ONE))) == []
    assert_memory_is_what_the_ledger_says(kernel, ONE)


async def test_who_decided_on_an_old_version_is_refused_and_then_knows_the_new_one(ledger: SqliteLedger) -> None:
    one, other = await kernel_on(ledger, ONE, TWO), await kernel_on(ledger)
    await one.execute(ONE, note("first"))
    late = [other.submit(ONE, note(f"late {number}")) for number in range(2)]
    elsewhere = other.submit(TWO, note("elsewhere"))
    for submitted in late:
        with pytest.raises(VersionConflict):
            await other.durable(submitted)
    assert notes(await other.durable(elsewhere)) == ["elsewhere"]
    await other.execute(ONE, note("second"))
    assert notes(list(ledger.history(ONE))) == ["first", "second"]
    assert_memory_is_what_the_ledger_says(other, ONE, TWO)


async def test_a_state_that_was_half_changed_is_read_again_with_all_that_is_on_its_way(
    ledger: SqliteLedger, monkeypatch: pytest.MonkeyPatch
) -> None:
    kernel = await kernel_on(ledger, ONE)
    handle = kernel_module.handle

    def contradicts_itself(session: Any, command: cmd.Command, now_ms: int) -> Any:
        evolve(session, ev.Noted(subject="half", what="done"), now_ms)
        raise RuntimeError("the domain contradicts itself")

    with locked(ledger.path):
        before = kernel.submit(ONE, note("before"))
        monkeypatch.setattr(kernel_module, "handle", contradicts_itself)
        with pytest.raises(RuntimeError):
            kernel.submit(ONE, note("breaks"))
        monkeypatch.setattr(kernel_module, "handle", handle)
    await kernel.execute(ONE, note("after"))
    assert notes(await kernel.durable(before)) == ["before"]
    assert notes(list(ledger.history(ONE))) == ["before", "after"]
    assert_memory_is_what_the_ledger_says(kernel, ONE)


Round = tuple[list[int], int | None]


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.lists(st.integers(0, 2), max_size=6), st.none() | st.integers(0, 6)), max_size=8))
def test_whatever_fails_the_acknowledged_is_there_the_failed_is_not_and_memory_agrees(rounds: list[Round]) -> None:
    """Rounds of commands to three sessions at once; in some rounds the ledger fails at the n-th of them."""
    asyncio.run(_play(rounds))


async def _play(rounds: list[Round]) -> None:
    ledger, ids = MemoryLedger(), (ONE, TWO, THREE)
    kernel = await kernel_on(ledger, *ids)
    told: list[Recorded] = []
    kernel.observe(told.extend)
    acknowledged: list[str] = []

    async def say(id_: SessionId, text: str) -> None:
        try:
            await kernel.execute(id_, note(text))
        except LedgerError:
            return
        acknowledged.append(text)

    for number, (targets, fails_at) in enumerate(rounds):
        async with asyncio.TaskGroup() as tasks:
            for place, target in enumerate(targets):
                if place == fails_at:
                    await settle(place % 3)
                    ledger.fail_next = LedgerFull("full", "a test has it so", "codeswarm resume")
                tasks.create_task(say(ids[target], f"{number}.{place}"))
        ledger.fail_next = None
    for id_ in ids:
        await kernel.execute(id_, note("last"))
    recorded = [text for text in notes(ledger.after(0, 1000)) if text != "last"]
    assert sorted(recorded) == sorted(acknowledged)
    assert [record.seq for record in told] == list(range(told[0].seq, ledger.head()[0] + 1))
    assert_memory_is_what_the_ledger_says(kernel, *ids)


# ── subscribers ──


async def take(subscription: Any, count: int) -> list[Recorded]:
    return [await anext(subscription) for _ in range(count)]


async def test_a_subscriber_from_the_middle_gets_the_past_and_then_the_news(ledger: SqliteLedger) -> None:
    kernel = await kernel_on(ledger, ONE)
    head = ledger.head()[0]
    for number in range(5):
        await kernel.execute(ONE, note(str(number)))
    async with aclosing(kernel.subscribe(head + 2)) as events:
        assert notes(await take(events, 3)) == ["2", "3", "4"]
        waiting = asyncio.create_task(anext(events))
        await settle()
        assert not waiting.done(), "there is no more yet"
        await kernel.execute(ONE, note("news"))
        assert notes([await waiting]) == ["news"]


async def test_a_subscriber_to_one_session_hears_nothing_of_the_others(ledger: SqliteLedger) -> None:
    kernel = await kernel_on(ledger, ONE, TWO)
    head = ledger.head()[0]
    async with aclosing(kernel.subscribe(head, TWO)) as events:
        waiting = asyncio.create_task(anext(events))
        await settle()
        await kernel.execute(ONE, note("not for you"))
        await settle()
        assert not waiting.done()
        await kernel.execute(TWO, note("for you"))
        assert notes([await waiting]) == ["for you"]


async def test_a_slow_subscriber_keeps_a_bounded_backlog_in_memory_and_still_misses_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(kernel_module, "BACKLOG", 10)
    monkeypatch.setattr(kernel_module, "PAGE", 7)
    kernel = await kernel_on(MemoryLedger(), ONE)
    head = kernel.ledger.head()[0]
    async with aclosing(kernel.subscribe(head)) as slow:
        await kernel.execute(ONE, note("0"))
        assert notes(await take(slow, 1)) == ["0"]
        for number in range(1, 100):
            await kernel.execute(ONE, note(str(number)))
        assert len(kernel._subscribers[0].queue) <= 11
        assert notes(await take(slow, 99)) == [str(number) for number in range(1, 100)]
    assert kernel._subscribers == []


async def test_an_observer_that_fails_keeps_the_news_from_nobody_else(ledger: SqliteLedger) -> None:
    kernel = await kernel_on(ledger, ONE)
    problems: list[str] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: problems.append(str(context["exception"])))
    told: list[str] = []

    def fails(records: list[Recorded]) -> None:
        raise ValueError("a fault of this observer")

    kernel.observe(fails)
    kernel.observe(lambda records: told.extend(notes(records)))
    async with aclosing(kernel.subscribe(ledger.head()[0])) as events:
        waiting = asyncio.create_task(anext(events))
        await settle()
        await kernel.execute(ONE, note("news"))
        assert notes([await waiting]) == ["news"]
    assert told == ["news"]
    assert problems == ["a fault of this observer"]


Step = tuple[str, int]
steps = st.lists(st.tuples(st.sampled_from(("say", "hurry", "burst", "join", "read", "leave")), st.integers(0, 50)))


@settings(max_examples=150, deadline=None)
@given(steps)
def test_each_subscriber_gets_each_event_once_in_order_without_a_gap(steps: list[Step]) -> None:
    """Two sessions interleave; subscribers come at any number, read in portions, fall behind and catch up."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(kernel_module, "BACKLOG", 4)
        patch.setattr(kernel_module, "PAGE", 3)
        asyncio.run(_Readers().play(steps))


async def test_the_same_holds_on_disk_where_commits_come_from_another_thread(
    ledger: SqliteLedger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kernel_module, "BACKLOG", 4)
    monkeypatch.setattr(kernel_module, "PAGE", 3)
    dice = random.Random(7)
    chosen = [(dice.choice(("say", "hurry", "burst", "join", "read", "read")), dice.randint(0, 50)) for _ in range(120)]
    await _Readers(ledger).play(chosen)


class _Readers:
    """Some readers at once: what each has got so far, and what it should have got."""

    def __init__(self, ledger: SqliteLedger | None = None) -> None:
        self.ledger = ledger or MemoryLedger()
        self.kernel = Kernel(self.ledger, VirtualClock())
        self.readers: list[tuple[int, SessionId | None, Any, list[Recorded]]] = []

    async def play(self, steps: list[Step]) -> None:
        self.kernel.start()
        for id_ in (ONE, TWO):
            await self.kernel.execute(id_, start_command(id_))
        for what, number in steps:
            await getattr(self, f"_{what}")(number)
        for reader in self.readers:
            await self._read_on(reader, 10_000)
            after, session, events, got = reader
            waiting = asyncio.create_task(anext(events))
            await settle(10)
            assert not waiting.done(), "whoever has caught up waits"
            for number in (0, 1):
                await self._say(number)
            got.append(await waiting)
            await self._read_on(reader, 10_000)
            await events.aclose()
            assert got == self.ledger.after(after, 10_000, session)
        assert self.kernel._subscribers == []

    async def _say(self, number: int) -> None:
        await self.kernel.execute((ONE, TWO)[number % 2], note(str(number)))

    async def _hurry(self, number: int) -> None:
        """It is on disk before the loop has had time to tell anyone: who reads now, reads it there first."""
        batch = self.kernel.submit((ONE, TWO)[number % 2], note(str(number))).batch
        self.kernel.flush()
        assert batch is not None
        assert batch.future is not None
        batch.future.result(10)

    async def _burst(self, number: int) -> None:
        """Many at once, without anyone reading in between."""
        submitted = [self.kernel.submit((ONE, TWO)[n % 3 == 0], note(str(n))) for n in range(number)]
        for one in submitted:
            await self.kernel.durable(one)

    async def _join(self, number: int) -> None:
        after = number % (self.ledger.head()[0] + 1)
        session = (None, ONE, TWO)[number % 3]
        self.readers.append((after, session, self.kernel.subscribe(after, session), []))

    async def _read(self, number: int) -> None:
        if self.readers:
            await self._read_on(self.readers[number % len(self.readers)], number % 5)

    async def _leave(self, number: int) -> None:
        if self.readers:
            after, session, events, got = self.readers.pop(number % len(self.readers))
            await events.aclose()
            assert got == self.ledger.after(after, len(got), session)

    async def _read_on(self, reader: tuple[int, SessionId | None, Any, list[Recorded]], most: int) -> None:
        """Read as many as are there, at most `most`."""
        after, session, events, got = reader
        there = len(self.ledger.after(after, 10_000, session)) - len(got)
        got.extend(await take(events, min(most, there)))
