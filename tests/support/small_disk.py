"""A disk that is really full: small file systems in memory, in a mount namespace of a test's own; no root is needed.

Commands run in that namespace (`Place.prefix`); the test itself reaches the files through /proc. A disk is filled to
the last byte by one large file beside everything else, and has room again as soon as that is taken away.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

BALLAST = "ballast"
UNSHARE = ["unshare", "--user", "--map-root-user", "--mount"]


@cache
def why_impossible() -> str:
    """Why no such disk can be had here; empty where it can."""
    if shutil.which("unshare") is None or shutil.which("nsenter") is None:
        return "unshare and nsenter are not installed: apt-get install util-linux"
    script = 'mount -t tmpfs -o size=1m small "$0" && grep -q " $0 tmpfs" /proc/self/mounts'
    done = subprocess.run([*UNSHARE, "sh", "-c", script, "/mnt"], capture_output=True, text=True, check=False)
    return "" if done.returncode == 0 else f"no file system of one's own can be mounted here: {done.stderr.strip()}"


@dataclass(frozen=True)
class SmallDisk:
    """A small file system at `path`, as seen from inside the namespace of `holder`."""

    path: Path
    holder: int

    @property
    def here(self) -> Path:
        """The same folder as the test can reach it."""
        return Path(f"/proc/{self.holder}/root{self.path}")

    def fill(self, *, leaving: int = 0) -> None:
        """Leave no byte of room, or as many as told."""
        with (self.here / BALLAST).open("wb", buffering=0) as ballast, contextlib.suppress(OSError):
            while True:
                ballast.write(bytes(1 << 16))
        if leaving:
            size = (self.here / BALLAST).stat().st_size
            os.truncate(self.here / BALLAST, max(size - leaving, 0))
        assert leaving or self.room == 0

    def make_room(self) -> None:
        (self.here / BALLAST).unlink()

    @property
    def room(self) -> int:
        found = os.statvfs(self.here)
        return found.f_bavail * found.f_frsize


@contextlib.contextmanager
def small_disks(directory: Path, *sizes: tuple[Path, int]) -> Iterator[tuple[list[str], list[SmallDisk]]]:
    """Disks of some bytes at some folders: what commands must be run through to see them, there, and the disks."""
    script = "".join(f"mount -t tmpfs -o size={size} small '{path}' && " for path, size in sizes)
    for path, _ in sizes:
        path.mkdir(parents=True, exist_ok=True)
    holder = subprocess.Popen(
        [*UNSHARE, "sh", "-c", script + "echo ready && exec cat"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert holder.stdin is not None
    assert holder.stdout is not None
    try:
        assert holder.stdout.readline() == b"ready\n"
        enter = ["nsenter", f"--target={holder.pid}", "--user", "--mount", "--preserve-credentials", "--"]
        yield (
            [*enter, "sh", "-c", 'cd "$0" && exec "$@"', str(directory)],
            [SmallDisk(path, holder.pid) for path, _ in sizes],
        )
    finally:
        holder.stdin.close()
        holder.wait()
        holder.stdout.close()
