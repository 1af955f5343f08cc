"""Worker processes: started, watched, started again one for one, and their leases given up the moment they die.

A worker outlives its router for a while (it waits for a new one). So a router that starts adopts those that are still
there before it starts any of its own: as many as it has slots for, and only those that were told what it would tell
them. The others end, and new ones go on with their work.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from codeswarm.clock import Clock
from codeswarm.domain import commands as cmd
from codeswarm.domain.ids import WorkerId
from codeswarm.domain.rejection import wrong_state
from codeswarm.domain.results import Report, Usage
from codeswarm.engine.kernel import Kernel
from codeswarm.engine.leases import LeaseDesk
from codeswarm.engine.meter import Key
from codeswarm.engine.room import Room
from codeswarm.engine.threads import in_thread
from codeswarm.environment import Environment
from codeswarm.errors import Refused
from codeswarm.process import Outliving, gone, is_alive, kill_and_wait
from codeswarm.protocol import WorkerHello
from codeswarm.sandbox.cgroups import end_groups
from codeswarm.sandbox.marks import end_marked, end_tree

FIRST_PAUSE_S = 0.2
LONGEST_PAUSE_S = 20.0
HEALTHY_S = 30.0
"""A worker that lived this long is started again without a pause."""
MOST_PROCESSES = 4


@dataclass(frozen=True, slots=True)
class WorkerProcess:
    """One worker process, as it presented itself."""

    worker: WorkerId
    pid: int
    started: float
    boot: str
    slots: int
    labels: frozenset[str] = frozenset()
    terms: str = ""

    @classmethod
    def of(cls, hello: WorkerHello) -> WorkerProcess:
        labels = frozenset(hello.labels)
        return cls(WorkerId(hello.worker), hello.pid, hello.started, hello.boot, hello.slots, labels, hello.terms)

    @property
    def alive(self) -> bool:
        return is_alive(self.pid, self.started, self.boot)


class Registry:
    """Which workers there are: one file each, so that a later router finds them."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True)

    def write(self, hello: WorkerHello) -> WorkerProcess:
        path = self._folder / f"{hello.worker}.json"
        temporary = path.with_suffix(".new")
        temporary.write_text(hello.model_dump_json(), encoding="utf-8")
        temporary.replace(path)
        return WorkerProcess.of(hello)

    def read(self) -> dict[WorkerId, WorkerProcess]:
        found = {}
        for path in self._folder.glob("*.json"):
            try:
                hello = WorkerHello.model_validate_json(path.read_bytes())
            except ValueError:
                continue
            found[WorkerId(hello.worker)] = WorkerProcess.of(hello)
        return found

    def forget(self, worker: WorkerId) -> None:
        (self._folder / f"{worker}.json").unlink(missing_ok=True)


class WorkerSupervisor:
    """Keeps as many slots served as were asked for."""

    def __init__(
        self,
        registry: Registry,
        desk: LeaseDesk,
        kernel: Kernel,
        clock: Clock,
        order: Callable[[str, int], dict[str, object]],
        logs: Path,
        room: Room,
    ) -> None:
        """`order(worker, slots)` is what a new worker process is told on its standard input, beside its `terms`."""
        self._registry = registry
        self._desk = desk
        self._kernel = kernel
        self._clock = clock
        self._order = order
        self.terms = hashlib.sha256(json.dumps(order("", 0), sort_keys=True).encode()).hexdigest()[:16]
        self._logs = logs
        self._room = room
        self._count = 0
        self._live: dict[WorkerId, WorkerProcess] = {}
        self._observers: list[Callable[[], None]] = []
        self._leaving = False
        self._wanted: set[str] | None = None
        """The names of the workers that make up our slots; None: we start none, and anyone may come."""

    @property
    def live(self) -> list[WorkerProcess]:
        return list(self._live.values())

    def greet(self, hello: WorkerHello) -> None:
        """A worker presents itself.

        Raises: Refused for one too many: a router before us died between starting it and hearing of it.
        """
        if self._wanted is not None and hello.worker not in self._wanted:
            what = f"every slot is served without worker {hello.worker}: it can end"
            why = "a router before this one started it, and was killed before it heard of it"
            raise Refused(wrong_state(what, "codeswarm session list", why))
        process = self._registry.write(hello)
        self._live[process.worker] = process
        for tell in self._observers:
            tell()

    def leave(self) -> None:
        """From here on the workers go on when we end: the router that comes after us adopts them."""
        self._leaving = True

    def observe(self, observer: Callable[[], None]) -> None:
        """Call `observer` in the loop whenever a worker has presented itself. It must not block."""
        self._observers.append(observer)

    async def run(self, slots: int) -> None:
        """Until cancelled: adopt who is there and fits, start the rest, and start again who dies."""
        there = [process for process in self._registry.read().values() if process.alive]
        adopted = self._fitting(there, slots)
        self._wanted = {process.worker for process in adopted}
        missing = slots - sum(process.slots for process in adopted)
        async with asyncio.TaskGroup() as tasks:
            for process in adopted:
                self._live[process.worker] = process
                tasks.create_task(self._watch_adopted(process))
            for process in there:
                if process not in adopted:
                    tasks.create_task(self._send_away(process))
            for share in _shares(missing):
                tasks.create_task(self._keep(share))

    def _fitting(self, there: list[WorkerProcess], slots: int) -> list[WorkerProcess]:
        """Those that can stay. Who is at work comes first."""
        fitting: list[WorkerProcess] = []
        for process in sorted(there, key=lambda process: -len(self._desk.of_worker(process.worker))):
            if process.terms == self.terms and process.slots <= slots:
                fitting.append(process)
                slots -= process.slots
        return fitting

    async def _send_away(self, process: WorkerProcess) -> None:
        """End a worker that was started for another order. Its work goes on elsewhere, and is no fault of anyone's."""
        await in_thread(_end, process.pid, lambda: process.alive)
        await _end_boxes([], process.pid)
        self._forget(process.worker)
        reason = f"worker {process.worker} was started with other settings, or is one too many: it was ended"
        keys = self._desk.of_worker(process.worker)
        await self._room.patiently(give_up, keys, self._kernel, reason, cmd.ReleaseLease)

    async def _watch_adopted(self, process: WorkerProcess) -> None:
        try:
            await gone(process.pid)
        except asyncio.CancelledError:
            if not self._leaving:
                await in_thread(_end, process.pid, lambda: process.alive)
                await _end_boxes(self._desk.of_worker(process.worker), process.pid)
            raise
        await self._bury(process.worker, process.pid)
        await self._keep(process.slots)

    async def _keep(self, slots: int) -> None:
        """One worker process, again and again."""
        assert self._wanted is not None
        pause = FIRST_PAUSE_S
        while True:
            self._count += 1
            name = f"w{os.getpid()}-{self._count}"
            self._wanted.add(name)
            began = self._clock.monotonic()
            process = await self._room.patiently(self._start, name, slots)
            try:
                code = await process.wait()
            except asyncio.CancelledError:
                if self._leaving:
                    process.let_go()
                else:
                    await in_thread(_end, process.pid)
                    await process.wait()
                    await _end_boxes(self._desk.of_worker(WorkerId(name)), process.pid)
                raise
            await self._bury(WorkerId(name), process.pid, f"worker {name} (pid {process.pid}) ended with {code}")
            if self._clock.monotonic() - began > HEALTHY_S:
                pause = FIRST_PAUSE_S
            await self._clock.sleep(pause)
            pause = min(pause * 2, LONGEST_PAUSE_S)

    async def _start(self, name: str, slots: int) -> Outliving:
        self._logs.mkdir(parents=True, exist_ok=True)
        order = {**self._order(name, slots), "terms": self.terms}
        with (self._logs / f"{name}.log").open("ab") as log:
            return Outliving(
                [sys.executable, "-m", "codeswarm.worker"],
                cwd=Path.cwd(),
                env=Environment.read().variables,
                output=log.fileno(),
                told=json.dumps(order).encode() + b"\n",
            )

    async def _bury(self, worker: WorkerId, pid: int, how: str = "its worker died") -> None:
        """Give up a dead worker's leases at once, and end what it left running."""
        self._forget(worker)
        await _end_boxes([], pid)
        await self._room.patiently(self._give_up, worker, how)

    def _forget(self, worker: WorkerId) -> None:
        self._live.pop(worker, None)
        if self._wanted is not None:
            self._wanted.discard(worker)
        self._registry.forget(worker)

    async def _give_up(self, worker: WorkerId, how: str) -> None:
        await give_up(self._desk.of_worker(worker), self._kernel, how, usage=self._desk.meter.usage)


async def give_up(
    keys: list[Key],
    kernel: Kernel,
    reason: str,
    how: type[cmd.LoseLease | cmd.ReleaseLease] = cmd.LoseLease,
    usage: Callable[[Key], Usage] = lambda key: Usage(),
) -> None:
    """Lose leases whose worker is dead, or release those of one that we ended: only a loss counts towards a meltdown.

    What it ran may still be there, so that is ended first. `usage`: what each is known to have used.
    """
    told = {key: usage(key) for key in keys}
    await _end_boxes(keys)
    for key in keys:
        session, subject, epoch = key
        more = {"usage": told[key]} if how is cmd.LoseLease else {"report": Report(usage=told[key])}
        try:
            await kernel.execute(session, how(subject=subject, epoch=epoch, reason=reason, **more))
        except Refused:
            continue  # its result arrived before the news of its death


async def _end_boxes(keys: list[Key], pid: int | None = None) -> None:
    """End what dead workers left running: without walls everything, and with them what still stood before its own.

    `pid`: the worker's own. What was put into groups by it is found by that, too, whatever has become of its leases.
    """
    names = [f"{session}.{subject.replace('@', 'gate-')}.{epoch}" for session, subject, epoch in keys]
    boxes = [
        box for name in names for box in (name, f"{name}.gate", f"setup-{name}", f"snapshot-{name}", f"commits-{name}")
    ]
    if boxes or pid is not None:
        await in_thread(end_groups, boxes, () if pid is None else (pid,))
    for box in boxes:
        await in_thread(end_marked, box)


def _shares(slots: int) -> list[int]:
    """Slots over processes: few enough to be cheap, enough that a killed one takes only its share along."""
    processes = min(slots, MOST_PROCESSES)
    return [slots // processes + (1 if i < slots % processes else 0) for i in range(processes)] if slots > 0 else []


def _end(pid: int, is_ours: Callable[[], bool] = lambda: True) -> None:
    """End a worker of ours with all that it started: whatever counts is on disk already.

    `is_ours` is asked once nobody else can get the pid any more.
    """
    try:
        pidfd = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    try:
        if is_ours():
            end_tree(pid)
            kill_and_wait(pidfd, 5.0)
    finally:
        os.close(pidfd)
