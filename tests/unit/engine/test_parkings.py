"""What one session learns of an agent, the others are told; and the clock brings the agent back in each of them."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from codeswarm.domain import commands as cmd
from codeswarm.domain.ids import SessionId, TicketId
from codeswarm.domain.results import Failure, FailureClass as F, Report
from codeswarm.domain.settings import Gates
from codeswarm.engine.kernel import Kernel
from codeswarm.engine.leases import LeaseDesk
from codeswarm.engine.parkings import Parkings
from codeswarm.engine.rescuer import Rescuer
from codeswarm.engine.room import Room
from codeswarm.ledger.memory import MemoryLedger
from codeswarm.testing.clock import VirtualClock, settle
from tests.support.kernels import ONE, TWO, claim_command, start_command
from tests.support.sessions import AGENTS, commit, settings

AGENT = "claude:small"
UNGATED = settings(gates=Gates(), roles={"*": (AGENT,)})
HOUR_S = 3600


class Router:
    """Kernel, desk, rescuer and parkings of one life, on a ledger that may outlive it."""

    def __init__(self, folder: Path, clock: VirtualClock, ledger: MemoryLedger) -> None:
        self.clock, self.ledger = clock, ledger
        self.kernel = Kernel(ledger, clock)
        self.desk = LeaseDesk(self.kernel, clock)
        room = Room((folder,), clock, lambda problem: None, self.desk.renew)
        self.parkings = Parkings(self.kernel, clock, room)
        self.kernel.start()
        self.desk.start()
        movers = (Rescuer(self.kernel, self.desk, clock, room).run(), self.parkings.run())
        self.running = [asyncio.create_task(mover) for mover in movers]

    async def end(self) -> None:
        for task in self.running:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task
        self.ledger._listeners.clear()

    async def start(self, *sessions: SessionId, **fields: Any) -> None:
        for id_ in sessions:
            command = start_command(id_, settings=fields.get("settings", UNGATED))
            await self.kernel.execute(id_, command.model_copy(update={"parked": self.parkings.holding()}))

    async def meet(self, session: SessionId, why: F, *, for_s: float | None = None) -> None:
        """An attempt of a session meets something that parks its agent."""
        key = {"ticket": TicketId("a"), "epoch": self.kernel.session(session).tickets[TicketId("a")].epoch + 1}
        await self.kernel.execute(session, claim_command(roles=AGENTS))
        await self.kernel.execute(session, cmd.PrepareAttempt(**key, start=commit("start")))
        await self.kernel.execute(session, cmd.StartAttempt(**key, sandbox="none"))
        at_ms = None if for_s is None else self.clock.now_ms() + int(for_s * 1000)
        failure = Failure(failure_class=why, message="no", retry_at_ms=at_ms)
        await self.kernel.execute(session, cmd.CompleteAttempt(**key, report=Report(failure=failure)))
        await settle()

    def parked(self, session: SessionId) -> list[str]:
        return [agent for agent, _ in self.kernel.session(session).parked]


@pytest.fixture
async def router(tmp_path: Path) -> AsyncIterator[Router]:
    router = Router(tmp_path, VirtualClock(), MemoryLedger())
    yield router
    await router.end()


async def test_a_spent_quota_is_known_to_all_open_sessions_and_over_in_all_at_its_reset(router: Router) -> None:
    await router.start(ONE, TWO)
    await router.meet(ONE, F.QUOTA, for_s=HOUR_S)
    assert router.parked(ONE) == router.parked(TWO) == [AGENT]
    told = router.kernel.session(TWO).parked[AGENT, ""]
    assert (told.told_by, told.why) == (ONE, F.QUOTA)
    assert await router.desk.claim(claim_command(roles=AGENTS), 0) is None
    await router.clock.advance(HOUR_S - 1)
    assert router.parked(TWO) == [AGENT]
    await router.clock.advance(1)
    await settle()
    assert router.parked(ONE) == router.parked(TWO) == []
    assert await router.desk.claim(claim_command(roles=AGENTS), 0) is not None


async def test_who_waits_for_work_is_served_at_the_reset_without_asking_again(router: Router) -> None:
    await router.start(ONE)
    await router.meet(ONE, F.QUOTA, for_s=HOUR_S)
    waiting = asyncio.create_task(router.desk.claim(claim_command(roles=AGENTS), 2 * HOUR_S))
    await router.clock.advance(HOUR_S - 1)
    assert not waiting.done()
    await router.clock.advance(1)
    leased = await waiting
    assert leased is not None and leased.subject == "a"


async def test_a_new_session_begins_with_what_holds(router: Router) -> None:
    await router.start(ONE)
    await router.meet(ONE, F.QUOTA, for_s=HOUR_S)
    await router.kernel.execute(ONE, cmd.CancelSession(by="ada"))
    await router.start(TWO)
    assert router.parked(TWO) == [AGENT], "a quota is spent whatever became of who spent it"
    await router.clock.advance(HOUR_S)
    await router.start(three := SessionId("three"))
    assert router.parked(three) == []


async def test_a_refused_login_of_a_session_that_is_over_is_tried_again_by_the_next(router: Router) -> None:
    await router.start(ONE)
    await router.meet(ONE, F.AUTH)
    await router.start(TWO)
    assert router.parked(TWO) == ["claude:*"]
    for id_ in (ONE, TWO):
        await router.kernel.execute(id_, cmd.CancelSession(by="ada"))
    await router.start(three := SessionId("three"))
    assert router.parked(three) == []


async def test_a_persons_word_in_one_session_is_heard_in_all_and_comes_back_to_none(router: Router) -> None:
    await router.start(ONE, TWO)
    await router.meet(ONE, F.AUTH)
    assert router.parked(TWO) == ["claude:*"]
    await router.kernel.execute(TWO, cmd.ResumeSession(by="ada"))
    await settle()
    assert router.parked(ONE) == router.parked(TWO) == []
    kinds = [record.event.kind for record in router.ledger.after(0, 1000)]
    assert (kinds.count("AgentParked"), kinds.count("AgentUnparked")) == (2, 2)


async def test_a_model_that_nobody_has_is_one_sessions_own_matter(router: Router) -> None:
    await router.start(ONE, TWO)
    await router.meet(ONE, F.UNKNOWN_MODEL)
    assert (router.parked(ONE), router.parked(TWO)) == ([AGENT], [])


@pytest.mark.parametrize(
    ("first", "then", "agent"), [(F.UNKNOWN_MODEL, F.UNKNOWN_MODEL, AGENT), (F.AUTH, F.MISSING, "claude:*")]
)
async def test_a_persons_word_is_not_said_again_when_what_is_a_sessions_own_matter_is_met_later(
    router: Router, first: F, then: F, agent: str
) -> None:
    await router.start(ONE, TWO)
    await router.meet(ONE, first)
    await router.kernel.execute(ONE, cmd.ResumeSession(by="ada"))
    await settle()
    assert router.parked(ONE) == router.parked(TWO) == []
    await router.meet(ONE, then)
    assert router.parked(ONE) == [agent], "else it would be tried again and again"


async def test_tickets_that_wait_go_on_with_a_worker_of_another_account(router: Router) -> None:
    await router.start(ONE)
    await router.meet(ONE, F.QUOTA, for_s=HOUR_S)
    assert await router.desk.claim(claim_command(roles=AGENTS), 0) is None
    assert router.kernel.session(ONE).without_agent
    other = claim_command("w2", roles=AGENTS).model_copy(update={"accounts": {"claude": "another"}})
    claiming = asyncio.create_task(router.desk.claim(other, 60))
    await settle()
    assert claiming.done() and (await claiming) is not None


async def test_agents_that_a_resume_brings_in_are_known_to_be_parked_already(router: Router) -> None:
    await router.start(ONE)
    await router.start(TWO, settings=settings(gates=Gates(), roles={"*": ("codex:x",)}))
    await router.meet(ONE, F.QUOTA, for_s=HOUR_S)
    assert router.parked(TWO) == []
    await router.kernel.execute(TWO, cmd.ResumeSession(by="ada", roles={"*": (AGENT, "codex:x")}))
    await settle()
    assert router.parked(TWO) == [AGENT]


async def test_what_a_killed_router_did_not_tell_any_more_its_next_life_does(tmp_path: Path) -> None:
    clock, ledger = VirtualClock(), MemoryLedger()
    first = Router(tmp_path, clock, ledger)
    await first.start(ONE, TWO)
    first.running[1].cancel()
    await first.meet(ONE, F.QUOTA, for_s=HOUR_S)
    assert first.parked(TWO) == []
    await first.end()
    second = Router(tmp_path, clock, ledger)
    await settle()
    assert second.parked(TWO) == [AGENT]
    await second.end()
    third = Router(tmp_path, clock, ledger)
    await settle()
    assert [record.event.kind for record in ledger.after(0, 1000)].count("AgentParked") == 2, "told once"
    await third.end()
