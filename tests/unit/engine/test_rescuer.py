from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from codeswarm.domain import commands as cmd
from codeswarm.domain.ids import SessionId, TicketId
from codeswarm.domain.results import GateCommand
from codeswarm.domain.settings import Bounds, Gates, Leasing, Policy, Until
from codeswarm.engine.kernel import Kernel
from codeswarm.engine.leases import LeaseDesk
from codeswarm.engine.rescuer import LONGEST_S, Rescuer
from codeswarm.engine.room import FIRST_PAUSE_S, Room
from codeswarm.errors import CodeswarmError, LedgerBroken, LedgerFull
from codeswarm.ledger.memory import MemoryLedger
from codeswarm.testing.clock import VirtualClock, settle
from tests.support.kernels import ONE, claim_command, start_command
from tests.support.sessions import AGENTS, VERIFIERS, settings

TTL_S = 60.0
BACKOFF = Bounds(backoff_base_s=8, backoff_max_s=300, backoff_jitter=0, max_interruptions=50)
UNGATED = settings(gates=Gates(), leasing=Leasing(lease_ttl_s=TTL_S), bounds=BACKOFF)
DAY_S = 86_400


class Watch:
    """Kernel, desk and rescuer on one virtual clock; the rescuer runs."""

    def __init__(self, folder: Path) -> None:
        self.clock, self.ledger = VirtualClock(), MemoryLedger()
        self.kernel = Kernel(self.ledger, self.clock)
        self.desk = LeaseDesk(self.kernel, self.clock)
        self.told: list[CodeswarmError | None] = []
        self.room = Room((folder,), self.clock, self.told.append, self.desk.renew)
        self.rescuer = Rescuer(self.kernel, self.desk, self.clock, self.room)
        self.kernel.start()
        self.desk.start()
        self.running = asyncio.create_task(self.rescuer.run())

    def kinds(self) -> list[str]:
        return [record.event.kind for record in self.ledger.after(0, 10_000)]

    async def lose(self, ticket: str) -> None:
        """Claim it and lose it, by a word and not by silence."""
        leased = await self.desk.claim(claim_command(roles=AGENTS), 0)
        assert leased is not None and leased.subject == ticket
        await self.kernel.execute(ONE, cmd.LoseLease(subject=ticket, epoch=leased.epoch, reason="its worker died"))


@pytest.fixture
async def watch(tmp_path: Path) -> AsyncIterator[Watch]:
    watch = Watch(tmp_path)
    yield watch
    watch.running.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await watch.running


async def test_a_lease_ends_exactly_when_its_holder_has_been_silent_for_a_term(watch: Watch) -> None:
    await watch.kernel.execute(ONE, start_command(ONE, "a", settings=UNGATED))
    await watch.desk.claim(claim_command(roles=AGENTS), 0)
    await watch.clock.advance(17)
    await watch.desk.heartbeat(ONE, "a", 1, 0, 0)
    await watch.clock.advance(TTL_S - 0.001)
    assert watch.desk.live() == [(ONE, "a", 1)]
    await watch.clock.advance(0.001)
    assert watch.desk.live() == []
    assert watch.kinds()[-1] == "AttemptLost"


async def test_of_many_leases_each_one_ends_at_its_own_deadline(watch: Watch) -> None:
    await watch.kernel.execute(ONE, start_command(ONE, *"abc", settings=UNGATED))
    for _ in range(3):
        await watch.desk.claim(claim_command(roles=AGENTS), 0)
        await watch.clock.advance(7)
    await watch.desk.heartbeat(ONE, "a", 1, 0, 0)
    ends = []
    for second in range(90):
        await watch.clock.advance(1)
        ends += [second + 22] * (3 - len(watch.desk.live()) - len(ends))
    assert ends == [7 + TTL_S, 14 + TTL_S, 21 + TTL_S]


@pytest.mark.parametrize("jump_s", [DAY_S, -DAY_S])
async def test_a_wall_clock_that_jumps_ends_no_lease_and_prolongs_none(watch: Watch, jump_s: float) -> None:
    await watch.kernel.execute(ONE, start_command(ONE, "a", settings=UNGATED))
    await watch.desk.claim(claim_command(roles=AGENTS), 0)
    await watch.clock.advance(30)
    watch.clock.jump(jump_s)
    await watch.clock.advance(TTL_S - 30 - 0.001)
    assert watch.desk.live() == [(ONE, "a", 1)]
    await watch.clock.advance(0.001)
    assert watch.desk.live() == []


async def test_a_waiting_worker_gets_what_was_lost_at_once_the_first_time_and_after_its_rest_the_next(
    watch: Watch,
) -> None:
    await watch.kernel.execute(ONE, start_command(ONE, "a", settings=UNGATED))
    await watch.lose("a")
    await watch.lose("a")
    waiting = asyncio.create_task(watch.desk.claim(claim_command("w2", AGENTS), 60))
    await watch.clock.advance(7.999)
    assert not waiting.done()
    await watch.clock.advance(0.001)
    leased = waiting.result()
    assert leased is not None and leased.epoch == 3
    assert watch.clock.monotonic() == 8


async def test_a_gate_that_backs_off_is_given_to_a_waiting_worker_the_moment_its_rest_is_over(watch: Watch) -> None:
    gated = settings(bounds=BACKOFF, gates=Gates(fast=GateCommand(name="fast", command="fast")))
    await watch.kernel.execute(ONE, start_command(ONE, "a", settings=gated))
    leased = await watch.desk.claim(claim_command(roles=VERIFIERS), 0)
    assert leased is not None
    await watch.kernel.execute(ONE, cmd.LoseLease(subject=leased.subject, epoch=1, reason="its worker died"))
    waiting = asyncio.create_task(watch.desk.claim(claim_command("w2", VERIFIERS), 60))
    await watch.clock.advance(7.999)
    assert not waiting.done()
    await watch.clock.advance(0.001)
    assert waiting.done()


async def test_an_approval_that_nobody_gives_expires_at_its_time(watch: Watch) -> None:
    asks = settings(gates=Gates(), policy=Policy(approve_plan=True, approval_timeout_s=1000))
    await watch.kernel.execute(ONE, start_command(ONE, "a", settings=asks))
    assert list(watch.kernel.session(ONE).open_approvals) == ["a1"]
    await watch.clock.advance(999.999)
    assert "ApprovalExpired" not in watch.kinds()
    await watch.clock.advance(0.001)
    assert watch.kinds()[-2:] == ["ApprovalExpired", "SessionSuspended"]


async def test_a_wall_clock_set_forward_is_noticed_without_any_other_news(watch: Watch) -> None:
    """Approvals end at a time of the day; nobody tells the process that the clock was set."""
    asks = settings(gates=Gates(), policy=Policy(approve_plan=True, approval_timeout_s=DAY_S))
    await watch.kernel.execute(ONE, start_command(ONE, "a", settings=asks))
    await watch.clock.advance(1)
    watch.clock.jump(DAY_S)
    await watch.clock.advance(LONGEST_S)
    assert watch.kinds()[-2:] == ["ApprovalExpired", "SessionSuspended"]


async def test_it_does_not_spin_while_what_is_due_waits_for_a_free_worker(watch: Watch) -> None:
    await watch.kernel.execute(ONE, start_command(ONE, "a", settings=UNGATED))
    await watch.lose("a")
    await watch.lose("a")
    await watch.clock.advance(8)
    before = watch.clock.slept
    await watch.clock.advance(600)
    assert watch.clock.slept - before <= 600 / LONGEST_S + 1


async def test_it_does_not_spin_over_a_gate_that_nobody_takes_or_a_suspended_session(watch: Watch) -> None:
    asks = settings(bounds=BACKOFF, policy=Policy(approve_plan=True, approval_timeout_s=100))
    await watch.kernel.execute(ONE, start_command(ONE, "a", settings=asks))
    leased = await watch.desk.claim(claim_command(roles=VERIFIERS), 0)
    assert leased is not None
    await watch.kernel.execute(ONE, cmd.LoseLease(subject=leased.subject, epoch=1, reason="its worker died"))
    await watch.clock.advance(200)
    assert "SessionSuspended" in watch.kinds()
    before = watch.clock.slept
    await watch.clock.advance(600)
    assert watch.clock.slept - before <= 600 / LONGEST_S + 1


async def test_on_a_full_disk_it_waits_for_room_and_then_each_lease_has_a_full_term(watch: Watch) -> None:
    await watch.kernel.execute(ONE, start_command(ONE, "a", settings=UNGATED))
    await watch.desk.claim(claim_command(roles=AGENTS), 0)
    watch.ledger.fail_next = LedgerFull("full", "a test has it so", "codeswarm resume")
    await watch.clock.advance(TTL_S)
    assert watch.desk.live() == [(ONE, "a", 1)]
    looking = asyncio.create_task(watch.room.run())
    await watch.clock.advance(FIRST_PAUSE_S)
    while watch.room.problem is not None:
        await asyncio.sleep(0)
    looking.cancel()
    assert [isinstance(problem, LedgerFull) for problem in watch.told] == [True, False]
    await watch.clock.advance(TTL_S - 0.001)
    assert watch.desk.live() == [(ONE, "a", 1)]
    await watch.clock.advance(0.001)
    assert watch.desk.live() == []
    assert watch.kinds().count("AttemptLost") == 1


async def test_a_disk_that_fails_ends_it(watch: Watch) -> None:
    await watch.kernel.execute(ONE, start_command(ONE, "a", settings=UNGATED))
    await watch.desk.claim(claim_command(roles=AGENTS), 0)
    watch.ledger.fail_next = LedgerBroken("the disk failed", "a test has it so", "codeswarm resume")
    await watch.clock.advance(TTL_S)
    assert isinstance(watch.running.exception(), LedgerBroken)
    watch.running = asyncio.create_task(asyncio.sleep(0))


async def test_a_lease_that_ended_by_itself_in_the_last_moment_is_no_trouble(watch: Watch) -> None:
    await watch.kernel.execute(ONE, start_command(ONE, "a", "b", settings=UNGATED))
    await watch.desk.claim(claim_command(roles=AGENTS), 0)
    await watch.desk.claim(claim_command(roles=AGENTS), 0)
    await watch.clock.advance(TTL_S - 1)
    await watch.desk.heartbeat(ONE, "b", 1, 0, 0)
    watch.clock._now_ns += 1_000_000_000  # the deadline passes, but the rescuer has not looked yet
    watch.kernel.submit(ONE, cmd.ReleaseLease(subject="a", epoch=1, reason="done just in time"))
    await watch.rescuer.rescue()
    await settle()
    assert watch.kinds()[-1] == "AttemptCancelled"
    assert watch.desk.live() == [(SessionId("one"), TicketId("b"), 1)]


# ── --until ──


def until_in(watch: Watch, seconds: float) -> Policy:
    return Policy(until=Until(at_ms=watch.clock.now_ms() + round(seconds * 1000), said="07:00"))


async def test_a_session_stops_exactly_at_its_time(watch: Watch) -> None:
    ends = until_in(watch, 5 * 3600)
    await watch.kernel.execute(ONE, start_command(ONE, "a", settings=settings(gates=Gates(), policy=ends)))
    await watch.clock.advance(5 * 3600 - 0.001)
    assert watch.kinds()[-1] != "SessionSuspended"
    await watch.clock.advance(0.001)
    assert watch.kinds()[-1] == "SessionSuspended"
    assert await watch.desk.claim(claim_command(roles=AGENTS), 0) is None


async def test_the_time_is_that_of_the_wall_whatever_puts_the_clock_forward(watch: Watch) -> None:
    ends = until_in(watch, 8 * 3600)
    await watch.kernel.execute(ONE, start_command(ONE, "a", settings=settings(gates=Gates(), policy=ends)))
    await watch.clock.advance(1)
    watch.clock.jump(8 * 3600)
    await watch.clock.advance(LONGEST_S)
    assert watch.kinds()[-1] == "SessionSuspended"


async def test_after_its_time_the_rescuer_does_not_spin(watch: Watch) -> None:
    ends = until_in(watch, 10)
    await watch.kernel.execute(ONE, start_command(ONE, "a", settings=settings(gates=Gates(), policy=ends)))
    await watch.clock.advance(11)
    slept = watch.clock.slept
    await watch.clock.advance(600)
    assert watch.clock.slept - slept <= 600 / LONGEST_S + 1
    assert watch.kinds().count("SessionSuspended") == 1
