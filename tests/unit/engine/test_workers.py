from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import stat
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from codeswarm.domain.ids import WorkerId
from codeswarm.domain.settings import Gates
from codeswarm.engine.kernel import Kernel
from codeswarm.engine.leases import Leased, LeaseDesk
from codeswarm.engine.room import Room
from codeswarm.engine.workers import FIRST_PAUSE_S, HEALTHY_S, LONGEST_PAUSE_S, Registry, WorkerSupervisor
from codeswarm.errors import Refused
from codeswarm.ledger.memory import MemoryLedger
from codeswarm.process import boot_id, gone, start_time
from codeswarm.protocol import WorkerHello
from codeswarm.testing.clock import VirtualClock, settle
from tests.support import processes
from tests.support.kernels import ONE, claim_command, start_command
from tests.support.sessions import AGENTS, settings

TINY = """\
#!/bin/sh
read -r order
echo "$$ $order" > "$STARTS"
exec sleep 600
"""
"""Stands in for the interpreter: it tells that it was started, and with what order, and lives until it is killed."""


class PausingClock(VirtualClock):
    """Sleeps are over at once, and written down."""

    def __init__(self) -> None:
        super().__init__()
        self.pauses: asyncio.Queue[float] = asyncio.Queue()

    async def sleep(self, seconds: float) -> None:
        self.pauses.put_nowait(seconds)


class Yard:
    """A supervisor over real, tiny processes."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.marker = f"YARD={folder}"
        self.fifo, tiny = folder / "starts", folder / "tiny"
        os.mkfifo(self.fifo)
        tiny.write_text(TINY)
        tiny.chmod(tiny.stat().st_mode | stat.S_IXUSR)
        monkeypatch.setattr(sys, "executable", str(tiny))
        monkeypatch.setenv("STARTS", str(self.fifo))
        monkeypatch.setenv("YARD", str(folder))
        self.clock = PausingClock()
        self.kernel = Kernel(MemoryLedger(), self.clock)
        self.desk = LeaseDesk(self.kernel, self.clock)
        self.kernel.start()
        self.registry = Registry(folder / "workers")
        room = Room((folder,), self.clock, lambda problem: None, self.desk.renew)
        self.supervisor = WorkerSupervisor(
            self.registry, self.desk, self.kernel, self.clock, self._order, folder / "logs", room
        )
        self.starts: asyncio.Queue[tuple[int, dict[str, Any]]] = asyncio.Queue()
        self._reading = os.open(self.fifo, os.O_RDWR | os.O_NONBLOCK)
        asyncio.get_running_loop().add_reader(self._reading, self._read)
        self.running: asyncio.Task[None] | None = None
        self.strays: list[asyncio.subprocess.Process] = []

    @staticmethod
    def _order(worker: str, slots: int) -> dict[str, object]:
        return {"worker": worker, "slots": slots}

    def _read(self) -> None:
        for line in os.read(self._reading, 1 << 16).decode().splitlines():
            pid, _, order = line.partition(" ")
            self.starts.put_nowait((int(pid), json.loads(order)))

    def run(self, slots: int) -> None:
        self.running = asyncio.create_task(self.supervisor.run(slots))

    async def started(self) -> tuple[int, WorkerId]:
        """The next process that was started, once it has presented itself."""
        pid, order = await asyncio.wait_for(self.starts.get(), 20)
        self.supervisor.greet(self.hello(order["worker"], pid, order["slots"]))
        return pid, WorkerId(order["worker"])

    def hello(
        self, worker: str, pid: int, slots: int = 1, started: float | None = None, terms: str | None = None
    ) -> WorkerHello:
        began = start_time(pid) if started is None else started
        assert began is not None
        terms = self.supervisor.terms if terms is None else terms
        return WorkerHello(worker=worker, pid=pid, started=began, boot=boot_id(), slots=slots, terms=terms)

    async def lease(self, worker: str) -> Leased:
        leased = await self.desk.claim(claim_command(worker, AGENTS), 0)
        assert leased is not None
        await settle()
        return leased

    async def lost(self) -> Any:
        """The next lease that is lost."""
        async with contextlib.aclosing(self.kernel.subscribe(0, ONE)) as events:
            async for record in events:
                if record.event.kind == "AttemptLost":
                    return record.event
        raise AssertionError

    async def end(self) -> None:
        if self.running is not None:
            self.running.cancel()
            await asyncio.wait({self.running})

    def left(self) -> list[int]:
        return processes.with_environment(self.marker)

    async def close(self) -> None:
        await self.end()
        asyncio.get_running_loop().remove_reader(self._reading)
        os.close(self._reading)
        for pid in self.left():
            os.kill(pid, signal.SIGKILL)
        for process in self.strays:
            await process.wait()

    async def stray(self, **environment: str) -> asyncio.subprocess.Process:
        """A process that somebody left behind."""
        env = {**os.environ, **environment}
        process = await asyncio.create_subprocess_exec("sleep", "600", start_new_session=True, env=env)
        self.strays.append(process)
        return process


@pytest.fixture
async def yard(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Yard]:
    yard = Yard(tmp_path, monkeypatch)
    await yard.kernel.execute(ONE, start_command(ONE, "a", "b", settings=settings(gates=Gates())))
    yield yard
    await yard.close()


async def test_slots_are_shared_by_a_few_processes_and_each_is_told_its_order(yard: Yard) -> None:
    yard.run(6)
    orders = [(await asyncio.wait_for(yard.starts.get(), 20))[1] for _ in range(4)]
    assert sorted(order["slots"] for order in orders) == [1, 1, 2, 2]
    assert len({order["worker"] for order in orders}) == 4


async def test_a_killed_workers_leases_are_lost_at_once_and_the_others_stay(yard: Yard) -> None:
    yard.run(2)
    (pid, worker), (_, other) = await yard.started(), await yard.started()
    await yard.lease(worker)
    kept = await yard.lease(other)
    os.kill(pid, signal.SIGKILL)
    event = await asyncio.wait_for(yard.lost(), 20)
    assert (event.ticket, event.epoch) == ("a", 1)
    assert f"{worker} (pid {pid}) ended with -9" in event.reason
    assert yard.clock.monotonic() == 0, "nobody waited for its term to run out"
    assert yard.desk.live() == [(ONE, kept.subject, kept.epoch)]
    _, follower = await yard.started()
    assert follower not in (worker, other), "a name is never used twice: words of the dead one can't be taken for its"
    assert {process.worker for process in yard.supervisor.live} == {other, follower}
    assert set(yard.registry.read()) == {other, follower}


async def test_a_worker_that_dies_again_and_again_is_started_after_growing_pauses(yard: Yard) -> None:
    yard.run(1)
    pauses = []
    for _ in range(10):
        pid, _ = await yard.started()
        os.kill(pid, signal.SIGKILL)
        pauses.append(await asyncio.wait_for(yard.clock.pauses.get(), 20))
    assert pauses[:4] == pytest.approx([FIRST_PAUSE_S * 2**n for n in range(4)])
    assert pauses[-1] == LONGEST_PAUSE_S


async def test_a_worker_that_lived_for_a_while_is_started_again_after_the_shortest_pause(yard: Yard) -> None:
    yard.run(1)
    for healthy in (False, False, True):
        pid, _ = await yard.started()
        await yard.clock.advance(HEALTHY_S + 1 if healthy else 0)
        os.kill(pid, signal.SIGKILL)
        pause = await asyncio.wait_for(yard.clock.pauses.get(), 20)
    assert pause == FIRST_PAUSE_S


async def test_workers_of_an_earlier_router_are_counted_in_and_replaced_when_they_die(yard: Yard) -> None:
    old = await yard.stray()
    yard.registry.write(yard.hello("old", old.pid))
    yard.run(2)
    pid, _ = await yard.started()
    await settle()
    assert {process.pid for process in yard.supervisor.live} == {old.pid, pid}
    await yard.lease("old")
    old.kill()
    await old.wait()
    assert (await asyncio.wait_for(yard.lost(), 20)).reason == "its worker died"
    replacing, _ = await yard.started()
    await settle()
    assert {process.pid for process in yard.supervisor.live} == {pid, replacing}
    assert yard.starts.empty()


async def test_workers_beyond_the_slots_are_sent_away_and_who_is_at_work_stays(yard: Yard) -> None:
    idle, busy, wide = [await yard.stray() for _ in range(3)]
    for name, process, slots in (("idle", idle, 1), ("busy", busy, 1), ("wide", wide, 4)):
        yard.registry.write(yard.hello(name, process.pid, slots))
    kept = await yard.lease("busy")
    yard.run(1)
    for process in (idle, wide):
        await asyncio.wait_for(process.wait(), 20)
    async with asyncio.timeout(20):
        while set(yard.registry.read()) != {"busy"}:
            await asyncio.sleep(0.01)
    assert [process.worker for process in yard.supervisor.live] == ["busy"]
    assert yard.desk.live() == [(ONE, kept.subject, kept.epoch)]
    assert yard.starts.empty()
    with pytest.raises(Refused, match="it can end"):
        yard.supervisor.greet(yard.hello("idle", os.getpid()))


async def test_workers_of_another_order_end_and_new_ones_take_over_without_a_loss(yard: Yard) -> None:
    old = await yard.stray()
    yard.registry.write(yard.hello("old", old.pid, terms="without a recording"))
    await yard.lease("old")
    yard.run(1)
    pid, worker = await yard.started()
    await asyncio.wait_for(old.wait(), 20)
    async with contextlib.aclosing(yard.kernel.subscribe(0, ONE)) as events:
        ends = (record.event async for record in events if record.event.kind in ("AttemptLost", "AttemptCancelled"))
        assert (await asyncio.wait_for(anext(ends), 20)).kind == "AttemptCancelled"
    assert [process.pid for process in yard.supervisor.live] == [pid]
    assert (await yard.lease(worker)).subject == "a"


async def test_what_a_worker_is_told_holds_the_terms_that_it_presents_itself_with(yard: Yard) -> None:
    yard.run(1)
    _, order = await asyncio.wait_for(yard.starts.get(), 20)
    assert order["terms"] == yard.supervisor.terms


async def test_everything_ends_with_the_router_and_the_adopted_too(yard: Yard) -> None:
    old = await yard.stray()
    yard.registry.write(yard.hello("old", old.pid))
    yard.run(3)
    pids = [(await yard.started())[0] for _ in range(2)]
    await yard.end()
    await asyncio.wait_for(old.wait(), 20)
    for pid in pids:
        await asyncio.wait_for(gone(pid), 20)
    assert yard.left() == []


async def test_what_a_worker_left_running_ends_with_the_router(yard: Yard) -> None:
    """A worker killed while it builds walls leaves a process before them, which nothing else would end."""
    yard.run(1)
    _, worker = await yard.started()
    leased = await yard.lease(worker)
    orphan = await yard.stray(CODESWARM_BOX=f"{ONE}.{leased.subject}.{leased.epoch}")
    await yard.end()
    assert start_time(orphan.pid) is None


async def test_a_process_that_only_bears_the_number_of_a_dead_worker_is_left_alone(yard: Yard) -> None:
    innocent = await yard.stray()
    yard.registry.write(yard.hello("dead", innocent.pid, started=1.0))
    yard.run(1)
    await yard.started()
    assert WorkerId("dead") not in {process.worker for process in yard.supervisor.live}
    await yard.end()
    assert start_time(innocent.pid) is not None
    innocent.kill()
    await innocent.wait()


async def test_who_was_not_asked_for_is_sent_away_and_who_is_dead_can_not_come_back(yard: Yard) -> None:
    yard.supervisor.greet(yard.hello("anyone", os.getpid()))
    assert [process.worker for process in yard.supervisor.live] == ["anyone"], "while no workers are started here"
    yard.registry.forget(WorkerId("anyone"))
    yard.run(1)
    pid, worker = await yard.started()
    with pytest.raises(Refused, match="it can end"):
        yard.supervisor.greet(yard.hello("stranger", os.getpid()))
    os.kill(pid, signal.SIGKILL)
    await asyncio.wait_for(yard.clock.pauses.get(), 20)
    with pytest.raises(Refused, match="it can end"):
        yard.supervisor.greet(yard.hello(worker, os.getpid()))


async def test_a_greeting_again_changes_nothing_and_whoever_watches_hears_of_each(yard: Yard) -> None:
    heard: list[int] = []
    yard.supervisor.observe(lambda: heard.append(len(yard.supervisor.live)))
    yard.run(1)
    pid, worker = await yard.started()
    yard.supervisor.greet(yard.hello(worker, pid))
    assert heard == [1, 1]


@pytest.mark.parametrize("turns", [*range(10), 15, 25, 40])
async def test_a_supervisor_that_is_cancelled_in_the_middle_of_a_start_leaves_nothing_running(
    yard: Yard, turns: int
) -> None:
    yard.run(2)
    await settle(turns)
    await yard.end()
    assert yard.running is not None
    assert yard.running.cancelled()
    assert yard.left() == []


def test_a_registry_reads_what_it_wrote_and_passes_over_what_is_broken(tmp_path: Path) -> None:
    registry = Registry(tmp_path / "workers")
    hello = WorkerHello(worker="w1", pid=os.getpid(), started=1.0, boot="b", slots=3, labels=("gpu",))
    written = registry.write(hello)
    (tmp_path / "workers" / "half.json").write_text('{"worker": "ha')
    assert registry.read() == {WorkerId("w1"): written}
    assert (written.slots, written.labels, written.alive) == (3, frozenset({"gpu"}), False)
    registry.forget(WorkerId("w1"))
    registry.forget(WorkerId("w1"))
    assert registry.read() == {}


@pytest.mark.parametrize("name", ["../outside", "a/b", ".", "", "x" * 200, "nul\0"])
def test_a_workers_name_names_no_other_file(name: str) -> None:
    with pytest.raises(ValueError, match="worker"):
        WorkerHello(worker=name, pid=1, started=1.0, boot="b", slots=1)
