from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings as hypothesis_settings, strategies as st

from codeswarm.domain import commands as cmd, leasing
from codeswarm.domain.ids import SessionId, TicketId, WorkerId
from codeswarm.domain.pipeline import Role
from codeswarm.domain.resting import WISH_MS
from codeswarm.domain.results import Failure, FailureClass, Report
from codeswarm.domain.settings import Bounds, Gates, Leasing
from codeswarm.domain.states import AgentState, SuspendReason
from codeswarm.domain.ticket import TicketSpec
from codeswarm.engine.kernel import Kernel
from codeswarm.engine.leases import Leased, LeaseDesk
from codeswarm.errors import LedgerFull, Refused
from codeswarm.ledger.base import Ledger
from codeswarm.ledger.memory import MemoryLedger
from codeswarm.ledger.sqlite import SqliteLedger
from codeswarm.protocol import VitalSign
from codeswarm.testing.clock import VirtualClock, settle
from tests.support.kernels import ONE, TROUBLES, TWO, claim_command, locked, start_command
from tests.support.sessions import AGENTS, ALL_ROLES, VERIFIERS, commit, settings, spec

THREE = SessionId("three")
UNGATED = settings(gates=Gates(), leasing=Leasing(lease_ttl_s=60), bounds=Bounds(max_interruptions=10_000))


@dataclass
class Desk:
    """A desk with its kernel, and the claims that were made at it."""

    ledger: Ledger
    clock: VirtualClock = field(default_factory=VirtualClock)

    def __post_init__(self) -> None:
        self.kernel = Kernel(self.ledger, self.clock)
        self.desk = LeaseDesk(self.kernel, self.clock)
        self.kernel.start()
        self.desk.start()
        self.tasks: list[asyncio.Task[Leased | None]] = []

    async def begin(self, id_: SessionId, *tickets: str | TicketSpec, gated: bool = False) -> None:
        await self.kernel.execute(id_, start_command(id_, *tickets, settings=settings() if gated else UNGATED))

    async def claim(self, worker: str = "w1", roles: frozenset[Role] = AGENTS, **more: Any) -> Leased | None:
        """What is to be had now."""
        return await self.desk.claim(claim_command(worker, roles, **more), 0)

    def wait(self, worker: str = "w1", wait_s: float = 30, roles: frozenset[Role] = AGENTS, **more: Any) -> Any:
        """A claim that waits."""
        task = asyncio.create_task(self.desk.claim(claim_command(worker, roles, **more), wait_s))
        self.tasks.append(task)
        return task

    async def release(self, leased: Leased, reason: str = "stopped") -> None:
        command = cmd.ReleaseLease(subject=leased.subject, epoch=leased.epoch, reason=reason)
        await self.kernel.execute(leased.session, command)

    async def go_away(self) -> None:
        for task in self.tasks:
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)

    def live_by_the_state(self) -> set[tuple[str, str, int]]:
        live = set()
        for session in self.kernel.live_sessions():
            for ticket in session.tickets.values():
                if ticket.live is not None:
                    live.add((session.id, ticket.id, ticket.epoch))
            live |= {(session.id, gate.id, gate.epoch) for gate in session.gates.values() if gate.live_epoch}
        return live


@pytest.fixture
async def desk() -> AsyncIterator[Desk]:
    desk = Desk(MemoryLedger())
    yield desk
    await desk.go_away()


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[SqliteLedger]:
    ledger = SqliteLedger(tmp_path / "ledger.sqlite3")
    yield ledger
    ledger.close()


# ── claims that wait ──


async def test_what_is_there_is_given_at_once_and_nothing_where_nothing_is(desk: Desk) -> None:
    assert await desk.claim() is None
    await desk.begin(ONE, "a")
    assert await desk.claim() == Leased(ONE, TicketId("a"), 1)
    assert await desk.claim("w2") is None


async def test_who_has_gone_is_decided_about_no_more(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    await desk.begin(ONE, "a")
    await desk.kernel.execute(ONE, cmd.HoldTicket(ticket=TicketId("a"), by="ada"))
    await desk.kernel.execute(ONE, cmd.AttachPerson(ticket=TicketId("a"), by="bob"))
    await desk.clock.advance(WISH_MS / 1000 + 1)
    monkeypatch.setattr(desk.kernel, "submit", lambda *_: pytest.fail("somebody decides"))
    assert await desk.desk.claim(cmd.Claim(worker=WorkerId("w1"), roles=frozenset(), visits=True), 0) is None


async def test_a_waiting_claim_is_served_the_moment_work_appears(desk: Desk) -> None:
    waiting = desk.wait()
    await desk.clock.advance(29)
    assert not waiting.done()
    await desk.begin(ONE, "a")
    assert await waiting == Leased(ONE, TicketId("a"), 1)
    assert desk.clock.monotonic() == 29


async def test_a_claim_waits_no_longer_than_it_said_and_is_forgotten_then(desk: Desk) -> None:
    waiting = desk.wait(wait_s=30)
    await desk.clock.advance(29.999)
    assert not waiting.done()
    await desk.clock.advance(0.001)
    assert waiting.result() is None
    await desk.begin(ONE, "a")
    assert desk.desk.live() == [], "nobody is there who would hold it"


async def test_waiters_are_served_in_the_order_in_which_they_came(desk: Desk) -> None:
    waiting = [desk.wait(f"w{number}") for number in range(3)]
    await settle()
    await desk.begin(ONE, "a", "b", "c")
    await settle()
    assert [task.result().subject for task in waiting] == ["a", "b", "c"]


async def test_a_newcomer_does_not_overtake_those_who_wait(disk: SqliteLedger) -> None:
    """Work is there in memory as soon as it is decided, a commit before the news of it makes the round."""
    desk = Desk(disk)
    first = desk.wait("early")
    await settle()
    with locked(disk.path):
        desk.kernel.submit(ONE, start_command(ONE, "a", settings=UNGATED))
        late = desk.wait("late", wait_s=0)
        await settle()
    assert await first == Leased(ONE, TicketId("a"), 1)
    assert await late is None


async def test_who_can_do_nothing_with_the_work_does_not_keep_it_from_others(desk: Desk) -> None:
    verifier, plain, gpu = desk.wait("v", roles=VERIFIERS), desk.wait("p"), desk.wait("g", labels=frozenset({"gpu"}))
    await settle()
    await desk.begin(ONE, spec("needs-gpu", requires=("gpu",)))
    await settle()
    assert (verifier.done(), plain.done()) == (False, False)
    assert gpu.result() == Leased(ONE, TicketId("needs-gpu"), 1)
    await desk.begin(TWO, "a", gated=True)
    await settle()
    assert (verifier.result().subject, plain.done()) == ("@base-1", False)


async def test_sessions_take_turns_so_that_none_starves_another(desk: Desk) -> None:
    for id_ in (ONE, TWO, THREE):
        await desk.begin(id_, *(f"t{number}" for number in range(3)))
    served = [leased.session for _ in range(9) if (leased := await desk.claim())]
    assert served == [ONE, TWO, THREE] * 3


async def test_the_turn_goes_on_while_sessions_run_dry_and_come_back(desk: Desk) -> None:
    await desk.begin(ONE, "a", "b", "c")
    await desk.begin(TWO, "a")
    served = [await desk.claim() for _ in range(2)]
    await desk.begin(THREE, "a", "b")
    served += [await desk.claim() for _ in range(4)]
    assert sorted(str(leased.session) for leased in served if leased) == ["one"] * 3 + ["three"] * 2 + ["two"]
    assert {leased.session for leased in served[:2] if leased} == {ONE, TWO}


# ── claimants that go away ──


async def test_a_claim_that_is_cancelled_while_it_waits_leaves_its_place_to_the_next(desk: Desk) -> None:
    first, second = desk.wait("w1"), desk.wait("w2")
    await settle()
    first.cancel()
    await settle()
    await desk.begin(ONE, "a")
    await settle()
    assert first.cancelled()
    assert second.result() == Leased(ONE, TicketId("a"), 1)


async def test_who_goes_away_in_the_moment_of_being_served_gives_its_lease_to_the_next(desk: Desk) -> None:
    first, second = desk.wait("w1"), desk.wait("w2")
    await settle()
    desk.kernel.submit(ONE, start_command(ONE, "a", settings=UNGATED))
    desk.desk.serve()
    first.cancel()
    await settle()
    assert first.cancelled()
    assert second.result() == Leased(ONE, TicketId("a"), 2)
    assert desk.desk.live() == [(ONE, "a", 2)]


@pytest.mark.parametrize("waits", [False, True])
async def test_who_goes_away_before_its_lease_is_on_disk_keeps_nothing(disk: SqliteLedger, waits: bool) -> None:
    desk = Desk(disk)
    if not waits:
        await desk.begin(ONE, "a")
    leaving = desk.wait("w1")
    with locked(disk.path):
        if waits:
            await settle()
            desk.kernel.submit(ONE, start_command(ONE, "a", settings=UNGATED))
            desk.desk.serve()
        await settle()
        assert desk.kernel.session(ONE).in_progress, "leased, but nobody was told"
        leaving.cancel()
        await settle()
    assert await desk.wait("w2") == Leased(ONE, TicketId("a"), 2)
    assert leaving.cancelled()
    assert desk.desk.live() == [(ONE, "a", 2)]


async def test_a_lease_whose_commit_failed_is_not_given_back_by_its_first_claimant() -> None:
    """Its epoch may be another's by then."""
    ledger = MemoryLedger()
    desk = Desk(ledger)
    await desk.begin(ONE, "a")
    ledger.fail_next = LedgerFull("full", "a test has it so", "codeswarm resume")
    submission = desk.desk._submit(claim_command("w1"), desk.desk._in_turn())
    assert submission is not None
    await settle()
    second = await desk.claim("w2")
    assert second == Leased(ONE, TicketId("a"), 1)
    desk.desk._take_back(submission, WorkerId("w1"))
    await settle()
    assert desk.desk.live() == [(ONE, "a", 1)]
    assert desk.live_by_the_state() == {(ONE, "a", 1)}


@pytest.mark.parametrize("trouble", TROUBLES)
async def test_a_claim_that_could_not_be_written_fails_and_the_next_one_gets_the_work(
    disk: SqliteLedger, trouble: str
) -> None:
    desk = Desk(disk)
    await desk.begin(ONE, *(f"{number}" for number in range(200)))
    with TROUBLES[trouble](disk):
        claims = [desk.desk.claim(claim_command(f"w{number}"), 0) for number in range(150)]
        failed = await asyncio.gather(*claims, return_exceptions=True)
        assert any(isinstance(answer, Exception) for answer in failed)
    told = {leased for leased in failed if isinstance(leased, Leased)}
    while (leased := await desk.claim("w")) is not None:
        assert leased not in told
        told.add(leased)
    assert len(told) == 200
    assert desk.live_by_the_state() == {(leased.session, leased.subject, leased.epoch) for leased in told}


# ── heartbeats ──


async def test_a_heartbeat_gives_a_full_term_from_its_own_moment(desk: Desk) -> None:
    await desk.begin(ONE, "a")
    await desk.claim()
    assert desk.desk.next_deadline(0) == 60
    await desk.clock.advance(45)
    await desk.desk.heartbeat(ONE, "a", 1, 0, 0)
    assert desk.desk.next_deadline(0) == 105
    await desk.clock.advance(59.999)
    assert desk.desk.overdue() == []
    await desk.clock.advance(0.001)
    assert desk.desk.overdue() == [(ONE, "a", 1)]
    assert desk.desk.next_deadline(desk.clock.monotonic()) is None


async def test_what_an_agent_is_at_is_known_from_its_last_heartbeat_that_told_it(desk: Desk) -> None:
    await desk.begin(ONE, "a")
    await desk.claim()
    assert desk.desk.agents(ONE) == []
    sign = VitalSign(state=AgentState.RUNNING_COMMAND, for_s=60, doing="pytest")
    await desk.desk.heartbeat(ONE, "a", 1, 0, 0, vital=sign)
    await desk.clock.advance(12)
    (agent,) = desk.desk.agents(ONE)
    assert (agent.ticket, agent.epoch, agent.worker, agent.heard_s) == ("a", 1, "w1", 12)
    assert agent.vital == sign.model_copy(update={"for_s": 72})
    assert not agent.silent
    await desk.clock.advance(20)
    assert desk.desk.agents(ONE)[0].silent
    await desk.desk.heartbeat(ONE, "a", 1, 0, 0)
    assert desk.desk.agents()[0].vital.state is AgentState.RUNNING_COMMAND, (
        "a heartbeat that tells nothing changes none"
    )
    assert desk.desk.agents(SessionId("another")) == []
    await desk.kernel.execute(ONE, cmd.ReleaseLease(subject=TicketId("a"), epoch=1, reason="over"))
    await settle()
    assert desk.desk.agents(ONE) == []


async def test_a_heartbeat_waits_for_news_as_long_as_it_said(desk: Desk) -> None:
    await desk.begin(ONE, "a")
    await desk.claim()
    waiting = asyncio.create_task(desk.desk.heartbeat(ONE, "a", 1, 0, 10))
    await desk.clock.advance(9.999)
    assert not waiting.done()
    await desk.clock.advance(0.001)
    assert (waiting.result().cancel, waiting.result().messages) == (None, ())


async def test_a_waiting_heartbeat_hears_of_a_message_to_its_ticket_or_to_all_and_of_no_other(desk: Desk) -> None:
    await desk.begin(ONE, "a", "b")
    await desk.claim()
    await desk.claim("w2")

    async def send(text: str, ticket: str | None) -> None:
        await desk.kernel.execute(
            ONE, cmd.SendMessage(by="ada", text=text, ticket=TicketId(ticket) if ticket else None)
        )
        await settle()

    waiting = asyncio.create_task(desk.desk.heartbeat(ONE, "a", 1, 0, 30))
    await settle()
    await send("for b", "b")
    assert not waiting.done()
    await send("for a", "a")
    assert [(message.number, message.text) for message in waiting.result().messages] == [(2, "for a")]
    await send("for all", None)
    seen_two = await desk.desk.heartbeat(ONE, "a", 1, 2, 30)
    assert [message.text for message in seen_two.messages] == ["for all"]
    other = await desk.desk.heartbeat(ONE, "b", 1, 0, 30)
    assert [message.text for message in other.messages] == ["for b", "for all"]


async def test_every_holder_of_a_session_is_told_to_end_at_once_and_those_of_others_are_not(desk: Desk) -> None:
    await desk.begin(ONE, "a", "b")
    await desk.begin(TWO, "a")
    for _ in range(3):
        await desk.claim()
    waiting = {key: asyncio.create_task(desk.desk.heartbeat(*key, 0, 30)) for key in desk.desk.live()}
    await settle()
    assert desk.desk.cancel_all("stop", ONE) == 2
    await settle()
    assert {key[0]: task.done() for key, task in waiting.items()} == {ONE: True, TWO: False}
    assert {task.result().cancel for key, task in waiting.items() if key[0] == ONE} == {"stop"}
    assert (await desk.desk.heartbeat(ONE, "a", 1, 0, 30)).cancel == "stop", "told again until it has ended"
    assert desk.desk.cancel_all("all") == 3
    assert (await waiting[TWO, TicketId("a"), 1]).cancel == "all"


# ── ends ──

CRASHED = Report(failure=Failure(failure_class=FailureClass.CRASHED, message="it fell over"))
ENDS: dict[str, cmd.Command] = {
    "given back": cmd.ReleaseLease(subject="a", epoch=1, reason="stop"),
    "lost": cmd.LoseLease(subject="a", epoch=1, reason="silent"),
    "completed": cmd.CompleteAttempt(ticket=TicketId("a"), epoch=1, report=CRASHED),
    "ticket cancelled": cmd.CancelTicket(ticket=TicketId("a"), by="ada"),
    "ticket held": cmd.HoldTicket(ticket=TicketId("a"), by="ada"),
    "session cancelled": cmd.CancelSession(by="ada"),
}


@pytest.mark.parametrize("how", ENDS)
async def test_however_a_lease_ends_the_desk_lets_go_of_it_and_its_holder_is_told_at_once(desk: Desk, how: str) -> None:
    await desk.begin(ONE, "a")
    await desk.claim()
    waiting = asyncio.create_task(desk.desk.heartbeat(ONE, "a", 1, 0, 30))
    await settle()
    await desk.kernel.execute(ONE, ENDS[how])
    await settle()
    assert desk.desk.live() == []
    assert desk.live_by_the_state() == set()
    with pytest.raises(Refused, match="over"):
        await waiting
    with pytest.raises(Refused, match="over"):
        await desk.desk.heartbeat(ONE, "a", 1, 0, 0)


async def test_a_gate_that_is_closed_with_its_session_is_let_go(desk: Desk) -> None:
    await desk.begin(ONE, "a", gated=True)
    assert await desk.claim(roles=VERIFIERS) == Leased(ONE, "@base-1", 1)
    assert desk.desk.of_worker(WorkerId("w1")) == [(ONE, "@base-1", 1)]
    await desk.kernel.execute(ONE, cmd.CancelSession(by="ada"))
    await settle()
    assert desk.desk.live() == []


KEY = {"ticket": TicketId("a"), "epoch": 1}
STALE_WORDS: dict[str, cmd.Command] = {
    "prepare": cmd.PrepareAttempt(**KEY, start=commit("start")),
    "start": cmd.StartAttempt(**KEY, sandbox="none"),
    "conversation": cmd.NameConversation(**KEY, conversation="c-7"),
    "gating": cmd.BeginGating(**KEY, commit=commit("head")),
    "snapshot": cmd.RecordSnapshot(**KEY, commit=commit("wip"), files=1),
    "release": cmd.ReleaseLease(subject="a", epoch=1, reason="stop"),
    "lose": cmd.LoseLease(subject="a", epoch=1, reason="silent"),
}


@pytest.mark.parametrize("word", STALE_WORDS)
async def test_a_word_with_an_old_epoch_changes_nothing_for_the_lease_that_lives(desk: Desk, word: str) -> None:
    await desk.begin(ONE, "a")
    old = await desk.claim()
    assert old is not None
    await desk.release(old)
    assert await desk.claim("w2") == Leased(ONE, TicketId("a"), 2)
    before = desk.ledger.head()
    with pytest.raises(Refused) as refused:
        await desk.kernel.execute(ONE, STALE_WORDS[word])
    assert refused.value.http_status == 409
    assert desk.ledger.head() == before
    assert desk.desk.live() == [(ONE, "a", 2)]


async def test_after_a_restart_every_live_lease_has_a_full_term(desk: Desk) -> None:
    await desk.begin(ONE, "a", "b")
    await desk.begin(TWO, "c", gated=True)
    for _ in range(2):
        await desk.claim()
    await desk.claim("v", VERIFIERS)
    await desk.clock.advance(59)
    again = Desk(desk.ledger, desk.clock)
    assert set(again.desk.live()) == {(ONE, "a", 1), (ONE, "b", 1), (TWO, "@base-1", 1)}
    await desk.clock.advance(59.999)
    assert again.desk.overdue() == []
    await desk.clock.advance(0.001)
    assert len(again.desk.overdue()) == 3
    assert again.desk.worker_of((TWO, "@base-1", 1)) == "v"


# ── any order of events ──

moves = st.lists(
    st.tuples(st.sampled_from(("begin", "claim", "claim", "end", "leave", "tick", "pause")), st.integers(0, 1000)),
    max_size=30,
)


@hypothesis_settings(max_examples=60, deadline=None)
@given(moves)
def test_nobody_waits_while_there_is_work_for_them_and_no_lease_is_nobodys(moves: list[tuple[str, int]]) -> None:
    """Claims, ends, departures and sessions in any order, with the loop let run in between now and then."""
    asyncio.run(_Chaos().play(moves))


class _Chaos:
    def __init__(self) -> None:
        self.count = 0
        self.held: set[Leased] = set()

    async def play(self, moves: list[tuple[str, int]]) -> None:
        self.desk = Desk(MemoryLedger())
        for what, number in moves:
            await getattr(self, f"_{what}")(number)
            await settle(number % 4)
            if number % 3 == 0:
                await settle(20)
                self.check()
        await settle(20)
        self.check()
        await self.desk.go_away()

    def check(self) -> None:
        for task in list(self.desk.tasks):
            if task.done():
                self.desk.tasks.remove(task)
                if not task.cancelled() and (leased := task.result()) is not None:
                    assert leased not in self.held
                    self.held.add(leased)
        keys = {(leased.session, leased.subject, leased.epoch) for leased in self.held}
        assert set(self.desk.desk.live()) == self.desk.live_by_the_state() == keys
        if self.desk.tasks:
            now_ms = self.desk.clock.now_ms()
            assert [w for s in self.desk.kernel.live_sessions() for w in leasing.work(s, now_ms)] == []

    async def _begin(self, number: int) -> None:
        self.count += 1
        id_ = SessionId(f"s{self.count}")
        tickets = (f"t{place}" for place in range(number % 3 + 1))
        self.desk.kernel.submit(id_, start_command(id_, *tickets, settings=UNGATED))

    async def _claim(self, number: int) -> None:
        self.desk.wait(f"w{number % 3}", number % 5 * 3, ALL_ROLES)

    async def _end(self, number: int) -> None:
        """Some lease that is held comes to an end."""
        await settle(20)
        self.check()
        if self.held:
            leased = sorted(self.held, key=repr)[number % len(self.held)]
            self.held.remove(leased)
            self.desk.kernel.submit(
                leased.session, cmd.ReleaseLease(subject=leased.subject, epoch=leased.epoch, reason="stop")
            )

    async def _leave(self, number: int) -> None:
        waiting = [task for task in self.desk.tasks if not task.done()]
        if waiting:
            waiting[number % len(waiting)].cancel()

    async def _tick(self, number: int) -> None:
        await self.desk.clock.advance(number % 4)

    async def _pause(self, number: int) -> None:
        """Somebody pauses a session, or lets it go on."""
        sessions = self.desk.kernel.live_sessions()
        if sessions:
            session = sessions[number % len(sessions)]
            paused = session.status == "suspended"
            wish = cmd.ResumeSession(by="ada") if paused else cmd.SuspendSession(reason=SuspendReason.PAUSED, by="ada")
            self.desk.kernel.submit(session.id, wish)
