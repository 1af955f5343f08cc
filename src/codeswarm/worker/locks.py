"""Locks between processes: whoever holds one may die, and the next one goes on."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
from collections.abc import AsyncIterator
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
