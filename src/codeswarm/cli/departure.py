"""Leaving a session that goes on: the key `d`, or the end of the terminal (SIGHUP)."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import stat
from collections.abc import Callable, Iterator

KEY = "d"


class Departure:
    """Whether the person has left, and who is to be told of it."""

    def __init__(self) -> None:
        self.wanted = False
        self.hung_up = False
        """The terminal is gone: nobody reads what is said."""
        self._heed: Callable[[], None] | None = None

    @contextlib.contextmanager
    def listening(self) -> Iterator[None]:
        """Take a SIGHUP as a wish to leave, at any moment of this context. One that is ignored (nohup) stays so."""
        ignored = signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
        loop = asyncio.get_running_loop()
        if not ignored:
            loop.add_signal_handler(signal.SIGHUP, self._hang_up)
        try:
            yield
        finally:
            if not ignored:
                loop.remove_signal_handler(signal.SIGHUP)

    @contextlib.contextmanager
    def heeded_by(self, heed: Callable[[], None]) -> Iterator[None]:
        """Call `heed` when the person leaves; at once where that has been already."""
        self._heed = heed
        if self.wanted:
            heed()
        try:
            yield
        finally:
            self._heed = None

    def key(self, pressed: str) -> None:
        if pressed.lower() == KEY:
            self.leave()

    def leave(self) -> None:
        self.wanted = True
        if self._heed is not None:
            self._heed()

    def _hang_up(self) -> None:
        self.hung_up = True
        _silence()
        self.leave()


def _silence() -> None:
    """What would go to the terminal goes nowhere: a write to one that is gone fails, and would end us for it."""
    nowhere = os.open(os.devnull, os.O_RDWR)
    for fd in (0, 1, 2):
        with contextlib.suppress(OSError):
            if stat.S_ISCHR(os.fstat(fd).st_mode):
                os.dup2(nowhere, fd)
    os.close(nowhere)
