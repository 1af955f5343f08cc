"""Looking at the processes of this machine, as a test may."""

from __future__ import annotations

import os
import select
import signal
from pathlib import Path

DYING_S = 10.0
"""On a busy machine the end of a whole process tree takes a while to be seen."""


def of(root: Path) -> list[int]:
    """Live processes that have to do with a test's folder: by command line, environment or working directory."""
    wanted = os.fsencode(root)
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        if int(entry.name) == os.getpid():
            continue
        try:
            state = (entry / "stat").read_text().rpartition(")")[2].split()[0]
            told = (entry / "cmdline").read_bytes() + (entry / "environ").read_bytes()
            told += os.fsencode(os.readlink(entry / "cwd"))
        except OSError:
            continue
        if state not in "ZX" and wanted in told:
            found.append(int(entry.name))
    return found


def with_environment(marker: str, *words: bytes) -> list[int]:
    """Live processes whose environment holds `marker` and whose command line holds all of `words`."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            environment, command = (entry / "environ").read_bytes(), (entry / "cmdline").read_bytes()
        except OSError:
            continue
        if marker.encode() in environment.split(b"\0") and all(word in command for word in words):
            found.append(int(entry.name))
    return found


def left_behind(root: Path) -> list[str]:
    """Command lines of what still runs for a test's folder. What has been killed gets a moment to be gone."""
    found = []
    for pid in of(root):
        if not _goes(pid) and (words := command_of(pid)):
            found.append(words)
    return found


def command_of(pid: int) -> str:
    """A process's command line; empty where it has gone."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
    except OSError:
        return ""


def _goes(pid: int) -> bool:
    """Whether a process ends within some seconds by itself."""
    try:
        pidfd = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    try:
        return bool(select.select([pidfd], [], [], DYING_S)[0])
    finally:
        os.close(pidfd)


def kill_all(root: Path) -> int:
    """SIGKILL for everything that has to do with a test's folder, as a crash of the machine would; how many."""
    killed = 0
    for pid in of(root):
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            continue
        killed += 1
    return killed
