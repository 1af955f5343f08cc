"""What the router makes of a sleep of the machine, or of a stop of its own: no lease is lost for it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from codeswarm.awake import Absence, AwakeClock
from codeswarm.domain import commands as cmd
from codeswarm.domain.settings import Gates, Leasing, Policy, Until
from codeswarm.engine.engine import Engine
from codeswarm.engine.kernel import Kernel
from codeswarm.engine.leases import LeaseDesk
from codeswarm.engine.rescuer import LONGEST_S, Rescuer
from codeswarm.engine.room import Room
from codeswarm.ledger.memory import MemoryLedger
from codeswarm.testing.clock import VirtualClock, settle
from tests.support.kernels import ONE, TWO, claim_command, notes, start_command
from tests.support.sessions import AGENTS, settings

TTL_S = 60.0
NIGHT_S = 8 * 3600.0
PLAIN = settings(gates=Gates(), leasing=Leasing(lease_ttl_s=TTL_S))


class Night:
    """Kernel, desk and rescuer on a clock that counts awake time; the machine under it can be put to sleep."""

    def __init__(self, folder: Path) -> None:
        self.machine, self.ledger = VirtualClock(), MemoryLedger()
        self.clock = AwakeClock(self.machine)
        self.kernel = Kernel(self.ledger, self.clock)
        self.desk = LeaseDesk(self.kernel, self.clock)
        room = Room((folder,), self.clock, lambda problem: None, self.desk.renew)
        rescuer = Rescuer(self.kernel, self.desk, self.clock, room)
        self.kernel.start()
        self.desk.start()
        self.clock.observe(self.tell)
        self.running = [asyncio.create_task(work) for work in (self.clock.keep(), rescuer.run())]

    def tell(self, absence: Absence) -> None:
        Engine.tell_of_absence(self, absence)  # type: ignore[arg-type] - of an engine it needs these two rooms alone

    def kinds(self) -> list[str]:
        return [record.event.kind for record in self.ledger.after(0, 10_000)]

    async def begin(self, policy: Policy | None = None) -> None:
        chosen = PLAIN if policy is None else PLAIN.model_copy(update={"policy": policy})
        await self.kernel.execute(ONE, start_command(ONE, "a", settings=chosen))
        assert await self.desk.claim(claim_command(roles=AGENTS), 0)


@pytest.fixture
async def night(tmp_path: Path) -> AsyncIterator[Night]:
    made = Night(tmp_path)
    await settle()
    yield made
    for task in made.running:
        task.cancel()
    await asyncio.gather(*made.running, return_exceptions=True)


@pytest.mark.parametrize("how", ["asleep", "stopped"])
async def test_a_night_in_which_nothing_could_run_costs_no_lease_and_is_told(night: Night, how: str) -> None:
    await night.begin()
    await night.machine.advance(TTL_S - 5)
    (night.machine.suspend if how == "asleep" else night.machine.stop)(NIGHT_S)
    await night.machine.advance(TTL_S - 5)
    assert night.desk.live() == [(ONE, "a", 1)], "its holder has a full term from waking on"
    (told,) = notes(night.ledger.after(0, 10_000))
    who = "the machine slept" if how == "asleep" else "the process was stopped"
    assert told == f"{who} for 8 h 00 min; leases were extended"
    await night.machine.advance(10)
    assert night.desk.live() == [], "who is silent afterwards is lost as ever"


async def test_only_sessions_that_go_on_are_told_of_it(night: Night) -> None:
    await night.begin()
    await night.kernel.execute(TWO, start_command(TWO, "a", settings=PLAIN))
    await night.kernel.execute(TWO, cmd.CancelSession(by="ada"))
    night.machine.suspend(NIGHT_S)
    await night.machine.advance(2)
    assert [r.session for r in night.ledger.after(0, 10_000) if r.event.kind == "Noted"] == [ONE]


async def test_a_time_of_the_wall_comes_while_the_machine_sleeps(night: Night) -> None:
    await night.begin(Policy(until=Until(at_ms=night.machine.now_ms() + 3600_000, said="07:00")))
    night.machine.suspend(NIGHT_S)
    await night.machine.advance(LONGEST_S)
    assert "SessionSuspended" in night.kinds()
    assert "AttemptLost" not in night.kinds()
