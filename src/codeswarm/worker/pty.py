"""A terminal of its own for a program in a box: what it shows is told, what a person types is written to it."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import struct
import termios
from collections.abc import Callable, Mapping

CHUNK = 1 << 16
PAUSE_S = 0.02
MOST = 1000
"""Rows and columns."""


class Pty:
    def __init__(self, shown: Callable[[bytes], None], behind: Callable[[], bool] = lambda: False) -> None:
        """`behind`: whether whoever looks has not taken what was shown; nothing more is read then."""
        self._shown = shown
        self._behind = behind
        self._outer, self.inner = os.openpty()
        os.set_blocking(self._outer, False)
        asyncio.get_running_loop().add_reader(self._outer, self._read)
        self._open = True

    def _read(self) -> None:
        try:
            data = os.read(self._outer, CHUNK)
        except BlockingIOError:
            return
        except OSError:  # nobody holds the inner side any more
            data = b""
        if data:
            self._shown(data)
        if not data or self._behind():
            asyncio.get_running_loop().remove_reader(self._outer)
        if data and self._behind():
            asyncio.get_running_loop().call_later(PAUSE_S, self._go_on)

    def _go_on(self) -> None:
        if not self._open:
            return
        loop = asyncio.get_running_loop()
        if self._behind():
            loop.call_later(PAUSE_S, self._go_on)
        else:
            loop.add_reader(self._outer, self._read)

    def rest(self) -> None:
        """Tell what was shown last."""
        with contextlib.suppress(OSError):
            while data := os.read(self._outer, CHUNK):
                self._shown(data)

    async def write(self, data: bytes) -> None:
        """A program that reads nothing is waited for, as a terminal would."""
        while data:
            try:
                data = data[os.write(self._outer, data) :]
            except BlockingIOError:
                await asyncio.sleep(PAUSE_S)
            except OSError:
                return

    def resize(self, size: Mapping[str, object]) -> None:
        rows, columns = (_bounded(size.get(name)) for name in ("rows", "columns"))
        with contextlib.suppress(OSError):
            fcntl.ioctl(self._outer, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def close(self) -> None:
        if self._open:
            self._open = False
            asyncio.get_running_loop().remove_reader(self._outer)
            os.close(self._outer)
            os.close(self.inner)


def _bounded(number: object) -> int:
    return min(max(number, 1), MOST) if isinstance(number, int) else 24
