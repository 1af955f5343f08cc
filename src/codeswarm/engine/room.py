"""Room on the disk: while there is none, nothing is written and nothing is lost; then everything goes on by itself.

Whoever meets a full disk says so here. The person is told once, every write is refused at once from then on, and no
lease runs out. Whether there is room again is tried with a file of our own, so that the ledger and the store need not
be tried on; whoever moves things waits for that and takes the same step again.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import ParamSpec, TypeVar

from codeswarm.clock import Clock
from codeswarm.engine.threads import in_thread
from codeswarm.errors import FREE_SOME, CodeswarmError, DiskFull, GitError, disk_full

P = ParamSpec("P")
T = TypeVar("T")

ENOUGH_BYTES = 1 << 20
"""As much must fit before it is tried again."""
FIRST_PAUSE_S = 0.2
LONGEST_PAUSE_S = 5.0
CALM_S = 60.0
"""Full again within this time after there was room: the same trouble, told no second time and tried no sooner."""

Tell = Callable[[CodeswarmError | None], None]
"""Told why nothing can be written, and with None that it can be again."""


class Room:
    def __init__(self, folders: Sequence[Path], clock: Clock, tell: Tell, again: Callable[[], None]) -> None:
        """`folders`: where we write; they may be on several disks. `again` is called each time when there is room
        again, before anybody goes on.
        """
        self._begin_again = again
        self._folders = folders
        self._clock = clock
        self._tell = tell
        self._pause_s = FIRST_PAUSE_S
        self._calm_since = float("-inf")
        self._told = False
        self._met = asyncio.Event()
        self._again = asyncio.Event()
        self.problem: CodeswarmError | None = None
        """Why nothing can be written just now, or None."""

    async def met(self, error: BaseException) -> CodeswarmError | None:
        """Somebody's write failed: what is to be told of it where that was for want of room, else None."""
        full = disk_full(error) or await self._unsaid(error)
        if full is not None and self.problem is None:
            self.problem = full
            self._begin(full)
        return full

    async def _unsaid(self, error: BaseException) -> CodeswarmError | None:
        """Git does not always say why it could not write: then it is tried whether anybody can."""
        if not isinstance(error, GitError) or await in_thread(self._try):
            return None
        return DiskFull(f"the disk is full: {error.what}", error.why, FREE_SOME)

    def _begin(self, full: CodeswarmError) -> None:
        if self._clock.monotonic() - self._calm_since > CALM_S:
            self._pause_s = FIRST_PAUSE_S
            self._told = True
            self._tell(full)
        self._again.clear()
        self._met.set()

    async def patiently(self, act: Callable[P, Awaitable[T]], *args: P.args, **kwargs: P.kwargs) -> T:
        """Do something, and where there is no room for it, again once there is. Raises: what `act` raises else."""
        while True:
            try:
                return await act(*args, **kwargs)
            except Exception as error:
                if await self.met(error) is None:
                    raise
            await self._again.wait()

    async def run(self) -> None:
        """Until cancelled: while there is no room, look for some again and again."""
        while True:
            await self._met.wait()
            await self._clock.sleep(self._pause_s)
            self._pause_s = min(2 * self._pause_s, LONGEST_PAUSE_S)
            if await in_thread(self._try):
                self._end()

    def _end(self) -> None:
        self._calm_since = self._clock.monotonic()
        self.problem = None
        self._met.clear()
        self._begin_again()
        self._again.set()
        if self._told:
            self._told = False
            self._tell(None)

    def _try(self) -> bool:
        """Whether a file of some size can be written wherever we write."""
        return all(_takes_a_file(folder) for folder in self._folders)


def _takes_a_file(folder: Path) -> bool:
    path = folder / f"room.{os.getpid()}"
    try:
        with path.open("wb") as file:
            file.write(bytes(ENOUGH_BYTES))
            file.flush()
            os.fsync(file.fileno())
    except OSError:
        return False
    finally:
        path.unlink(missing_ok=True)
    return True
