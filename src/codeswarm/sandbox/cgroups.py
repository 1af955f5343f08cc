"""Limits on what a run may use, by control groups: v1 where it can be written, or a part of v2's tree that is ours.

A group is made below the one that we are in, never beside it: whatever bounds us bounds our runs, too. In v2 a group
that holds processes can't bound its children; so where only we are in ours we go into one of its children first, and
where others are in it systemd is asked for one of our own.

Source: Documentation/admin-guide/cgroup-v2.rst and cgroup-v1/ of the kernel
"""

from __future__ import annotations

import contextlib
import errno
import itertools
import os
import shlex
import signal
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from codeswarm.packages import as_root, system_packages
from codeswarm.process import TimedOut, run_sync, start_time, stat_fields
from codeswarm.sandbox.base import Lack, Limits

PERIOD_US = 100_000
END_S = 2.0
PAUSE_S = 0.005
ASK_S = 5.0
SCOPE = "org.freedesktop.systemd1 /org/freedesktop/systemd1 org.freedesktop.systemd1.Manager StartTransientUnit"
_KILL, _FREEZE, _FROZEN = "cgroup.kill", "freezer.state", "FROZEN"
_numbers = itertools.count(1)


@dataclass(frozen=True, slots=True)
class Controller:
    """One kind of limit: the files that set it, and the one that counts how often it was run into, in v1 and v2."""

    name: str
    what: str
    files: tuple[tuple[str, str], ...]
    """Those of v1 and of v2. All but the first are written where they are there."""
    counter: tuple[str, str, str] | None = None
    """The files, and the word before the count."""


MEMORY = Controller(
    "memory",
    "memory",
    (("memory.limit_in_bytes", "memory.max"), ("memory.memsw.limit_in_bytes", "memory.swap.max")),
    ("memory.oom_control", "memory.events", "oom_kill"),
)
CPU = Controller("cpu", "processors", (("cpu.cfs_quota_us", "cpu.max"),))
PIDS = Controller("pids", "processes", (("pids.max", "pids.max"),), ("pids.events", "pids.events", "max"))
CONTROLLERS = (MEMORY, CPU, PIDS)
FREEZER = Controller("freezer", "", ())
"""v1's means to end all at once. v2 has a file for that in every group."""


def asked(limits: Limits) -> dict[Controller, str]:
    """The controllers that limits need, and each limit in words."""
    found = {
        MEMORY: limits.memory_mib and f"{limits.memory_mib} MiB of memory",
        CPU: limits.cpus and f"{limits.cpus:g} processors",
        PIDS: limits.pids and f"{limits.pids} processes",
    }
    return {controller: words for controller, words in found.items() if words}


@dataclass(frozen=True, slots=True)
class Parent:
    """Where groups for a controller are made."""

    folder: Path
    version: int


@dataclass(frozen=True, slots=True)
class Cgroups:
    """What can be had here: controller → where. Whatever is missing has a reason."""

    parents: Mapping[Controller, Parent]
    why_not: str = ""

    def lacks(self, limits: Limits) -> tuple[Lack, ...]:
        missing = [words for controller, words in asked(limits).items() if controller not in self.parents]
        return tuple(Lack(f"a limit of {words}", self.why_not, _fix()) for words in missing)

    def make(self, box: str, limits: Limits, *, freezer: bool = False) -> Group | None:
        """A group for a run, with those of the limits that can be had; None where that is none. Raises: OSError.

        `freezer`: with v1's, too. Who has a PID namespace ends all at once without it.
        """
        wanted = [controller for controller in asked(limits) if controller in self.parents]
        if not wanted:
            return None
        if freezer and FREEZER in self.parents:
            wanted.append(FREEZER)
        name = f"codeswarm@{box}@{os.getpid()}.{next(_numbers)}"
        group = Group({self.parents[each].folder / name: self.parents[each].version for each in wanted}, limits)
        try:
            for controller in wanted:
                parent = self.parents[controller]
                (parent.folder / name).mkdir(exist_ok=True)  # in v2 all controllers share one
                _set(parent.folder / name, parent.version, controller, limits)
        except OSError:
            group.remove()
            raise
        return group

    def left(self) -> list[Group]:
        """The groups beside which ours will stand and whose maker is dead."""
        found: dict[str, dict[Path, int]] = {}
        for parent in self.parents.values():
            for folder in parent.folder.glob("codeswarm@*@*"):
                maker = folder.name.rpartition("@")[2].partition(".")[0]
                if maker.isdigit() and start_time(int(maker)) is None:
                    found.setdefault(folder.name, {})[folder] = parent.version
        return [Group(folders, Limits()) for folders in found.values()]


class Group:
    """A run's own groups, one for each hierarchy."""

    def __init__(self, folders: Mapping[Path, int], limits: Limits) -> None:
        self._folders = folders
        self._limits = limits

    @property
    def doors(self) -> tuple[Path, ...]:
        """The files that take the number of a process to put in."""
        return tuple(folder / "cgroup.procs" for folder in self._folders)

    def add(self, pid: int) -> None:
        """Put a process in; what it starts from then on is in it, too. Raises: OSError."""
        for door in self.doors:
            door.write_text(str(pid))

    def exceeded(self) -> tuple[str, ...]:
        """The limits that were run into, in words."""
        return tuple(words for controller, words in asked(self._limits).items() if self._count(controller))

    def _count(self, controller: Controller) -> int:
        if controller.counter is None:
            return 0
        *files, word = controller.counter
        for folder, version in self._folders.items():
            with contextlib.suppress(OSError):
                for line in (folder / files[version - 1]).read_text().splitlines():
                    if line.startswith(f"{word} "):
                        return int(line.split()[1])
        return 0

    def end(self) -> None:
        """Kill all that is in it, however fast it forks, and take it away. Idempotent. Raises: OSError."""
        until = time.monotonic() + END_S
        while any(self._pids()) and time.monotonic() < until:
            self._kill()
            time.sleep(PAUSE_S)
        self.remove()

    def _kill(self) -> None:
        for folder in self._folders:
            if (folder / _KILL).exists():
                (folder / _KILL).write_text("1")
            elif (folder / _FREEZE).exists():
                (folder / _FREEZE).write_text(_FROZEN)
        for pid in set(self._pids()):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        for folder in self._folders:
            if (folder / _FREEZE).exists():
                (folder / _FREEZE).write_text("THAWED")

    def _pids(self) -> Iterator[int]:
        for folder in self._folders:
            with contextlib.suppress(FileNotFoundError):
                yield from map(int, (folder / "cgroup.procs").read_text().split())

    def remove(self) -> None:
        """What was in it has ended; the kernel may take a moment to see that. Idempotent. Raises: OSError."""
        until = time.monotonic() + END_S
        for folder in self._folders:
            while not _removed(folder, last=time.monotonic() >= until):
                time.sleep(PAUSE_S)


def _removed(folder: Path, *, last: bool) -> bool:
    try:
        folder.rmdir()
    except FileNotFoundError:
        return True
    except OSError as error:
        if error.errno != errno.EBUSY or last:
            raise
        return False
    return True


def _set(folder: Path, version: int, controller: Controller, limits: Limits) -> None:
    for place, (first, second) in enumerate(controller.files):
        path = folder / (first if version == 1 else second)
        if place == 0 or path.exists():
            path.write_text(_value(controller, path.name, limits))


def _value(controller: Controller, file: str, limits: Limits) -> str:
    if controller is MEMORY:
        return "0" if file == "memory.swap.max" else str((limits.memory_mib or 0) << 20)
    if controller is PIDS:
        return str(limits.pids)
    quota = str(max(int((limits.cpus or 0) * PERIOD_US), 1000))  # the kernel takes no less than a millisecond
    return quota if file == "cpu.cfs_quota_us" else f"{quota} {PERIOD_US}"


# ── what there is ────────────────────────────────────────────────────────────────────────────────────────────


def look() -> Cgroups:
    """What can be had here, once leftovers of dead processes are gone. It may put this process into a group of its own,
    below the one that it is in or, by systemd, beside it.
    """
    found = {
        controller: Parent(folder, 1)
        for controller in (*CONTROLLERS, FREEZER)
        if (folder := _ours(controller.name)) is not None and os.access(folder, os.W_OK | os.X_OK)
    }
    missing = [controller for controller in CONTROLLERS if controller not in found]
    why_not = ""
    if missing:
        second, why_not = _second_version()
        found |= {each: Parent(second, 2) for each in missing if second and each.name in _read(second, "subtree")}
    cgroups = Cgroups(found, why_not or "the kernel does not offer such a limit to us")
    for group in cgroups.left():
        with contextlib.suppress(OSError):
            group.end()
    return cgroups


def end_groups(boxes: Iterable[str], makers: Iterable[int] = ()) -> None:
    """End whatever is left in the groups of boxes, or in those that a process made, wherever in the trees they are."""
    wanted, made = tuple(f"codeswarm@{box}@" for box in boxes), tuple(f"{pid}." for pid in makers)
    found: dict[str, dict[Path, int]] = {}
    for line in _lines(Path("/proc/self/mountinfo")):
        before, _, after = line.partition(" - ")
        version = {"cgroup": 1, "cgroup2": 2}.get(after.partition(" ")[0])
        for folder, folders, _ in os.walk(before.split(" ")[4]) if version else ():
            for name in folders:
                if name.startswith("codeswarm@") and (
                    name.startswith(wanted) or name.rpartition("@")[2].startswith(made)
                ):
                    found.setdefault(name, {})[Path(folder, name)] = version or 0
    for folders_of_one in found.values():
        with contextlib.suppress(OSError):  # somebody else's, or gone meanwhile
            Group(folders_of_one, Limits()).end()


def _fix() -> str:
    """What lets us make groups, by how they are mounted. In containers they often are, and can only be read."""
    mounted = [line.partition(" - ") for line in _lines(Path("/proc/self/mountinfo"))]
    ours = [(before.split(" "), kind.split(" ")[0]) for before, _, kind in mounted if kind.startswith("cgroup")]
    sealed = [before[4] for before, _ in ours if "ro" in before[5].split(",") and Path(before[4]).is_dir()]
    if sealed:
        return " && ".join(as_root(f"mount -o remount,bind,rw {shlex.quote(place)}") for place in sealed)
    if not ours:
        return as_root("mount -t cgroup2 none /sys/fs/cgroup")
    if Path("/run/systemd/system").is_dir():
        return f"{system_packages('dbus-user-session')} && systemctl --user start dbus.socket"
    return f"{as_root('mount -o remount,rw /sys/fs/cgroup')}   # in a container whose groups are its own"


def _ours(controller: str, proc: Path = Path("/proc/self")) -> Path | None:
    """Our own group in the hierarchy of a v1 controller, or in v2's (""), as a folder; None where it is not mounted."""
    lines = (line.split(":", 2) for line in _lines(proc / "cgroup"))
    within = next((path for _, names, path in lines if controller in names.split(",")), None)
    for line in _lines(proc / "mountinfo"):
        before, _, after = line.partition(" - ")
        kind, _, options = after.split(" ", 2)
        root, point = before.split(" ")[3:5]
        mounted = kind == "cgroup2" if not controller else kind == "cgroup" and controller in options.split(",")
        if mounted and within is not None and (within == root or within.startswith(root.rstrip("/") + "/")):
            return Path(point, os.path.relpath(within, root))
    return None


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text().splitlines()
    except OSError:
        return []


def _read(folder: Path, what: str) -> list[str]:
    name = "cgroup.subtree_control" if what == "subtree" else f"cgroup.{what}"
    return " ".join(_lines(folder / name)).split()


def _second_version() -> tuple[Path | None, str]:
    """A group of v2 whose children can be bounded by all that is there; or None, and why."""
    own = _ours("")
    if own is None:
        return None, "control groups are not mounted here"
    if why := _open_up(own):
        _ask_systemd()
        own = _ours("") or own
        why = _open_up(own) and f"{why}, and systemd gives us none"
    return (None, why) if why else (own, "")


def _open_up(group: Path) -> str:
    """Let a group's children be bounded, once we are in a child of its own; why that can't be."""
    wanted = [each.name for each in CONTROLLERS if each.name in _read(group, "controllers")]
    if not os.access(group, os.W_OK | os.X_OK):
        return f"the control group that we are in ({group}) is not ours to divide"
    if not wanted:
        return f"the control group that we are in ({group}) was given no controllers"
    if set(wanted) <= set(_read(group, "subtree")):
        return ""
    try:
        if {int(pid) for pid in _read(group, "procs")} - {os.getpid()}:
            return f"other processes are in our control group ({group}), too"
        leaf = group / f"codeswarm@worker@{os.getpid()}.0"
        leaf.mkdir(exist_ok=True)
        (leaf / "cgroup.procs").write_text(str(os.getpid()))
        (group / "cgroup.subtree_control").write_text(" ".join(f"+{name}" for name in wanted))
    except OSError as error:
        return f"the control group that we are in ({group}) can't be divided: {error.strerror}"
    return ""


def _ask_systemd() -> None:
    """Ask for a group that is ours to divide, with this very process in it. It is gone with the last one in it."""
    before, pid = _lines(Path("/proc/self/cgroup")), os.getpid()
    began = stat_fields(pid)[19]
    manager = [] if os.getuid() == 0 else ["--user"]
    unit = ["ssa(sv)a(sa(sv))", f"codeswarm-{pid}-{began}.scope", "fail"]
    properties = ["3", "PIDs", "au", "1", str(pid), "Delegate", "b", "true", "CollectMode", "s", "inactive-or-failed"]
    asking = ["busctl", *manager, "--quiet", "call", *SCOPE.split(), *unit, *properties, "0"]
    try:
        done = run_sync(asking, cwd=Path("/"), env=_bus(), timeout_s=ASK_S)
    except (OSError, TimedOut):
        return
    until = time.monotonic() + ASK_S  # it answers before it has done it
    while done.returncode == 0 and _lines(Path("/proc/self/cgroup")) == before and time.monotonic() < until:
        time.sleep(PAUSE_S)


def _bus() -> dict[str, str]:
    """How the person's own systemd is reached: it listens where theirs is, by rule."""
    return {"PATH": os.defpath, "XDG_RUNTIME_DIR": f"/run/user/{os.getuid()}"}
