"""The checkouts under overlays: made once for a session, whole or not at all, and written by nobody afterwards.

Each workspace refers to its own by name, and that one stays while the workspace does: without it what an attempt left
could not be seen again. One that is lost all the same is made anew from its commit.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from codeswarm.domain.ids import Commit
from codeswarm.errors import CodeswarmError
from codeswarm.git.checkout import lay_under
from codeswarm.git.command import Git
from codeswarm.process import run_sync
from codeswarm.worker.locks import locked
from codeswarm.worker.places import Place, remove
from codeswarm.worker.snapshots import baseline_of_checkout

GROWING = ".growing"
MOST_CHANGES = 2000
"""A commit that is further away from every lower there is gets one of its own: to write it over one of them would take
longer, each time."""
TICK_S = 0.01
"""The longest that the kernel's clock for files lags behind."""


@dataclass(frozen=True, slots=True)
class Lower:
    root: Path

    @property
    def name(self) -> str:
        return self.root.name

    @property
    def commit(self) -> Commit:
        return Commit(self.name.partition(".")[2])

    @property
    def files(self) -> Path:
        return self.root / "files"

    @property
    def manifest(self) -> Path:
        """What the walker knows of the files, for whoever stands on them."""
        return self.root / "manifest"

    def changes(self, objects: Path, start: Commit) -> dict[bytes, bool]:
        """Each path that differs at `start`, and whether there is still something at it. Raises: GitError."""
        if self.commit == start:
            return {}
        git = Git(self.files / ".git", env={"GIT_ALTERNATE_OBJECT_DIRECTORIES": str(objects)})
        words = git.run("diff-tree", "-r", "-z", "--no-renames", "--name-status", self.commit, start).split(b"\0")
        return {path: status != b"D" for status, path in zip(words[::2], words[1::2], strict=False)}


class Lowers:
    """`folder` holds SESSION.COMMIT of all sessions of a project."""

    def __init__(self, folder: Path, as_agent: Sequence[str]) -> None:
        """`as_agent`: what git is put behind to be who agents are inside."""
        self._folder = folder
        self._as_agent = as_agent

    @contextlib.asynccontextmanager
    async def lock(self, session: str) -> AsyncIterator[None]:
        """Whoever chooses a lower or makes one holds it."""
        await asyncio.to_thread(self._folder.mkdir, parents=True, exist_ok=True)
        async with locked(self._folder / f"{session}.lock"):
            yield

    def under(self, place: Place, objects: Path, start: Commit) -> tuple[Lower, dict[bytes, bool]]:
        """The nearest lower, for a new place that refers to it from now on, and how `start` differs from it.

        Where none is near, one is made. Raises: GitError, OSError.
        """
        near = self._nearest(place.session, objects, start)
        if near is None:
            near = self._make(f"{place.session}.{start}", objects), {}
        place.create_overlay(near[0].name)
        return near

    def again(self, place: Place, objects: Path) -> Lower:
        """The lower that a place stands on. Raises: GitError, OSError."""
        lower = Lower(self._folder / place.lower)
        return lower if lower.root.is_dir() else self._make(lower.name, objects)

    def _nearest(self, session: str, objects: Path, start: Commit) -> tuple[Lower, dict[bytes, bool]] | None:
        roots = [root for root in self._folder.glob(f"{session}.*") if root.is_dir() and root.suffix != GROWING]
        lowers = [Lower(root) for root in roots]
        if (exact := Lower(self._folder / f"{session}.{start}")) in lowers:
            return exact, {}
        near = [(lower, lower.changes(objects, start)) for lower in lowers]
        best = min(near, key=lambda each: len(each[1]), default=None)
        return best if best is not None and len(best[1]) <= MOST_CHANGES else None

    def _make(self, name: str, objects: Path) -> Lower:
        """What a killed maker left behind is nobody's, and is thrown away."""
        lower, growing = Lower(self._folder / name), Lower(self._folder / f"{name}{GROWING}")
        remove(growing.root)
        growing.files.mkdir(parents=True)
        lay_under(growing.files, objects, lower.commit, self._as_agent)
        baseline_of_checkout(growing.files, lower.commit, growing.manifest)
        _sync(growing.root)
        _settle(growing.files / ".git" / "index")
        growing.root.chmod(0o555)
        growing.root.rename(lower.root)
        return lower


def _settle(index: Path) -> None:
    """Leave no doubt to git: of a file as young as its index, to the second, it reads the content each time.

    The second is written, not left to the kernel: its clock for files ticks a little late, so that what is dated just
    now may still be of the second before. For the same reason one more tick is waited for before anybody may write.
    """
    second = int(index.stat().st_mtime) + 1
    time.sleep(max(second + TICK_S - time.time(), 0))
    os.utime(index, (second, second))


def _sync(folder: Path) -> None:
    """After a power loss a lower is there as it was made, or not at all."""
    done = run_sync(["sync", "--file-system", str(folder)], cwd=Path("/"), env={})
    if done.returncode != 0:
        said = done.stderr.decode(errors="replace").strip()
        raise CodeswarmError("a checkout under overlays could not be written down", said, "codeswarm doctor")
