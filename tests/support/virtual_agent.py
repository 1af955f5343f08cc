"""An agent under a worker's real watch, on virtual time: its processes are a scripted table, its words are given.

A *life* is a coroutine that plays on a `World`: it says things, starts and ends processes, changes files, lets the
machine sleep. `play` runs it under `Watch`, `Vitals`, `WorkerStage` and `AwakeClock` as a worker has them, and answers
how the watch ended, and when. Nothing of what is judged here is copied.
"""

from __future__ import annotations

import asyncio
import itertools
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

from codeswarm.agents.base import Activity
from codeswarm.awake import AwakeClock
from codeswarm.domain.pipeline import Role
from codeswarm.domain.settings import Leasing, WorkspaceSettings
from codeswarm.protocol import DeliveredRequest, Heartbeat, Offer, PulseOut, WorkspaceOrder
from codeswarm.sandbox.base import Box
from codeswarm.testing.clock import VirtualClock
from codeswarm.worker.line import Line
from codeswarm.worker.processes import Process, Table, Tables
from codeswarm.worker.stage import WorkerStage
from codeswarm.worker.vitals import Vitals
from codeswarm.worker.watch import Stop, Watch

HEARTBEAT_S = 120.0
STEP_S = 900.0
"""So far time is moved at once; what happens on the way happens at its own moment all the same."""
ROOT = 100
Life = Callable[["World"], Awaitable[None]]


@dataclass
class Running:
    """A process of the script. `load`: the share of a processor that it uses; `faults`: pages a second from swap."""

    pid: int
    parent: int
    name: str
    started: float
    load: float = 0.0
    faults: float = 0.0
    state: str = "S"
    used: float = 0.0
    faulted: float = 0.0


@dataclass(frozen=True)
class Ended:
    """How a life ended. `stop` None: it came to its own end, and nobody minded it."""

    stop: Stop | None
    onset: float | None
    """When it fell sick, in time awake."""
    at: float


class World:
    def __init__(self, seed: int, leasing: Leasing) -> None:
        self.draw = random.Random(seed)
        self.machine = VirtualClock(alone=True)
        self.clock = AwakeClock(self.machine)
        self.onset: float | None = None
        self.received: int | None = None
        self._leasing = leasing
        self._pids = itertools.count(ROOT)
        self._running: dict[int, Running] = {}
        self._updated = 0.0
        self._changed = False
        self.files = Tables(self._read)
        nothing = cast(Any, None)
        box = Box("agent", *map(Path, ("/w", "/h", "/r", "/t")))
        self.vitals = Vitals(leasing.patience, self.clock.monotonic())
        self.stage = WorkerStage(
            cast(Any, self), box, {}, cast(Any, _Silent()), self.clock, nothing, self.vitals, self.files
        )
        self.watch = Watch(
            self._offer(),
            cast(Line, _FarEnd(self.machine)),
            self.stage,
            self.clock,
            self._snapshot,
            messages_seen=0,
            say=_takes_no_word,
            received=lambda: self.received,
        )

    # ── for lives ──

    async def passes(self, seconds: float) -> None:
        """Time goes by in which the machine is awake."""
        await self.machine.sleep(seconds)

    async def begins(self, *, noise: float = 0.004, walls: bool = True) -> None:
        """The agent's process comes up, and idles as CLIs do."""
        parent = 1
        for name in ("bwrap", "bwrap") if walls else ():
            parent = self.starts(name, parent=parent)
        self.agent = self.starts("agent", parent=parent, load=noise)
        await self.stage.start(["agent"], {})

    def starts(self, name: str, *, parent: int | None = None, load: float = 0.0, faults: float = 0.0) -> int:
        self._use()
        pid = next(self._pids)
        parent = self.agent if parent is None else parent
        self._running[pid] = Running(pid, parent, name, self.machine.monotonic() * 100, load, faults)
        return pid

    def becomes(self, pid: int, **changes: Any) -> None:
        """A process uses more, is stopped, ends and is not collected."""
        self._use()
        for name, value in changes.items():
            setattr(self._running[pid], name, value)

    def ends(self, pid: int) -> None:
        """A process ends and is collected: its parent has its time from now on."""
        self._use()
        gone = self._running.pop(pid)
        if gone.parent in self._running:
            self._running[gone.parent].used += gone.used

    async def says(self, kind: str, text: str = "", **data: Any) -> None:
        await self.stage.emit(Activity(kind, text, data))

    def changes_a_file(self) -> None:
        self._changed = True

    def falls_sick(self) -> None:
        self.onset = self.clock.monotonic()

    async def for_ever(self) -> None:
        await asyncio.get_running_loop().create_future()

    # ── for the watch ──

    async def start(self, *_: Any, **__: Any) -> Any:
        """The sandbox."""
        return SimpleNamespace(process=SimpleNamespace(pid=min(self._running)))

    async def _read(self, at: float) -> Table:
        self._use()
        root = min(self._running, default=ROOT)
        rows = (
            Process(r.pid, r.parent, root, r.name, r.state, round(r.used, 2), int(r.faulted), r.started)
            for r in self._running.values()
        )
        return Table(at, {row.pid: row for row in rows})

    def _use(self) -> None:
        now = self.machine.monotonic()
        for running in self._running.values():
            if running.state not in ("T", "Z"):
                running.used += running.load * (now - self._updated)
                running.faulted += running.faults * (now - self._updated)
        self._updated = now

    async def _snapshot(self) -> bool:
        changed, self._changed = self._changed, False
        return changed

    def _offer(self) -> Offer:
        return Offer(
            id="s1:a:1",
            session="s1",
            subject="a",
            epoch=1,
            role=Role.IMPLEMENTER,
            ttl_s=360,
            heartbeat_s=HEARTBEAT_S,
            attempt_timeout_s=self._leasing.attempt_timeout_s,
            patience=self._leasing.patience,
            workspace=WorkspaceOrder(repository="", objects="", settings=WorkspaceSettings()),
        )


async def _takes_no_word(text: str) -> bool:
    return False


class _Silent:
    """A transcript that keeps nothing."""

    def write(self, activity: Activity) -> None:
        """Nothing is kept."""


@dataclass
class _FarEnd:
    """A router that has nothing to say."""

    clock: VirtualClock
    beats: list[Heartbeat] = field(default_factory=list)

    async def heartbeat(self, lease: str, body: Heartbeat) -> PulseOut:
        self.beats.append(body)
        await self.clock.sleep(body.wait_s)
        return PulseOut()

    async def delivered(self, lease: str, body: DeliveredRequest) -> None:
        """Nobody speaks here."""


async def play(life: Life, seed: int, leasing: Leasing, *, longest_s: float = 2e5, keep: bool = False) -> Ended:
    """Until the life or the watch ends, or nothing more is to be hoped for. `keep`: the clock notices a worker that is
    stopped, which takes a look a second.
    """
    world = World(seed, leasing)
    watching, living = asyncio.create_task(world.watch.run()), asyncio.ensure_future(life(world))
    keeping = asyncio.create_task(world.clock.keep() if keep else asyncio.sleep(0))
    at: list[float] = []
    watching.add_done_callback(lambda _: at.append(world.clock.monotonic()))
    living.add_done_callback(lambda _: watching.cancel())
    try:
        while not watching.done() and world.machine.monotonic() < longest_s:
            await world.machine.advance(STEP_S)
        if living.done():
            living.result()
        stop = watching.result() if watching.done() and not watching.cancelled() else None
        return Ended(stop, world.onset, at[0] if at else world.clock.monotonic())
    finally:
        for task in (watching, living, keeping):
            task.cancel()
        await asyncio.gather(watching, living, keeping, return_exceptions=True)
