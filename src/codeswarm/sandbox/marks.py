"""The mark of a box: an environment variable by which its processes are found, whoever has started them and died."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Mapping
from pathlib import Path

from codeswarm.process import kill_and_wait

MARK = "CODESWARM_BOX"
ROUNDS = 50


def end_marked(name: str, group: int | None = None) -> tuple[str, ...]:
    """Kill every process of a box, again and again until none is found. Returns what would not go."""
    for _ in range(ROUNDS):
        found = marked(name, group)
        if not found:
            return ()
        for pid in found:
            _end(pid, reap=pid != group)
    return tuple(f"pid {pid}" for pid in marked(name, group))


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
            fields = (entry / "stat").read_text().rpartition(")")[2].split()
            state, parent, its_group, its_session = fields[0], int(fields[1]), int(fields[2]), int(fields[3])
            environ = (entry / "environ").read_bytes()
        except (OSError, ValueError):
            continue
        if state in ("Z", "X"):
            continue
        parents[pid] = parent
        if wanted in environ.split(b"\0") or (group is not None and group in (its_group, its_session)):
            chosen.add(pid)
    return sorted(chosen | _descendants(chosen, parents))


def _descendants(roots: set[int], parents: Mapping[int, int]) -> set[int]:
    found: set[int] = set()
    frontier = set(roots)
    while frontier:
        frontier = {pid for pid, parent in parents.items() if parent in frontier} - found - roots
        found |= frontier
    return found
