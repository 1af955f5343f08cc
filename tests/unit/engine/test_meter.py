"""The meter at the lease desk: figures that come with heartbeats, and what holders are told because of them."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from codeswarm.domain import commands as cmd, events as ev
from codeswarm.domain.ids import TicketId
from codeswarm.domain.prices import Price, Prices
from codeswarm.domain.results import Usage
from codeswarm.domain.settings import BudgetSettings, Caps, Gates, Leasing
from codeswarm.engine.kernel import Kernel
from codeswarm.engine.leases import TO_THE_END_S, LeaseDesk, Pulse
from codeswarm.engine.workers import give_up
from codeswarm.ledger.memory import MemoryLedger
from codeswarm.testing.clock import VirtualClock, settle
from tests.support.kernels import ONE, claim_command, start_command
from tests.support.sessions import AGENTS, commit, settings

PRICES = Prices("2026-10-10", {"gpt-5": Price(input=1.0, output=10.0)})


class Meters:
    """A desk over a ledger, and the words of the holders of its leases."""

    def __init__(self, ledger: MemoryLedger, clock: VirtualClock, **budget: Any) -> None:
        self.ledger, self.clock, self.budget = ledger, clock, budget
        self.kernel = Kernel(ledger, clock)
        self.desk = LeaseDesk(self.kernel, clock, PRICES)
        self.kernel.start()
        self.desk.start()

    async def begin(self, *tickets: str, agent: str = "command:agent") -> None:
        chosen = settings(
            gates=Gates(),
            leasing=Leasing(lease_ttl_s=60),
            roles={"*": (agent,)},
            budget=BudgetSettings(**self.budget),
        )
        await self.kernel.execute(ONE, start_command(ONE, *tickets, settings=chosen))
        for number, _ in enumerate(tickets):
            assert await self.desk.claim(claim_command(f"w{number}", AGENTS), 0)
        for id_ in tickets:
            key = {"ticket": TicketId(id_), "epoch": 1}
            await self.kernel.execute(ONE, cmd.PrepareAttempt(**key, start=commit(id_)))
            await self.kernel.execute(ONE, cmd.StartAttempt(**key, sandbox="none"))

    async def tell(self, id_: str, usd: float, wait_s: float = 0, **more: Any) -> Pulse:
        usage = Usage(cost_usd=usd, input_tokens=10)
        return await self.desk.heartbeat(ONE, id_, 1, 0, wait_s, usage=usage, **more)

    def breached(self) -> list[str]:
        return [r.event.ticket for r in self.ledger.history(ONE) if isinstance(r.event, ev.BudgetBreached)]


@pytest.fixture
def clock() -> VirtualClock:
    return VirtualClock()


async def test_a_holder_that_waits_is_told_at_once_that_its_agent_must_hand_back(clock: VirtualClock) -> None:
    meters = Meters(MemoryLedger(), clock, usd=1.0, hand_back_s=90, hand_back_tokens=1234)
    await meters.begin("a")
    told = await meters.tell("a", 1.01, wait_s=30)
    assert told.hand_back is not None
    assert (told.hand_back.seconds, told.hand_back.tokens) == (90, 1234)
    assert "1.01 of 1.00 USD of the session" in told.hand_back.why
    assert clock.monotonic() == 0, "nobody waited"


async def test_figures_are_no_facts_and_only_a_breach_is(clock: VirtualClock) -> None:
    meters = Meters(MemoryLedger(), clock, usd=5.0)
    await meters.begin("a")
    before = meters.ledger.head()
    for usd in (0.1, 0.5, 2.0, 4.9):
        await meters.tell("a", usd)
    assert meters.ledger.head() == before
    await meters.tell("a", 5.0, wait_s=1)
    assert meters.breached() == ["a"]


async def test_all_who_use_up_a_cap_together_hear_of_it_and_each_once(clock: VirtualClock) -> None:
    meters = Meters(MemoryLedger(), clock, usd=3.0)
    await meters.begin("a", "b", "c")
    waiting = {id_: asyncio.create_task(meters.tell(id_, 0.9, wait_s=30)) for id_ in "ab"}
    await settle()
    quiet = asyncio.create_task(meters.tell("c", 0.4, wait_s=30))
    await settle()
    assert not any(task.done() for task in waiting.values())
    waiting["a"].cancel()
    again = await meters.tell("a", 1.7, wait_s=30)
    assert again.hand_back is not None
    await settle()
    assert waiting["b"].result().hand_back is not None
    assert not quiet.done()
    for id_ in "ab":
        assert (await meters.tell(id_, 2.0, handing_back=True)).hand_back is None, "it has heard"
    assert sorted(meters.breached()) == ["a", "b"]
    quiet.cancel()


async def test_a_router_that_starts_again_tells_it_again(clock: VirtualClock) -> None:
    meters = Meters(MemoryLedger(), clock, usd=1.0)
    await meters.begin("a")
    await meters.tell("a", 1.5, wait_s=1)
    again = Meters(meters.ledger, clock, usd=1.0)
    assert (await again.tell("a", 1.5)).hand_back is not None
    assert again.breached() == ["a"]


async def test_a_holder_that_does_not_hand_back_in_time_is_ended(clock: VirtualClock) -> None:
    meters = Meters(MemoryLedger(), clock, usd=1.0, hand_back_s=90)
    await meters.begin("a")
    await meters.tell("a", 1.5, wait_s=1)
    for _ in range(int((90 + TO_THE_END_S) // 30) - 1):
        await clock.advance(30)
        assert (await meters.tell("a", 1.6, handing_back=True)).cancel is None
    await clock.advance(30)
    assert "did not hand back in time" in ((await meters.tell("a", 1.7, handing_back=True)).cancel or "")


async def test_tokens_are_metered_in_money_by_the_table_of_prices(clock: VirtualClock) -> None:
    meters = Meters(MemoryLedger(), clock, usd=1.0)
    await meters.begin("a", agent="codex:gpt-5")
    pulse = await meters.desk.heartbeat(ONE, "a", 1, 0, 1, usage=Usage(input_tokens=1_100_000))
    assert pulse.hand_back is not None
    assert meters.desk.meter.usage((ONE, TicketId("a"), 1)).priced == "2026-10-10"


async def test_a_model_without_a_price_is_shown_as_unknown_and_breaches_no_cap_in_money(clock: VirtualClock) -> None:
    meters = Meters(MemoryLedger(), clock, usd=1.0)
    await meters.begin("a", agent="codex:gpt-9")
    pulse = await meters.desk.heartbeat(ONE, "a", 1, 0, 0, usage=Usage(input_tokens=10**9))
    assert pulse.hand_back is None
    assert meters.desk.meter.usage((ONE, TicketId("a"), 1)).cost_usd is None


async def test_what_is_used_beyond_what_was_set_aside_is_not_given_to_others(clock: VirtualClock) -> None:
    meters = Meters(MemoryLedger(), clock, usd=2.0)
    await meters.begin("a")
    await meters.tell("a", 1.7)
    more = cmd.AddTickets(tickets=(start_command(ONE, "b").tickets[0],), by="ada")
    await meters.kernel.execute(ONE, more)
    assert await meters.desk.claim(claim_command("w9", AGENTS), 0) is None
    await meters.tell("a", 1.4)
    assert await meters.desk.claim(claim_command("w9", AGENTS), 0) is not None


async def test_of_a_worker_that_died_at_least_what_it_had_told_is_charged(clock: VirtualClock) -> None:
    meters = Meters(MemoryLedger(), clock, usd=5.0)
    await meters.begin("a")
    await meters.tell("a", 1.25)
    await give_up(meters.desk.of_worker("w0"), meters.kernel, "its worker died", usage=meters.desk.meter.usage)
    assert meters.kernel.session(ONE).spending.usd == 1.25
    assert meters.desk.meter.of_session(ONE) == (), "what is over is not metered any more"


async def test_the_cap_of_a_role_is_metered_over_its_attempts(clock: VirtualClock) -> None:
    roles = {"implementer": Caps(usd=1.0)}
    meters = Meters(MemoryLedger(), clock, roles=roles, reserve_usd=0.25)
    await meters.begin("a", "b")
    await meters.tell("a", 0.6)
    told = await meters.tell("b", 0.4, wait_s=1)
    assert told.hand_back is not None
    assert "of the role implementer" in told.hand_back.why
