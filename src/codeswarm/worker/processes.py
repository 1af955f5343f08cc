"""The processes of this machine, read once for all agents; and what one agent's share of them is at.

It looks from outside of every sandbox: a PID namespace hides what is outside from those within, not the other way
round. Whatever an agent starts descends from the process that the worker started, or stays in its process session;
only without walls can one leave both, and then it is not seen here.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from codeswarm.process import named_stat

_PARENT, _SESSION, _MAJOR_FAULTS, _TIMES, _STARTED = 1, 3, 9, slice(11, 15), 19
"""Where they stand in /proc/PID/stat, behind the name. Source: proc(5)."""
GONE = frozenset("ZXx")
"""States of a process of which only the exit code is left."""
STOPPED = "T"
WRAPPERS = frozenset({"bwrap", "nsenter"})
"""Names of what stands between the worker and an agent. Who takes such a name for himself is only looked through."""

SHELLS = frozenset({"sh", "dash", "bash"})
"""A command that is an agent is run by one."""


@dataclass(frozen=True, slots=True)
class Process:
    pid: int
    parent: int
    session: int
    name: str
    state: str
    """A letter, as ps(1) shows it."""
    cpu_s: float
    """Processor time that it has used, with that of its children that have ended."""
    faults: int
    """Pages that had to be read from disk: how one that is swapped out gets on."""
    started: float
    """In clock ticks since boot: with the pid it names one process for ever."""


@dataclass(frozen=True)
class Tree:
    """What one agent has running."""

    at: float
    """When this was seen, on the worker's clock."""
    agent: Process | None
    """None: it is not there yet, or not any more."""
    below: tuple[Process, ...] = ()
    """What the agent started and what is still alive of it, eldest first."""
    walls: bool = False
    """Whether something is there that may yet start it."""
    cpu_s: float = 0.0
    faults: int = 0

    @cached_property
    def living(self) -> frozenset[tuple[int, float]]:
        return frozenset((process.pid, process.started) for process in (*self.below, *filter(None, [self.agent])))

    @property
    def stopped(self) -> bool:
        """Whether the agent can't go on until somebody sends a SIGCONT: it, or the one program that its shell runs.

        Something else that it started and that is stopped may be no concern of it any more.
        """
        one = self.agent
        while one is not None and one.state != STOPPED:
            children = [process for process in self.below if process.parent == one.pid]
            one = children[0] if one.name in SHELLS and len(children) == 1 else None
        return one is not None


@dataclass(frozen=True)
class Table:
    """All processes at one moment."""

    at: float
    processes: Mapping[int, Process]
    _children: dict[int, list[Process]] = field(init=False, repr=False)
    _sessions: dict[int, list[Process]] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        children, sessions = defaultdict(list), defaultdict(list)
        for process in self.processes.values():
            children[process.parent].append(process)
            sessions[process.session].append(process)
        object.__setattr__(self, "_children", children)
        object.__setattr__(self, "_sessions", sessions)

    def tree(self, root: int) -> Tree:
        """What runs beneath a process that the worker has started, which leads a process session of its own."""
        top = self.processes.get(root)
        if top is None or top.state in GONE:
            return Tree(self.at, None)
        members = {process.pid: process for process in self._members(top)}
        agent = self._agent(top)
        below = [p for p in members.values() if p.state not in GONE and p is not agent and p.name not in WRAPPERS]
        below.sort(key=lambda process: (process.started, process.pid))
        used, faults = sum(p.cpu_s for p in members.values()), sum(p.faults for p in members.values())
        return Tree(self.at, agent, tuple(below), top.name in WRAPPERS, used, faults)

    def _members(self, top: Process) -> Iterator[Process]:
        """Those that descend from it, and those that stayed in its session when their parents ended."""
        seen: set[int] = set()
        rest = [top, *self._sessions.get(top.pid, ())]
        while rest:
            process = rest.pop()
            if process.pid not in seen:
                seen.add(process.pid)
                yield process
                rest += self._children.get(process.pid, ())

    def _agent(self, top: Process) -> Process | None:
        """The first one within the walls: the eldest that a wrapper has started."""
        found: Process | None = top
        while found is not None and found.name in WRAPPERS:
            within = [child for child in self._children.get(found.pid, ()) if child.state not in GONE]
            found = min(within, key=lambda child: (child.started, child.pid), default=None)
        return found


def read_table(at: float) -> Table | None:
    """All processes as they are now; None where this system does not tell (it has no /proc)."""
    try:
        names = [entry.name for entry in os.scandir("/proc")]
    except OSError:
        return None
    processes = {}
    for name in names:
        if name.isdigit():
            with contextlib.suppress(OSError, ValueError, IndexError):  # it has just ended
                process = _read(name)
                processes[process.pid] = process
    return Table(at, processes) if processes else None


_TICK_S = 1 / os.sysconf("SC_CLK_TCK")


def _read(pid: str) -> Process:
    name, fields = named_stat(pid)
    return Process(
        int(pid),
        int(fields[_PARENT]),
        int(fields[_SESSION]),
        name,
        fields[0],
        sum(map(int, fields[_TIMES])) * _TICK_S,
        int(fields[_MAJOR_FAULTS]),
        float(fields[_STARTED]),
    )


def blocked_in(pid: int) -> str:
    """The function of the kernel that a process waits in; empty where it runs, or where that is not told."""
    with contextlib.suppress(OSError):
        found = Path(f"/proc/{pid}/wchan").read_text()
        return "" if found == "0" else found
    return ""


Read = Callable[[float], Awaitable[Table | None]]


async def read_in_thread(at: float) -> Table | None:
    """A machine may have thousands of processes: nobody waits for us meanwhile."""
    return await asyncio.to_thread(read_table, at)


class Tables:
    """The newest table, for everyone: however many agents are watched, it is read no oftener than one needs it."""

    def __init__(self, read: Read = read_in_thread) -> None:
        self._read = read
        self._newest: Table | None = None
        self._looked: float | None = None
        self._one_at_a_time = asyncio.Lock()

    async def newest(self, now: float, age_s: float) -> Table | None:
        """A table that is no older than `age_s`."""
        async with self._one_at_a_time:
            if self._looked is None or now - self._looked > age_s:
                self._newest, self._looked = await self._read(now), now
            return self._newest
