"""Locks between processes: whoever holds one may die, and the next one goes on."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

POLL_S = 0.05


@contextlib.asynccontextmanager
async def locked(path: Path) -> AsyncIterator[None]:
    """Hold a lock file, so that of many workers one makes something and the others take what it made.

    It is asked for again and again, rather than waited for in a thread: the waiters of one process would take every
    thread that its holder needs.
    """
    with path.open("a") as file:
        while not _try_lock(file.fileno()):  # noqa: ASYNC110 - other processes hold it, too
            await asyncio.sleep(POLL_S)
        yield


def _try_lock(fd: int) -> bool:
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


@contextlib.contextmanager
def taken(path: Path) -> Iterator[bool]:
    """Hold a lock file to the end of the block, if nobody holds it; whether it is ours. Raises: OSError.

    A lock file in a folder that is not there is nobody's: True, and nothing is held.
    """
    try:
        file = path.open("a")
    except FileNotFoundError:
        yield True
        return
    with file:
        yield _try_lock(file.fileno()) and _is_there(path, file.fileno())


@contextlib.contextmanager
def in_use(path: Path) -> Iterator[None]:
    """Hold a lock file to the end of the block together with all who use the same: so long nobody has it `taken`.

    Whoever has is waited for. Raises: OSError.
    """
    with path.open("a") as file:
        fcntl.flock(file.fileno(), fcntl.LOCK_SH)
        yield


def _is_there(path: Path, fd: int) -> bool:
    """Whether a lock file still stands where it was opened: who held it before may have removed its folder."""
    try:
        return os.path.samestat(path.stat(), os.fstat(fd))
    except FileNotFoundError:
        return False
