"""No walls: the person's own word. Everything is cleaned up as well as it can be, and that is said.

Processes are found by a mark in their environment and by descent; one that clears its environment and detaches
itself from its parent and session at once is not found. Only namespaces promise more.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from codeswarm.process import kill_and_wait, spawn
from codeswarm.sandbox.base import Box, Inside, Probe, Running

MARK = "CODESWARM_BOX"
ROUNDS = 50


class NoSandbox:
    kind = "none"
    promises = (
        "no walls: agents and gates can do whatever you can; leftover processes are ended as far as they are found"
    )

    def inside(self, box: Box) -> Inside:
        return Inside(box.workspace, box.home, box.run, box.tmp)

    async def start(
        self,
        box: Box,
        argv: Sequence[str],
        env: Mapping[str, str],
        *,
        stdin: int | None = None,
        stderr: int | None = None,
    ) -> Running:
        pipe = asyncio.subprocess.PIPE
        process = await spawn(
            argv,
            cwd=box.workspace,
            env={"HOME": str(box.home), "TMPDIR": str(box.tmp), "PATH": os.defpath, **env, MARK: box.name},
            stdin=pipe if stdin is None else stdin,
            stderr=pipe if stderr is None else stderr,
        )
        return _Loose(process, box.name)


class _Loose:
    def __init__(self, process: asyncio.subprocess.Process, name: str) -> None:
        self._process = process
        self._name = name

    @property
    def process(self) -> asyncio.subprocess.Process:
        return self._process

    async def end(self) -> tuple[str, ...]:
        group = self._process.pid
        left = await asyncio.to_thread(end_marked, self._name, group)
        await self._process.wait()
        return left


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


def probe() -> Probe:
    return Probe(works=True)
