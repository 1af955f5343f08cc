"""What is left on this machine of a test's runs: processes, namespaces, mounts, control groups, folders, files.

Other tests run at the same time, so what counts is what can be told to be of this one: by the path of its folder, which
a process in namespaces of its own shows in the list of its mounts, and by the names of its sessions.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from tests.support import processes
from tests.support.runs import Place

GROUPS = Path("/sys/fs/cgroup")


def watched(place: Place) -> Place:
    """A place whose runs have a folder for temporary files of their own."""
    (place.root / "tmp").mkdir()
    place.environment["TMPDIR"] = str(place.root / "tmp")
    return place


def left(place: Place, *sessions: str, attempts: tuple[str, ...] = ()) -> list[str]:
    """What is left once all of a place's sessions are over or at rest. `attempts`: folders that are kept on purpose."""
    running = [f"process: {words}" for words in processes.left_behind(place.root)]
    return [*running, *_boxed(place.root), *_held(place.root), *_groups(sessions), *_folders(place, attempts)]


def boxed(root: Path) -> list[int]:
    """Processes in a mount namespace of their own that shows something of a folder."""
    ours, wanted = os.readlink("/proc/self/ns/mnt"), f"{root}/"
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            if os.readlink(entry / "ns" / "mnt") != ours and wanted in (entry / "mountinfo").read_text():
                found.append(int(entry.name))
        except OSError:
            continue  # it has gone meanwhile
    return found


def _boxed(root: Path) -> Iterator[str]:
    for pid in boxed(root):
        yield f"namespace of pid {pid}: {processes.command_of(pid)}"


def _held(root: Path) -> Iterator[str]:
    """Namespaces that a process of ours still holds by a descriptor, and mounts that the host itself shows."""
    for pid in processes.of(root):
        for fd in Path(f"/proc/{pid}/fd").glob("*"):
            if (kind := _link(fd)).startswith(("mnt:[", "user:[", "pid:[", "net:[")):
                yield f"{kind} held by {processes.command_of(pid)}"
    mounts = Path("/proc/self/mountinfo").read_text().splitlines()
    yield from (f"mount: {line}" for line in mounts if f"{root}/" in line)


def _link(path: Path) -> str:
    try:
        return os.readlink(path)
    except OSError:
        return ""


def _groups(sessions: tuple[str, ...]) -> Iterator[str]:
    for folder, folders, _ in os.walk(GROUPS):
        for name in folders:
            if name.startswith("codeswarm@") and any(session in name for session in sessions):
                yield f"control group: {folder}/{name}"


def _folders(place: Place, kept: tuple[str, ...]) -> Iterator[str]:
    for path in place.root.glob("cache/codeswarm/*/attempts/*"):
        if path.name not in kept:
            yield f"folder: {path}"
    yield from (f"temporary file: {path}" for path in (place.root / "tmp").iterdir())
