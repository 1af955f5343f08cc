"""Holds a run to its limits, from before its first instruction until nothing of it is left."""

from __future__ import annotations

import os
import platform
import re
import resource
from functools import cached_property
from pathlib import Path

from codeswarm.sandbox.base import Box, Lack, Limits
from codeswarm.sandbox.cgroups import Cgroups, Group, look

NO_CORE = (1, 1)
"""A core of one byte: the kernel then starts no program that keeps cores, either, which it does for none at all.
Source: fs/coredump.c"""
_COUNTS_PER_NAMESPACE = (5, 14)
"""From this kernel on processes are counted for each user namespace; before, all of a person's are."""


class Confinement:
    """What this process can hold its runs to. It looks once, when that is first asked."""

    def __init__(self, *, walled: bool = True) -> None:
        """`walled`: runs have namespaces of their own, which count processes and end them."""
        self._walled = walled

    @cached_property
    def _cgroups(self) -> Cgroups:
        return look()

    def lacks(self, limits: Limits) -> tuple[Lack, ...]:
        needed = Limits(limits.memory_mib, limits.cpus, None if self._counts else limits.pids)
        return () if needed == Limits() else self._cgroups.lacks(needed)

    def slow(self, limits: Limits) -> bool:
        """Whether it takes a group to hold a run to them, for which the kernel may let us wait."""
        return Limits(limits.memory_mib, limits.cpus, None if self._counts else limits.pids) != Limits()

    def prepare(self, box: Box) -> Confined:
        """Whatever a run needs before there is one. Raises: OSError."""
        counted = box.limits.pids if self._counts else None
        limits = Limits(box.limits.memory_mib, box.limits.cpus, None if self._counts else box.limits.pids)
        group = None if limits == Limits() else self._cgroups.make(box.name, limits, freezer=not self._walled)
        return Confined(group, counted)

    @cached_property
    def _counts(self) -> bool:
        """Whether the kernel counts a run's processes by themselves, which it does for nobody who is root outside. That
        costs nothing, while putting a process into a group may take the kernel milliseconds.
        """
        version = re.match(r"(\d+)\.(\d+)", platform.release())
        return bool(
            self._walled and os.getuid() and version and tuple(map(int, version.groups())) >= _COUNTS_PER_NAMESPACE
        )


class Confined:
    """One run's limits."""

    def __init__(self, group: Group | None, processes: int | None) -> None:
        self._group = group
        self._processes = processes
        self._exceeded: tuple[str, ...] = ()

    @property
    def slow(self) -> bool:
        return self._group is not None

    def hold(self, pid: int) -> None:
        """Bind a process that has not begun yet, and all that it will start. Raises: OSError."""
        resource.prlimit(pid, resource.RLIMIT_CORE, NO_CORE)
        if self._processes is not None:
            resource.prlimit(pid, resource.RLIMIT_NPROC, (self._processes, self._processes))
        if self._group is not None:
            self._group.add(pid)

    @property
    def doors(self) -> tuple[Path, ...]:
        """Files that whoever writes a 0 to them is bound by, too."""
        return self._group.doors if self._group is not None else ()

    def exceeded(self) -> tuple[str, ...]:
        """The limits that it ran into, in words."""
        return self._group.exceeded() if self._group is not None else self._exceeded

    def end(self) -> None:
        """Nothing runs any more; nothing of it is left then. Idempotent. Raises: OSError."""
        if self._group is not None:
            self._exceeded, group, self._group = self._group.exceeded(), self._group, None
            group.end()
