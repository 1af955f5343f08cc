"""The mark of a box: an environment variable by which its processes are found, whoever has started them and died."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from codeswarm.process import kill_and_wait, stat_fields

MARK = "CODESWARM_BOX"
ROUNDS = 50
LOOKS = 50
"""So often, a millisecond apart, a process is looked at that is just becoming another program."""
_FLAGS, _ENV_START = 6, 47
"""Where they stand in /proc/PID/stat, behind the name. Source: proc(5)."""
_PF_KTHREAD = 0x00200000
GONE = ("Z", "X")
"""States of a process of which only the exit code is left."""


def end_marked(name: str, group: int | None = None) -> tuple[str, ...]:
    """Kill every process of a box, again and again until none is found. Returns what would not go."""
    for _ in range(ROUNDS):
        found = marked(name, group)
        if not found:
            return ()
        for pid in found:
            _end(pid, reap=pid != group)
    return tuple(f"pid {pid}" for pid in marked(name, group))


def end_tree(pid: int) -> None:
    """Kill all that descends from a process that collects orphans, and keep it from starting more: it is stopped."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGSTOP)
        for _ in range(ROUNDS):
            found = _descendants({pid}, _parents())
            if not found:
                return
            for each in found:
                _end(each, reap=False)


def _parents() -> dict[int, int]:
    """Every live process → its parent."""
    found = {}
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            fields = stat_fields(int(entry.name))
        except OSError:
            continue
        if fields[0] not in GONE:
            found[int(entry.name)] = int(fields[1])
    return found


def _end(pid: int, *, reap: bool) -> None:
    """Kill one process. An orphan that was handed to us as subreaper is collected, too; others' children are not."""
    try:
        pidfd = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    try:
        with contextlib.suppress(PermissionError):
            kill_and_wait(pidfd, 2.0)
    finally:
        os.close(pidfd)
    if reap:
        with contextlib.suppress(ChildProcessError):
            os.waitpid(pid, os.WNOHANG)


def marked(name: str, group: int | None = None) -> list[int]:
    """Live processes that carry a box's mark, stand in its process group, or descend from such a one."""
    wanted = f"{MARK}={name}".encode()
    parents: dict[int, int] = {}
    chosen: set[int] = set()
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit() or int(entry.name) == os.getpid():
            continue
        pid = int(entry.name)
        try:
            fields = stat_fields(pid)
            state, parent, its_group, its_session = fields[0], int(fields[1]), int(fields[2]), int(fields[3])
            if state in GONE:
                continue
            environ = _environ(pid, fields)
        except (OSError, ValueError):
            continue
        parents[pid] = parent
        if wanted in environ.split(b"\0") or (group is not None and group in (its_group, its_session)):
            chosen.add(pid)
    return sorted(chosen | _descendants(chosen, parents))


def _environ(pid: int, fields: Sequence[str]) -> bytes:
    """A process that is just becoming another program (execve) has no environment for a moment, though whoever started
    it may have been told already that it runs.
    """
    environ = Path(f"/proc/{pid}/environ")
    found = environ.read_bytes()
    if int(fields[_FLAGS]) & _PF_KTHREAD:
        return found
    for _ in range(LOOKS):
        if found:
            break
        now = stat_fields(pid)
        if now[0] in GONE or now[_ENV_START] != "0":
            return environ.read_bytes()  # it has become one meanwhile, or has none at all
        time.sleep(0.001)
        found = environ.read_bytes()
    return found


def _descendants(roots: set[int], parents: Mapping[int, int]) -> set[int]:
    found: set[int] = set()
    frontier = set(roots)
    while frontier:
        frontier = {pid for pid, parent in parents.items() if parent in frontier} - found - roots
        found |= frontier
    return found
