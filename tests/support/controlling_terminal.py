"""A terminal that controls `codeswarm`, as a window does: Ctrl+C is a signal, and closing it is a SIGHUP."""

from __future__ import annotations

import asyncio
import fcntl
import os
import re
import struct
import subprocess
import termios
from collections.abc import Mapping

from codeswarm.process import gone
from tests.support.runs import CODESWARM, Place

ROWS, COLUMNS = 50, 160
CONTROL = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|\r")
CTRL_C, CTRL_BACKSLASH = "\x03", "\x1c"


class Terminal:
    def __init__(self, place: Place, *words: str, env: Mapping[str, str] = {}) -> None:
        self._master, self._slave = os.openpty()
        size = struct.pack("HHHH", ROWS, COLUMNS, 0, 0)
        fcntl.ioctl(self._master, termios.TIOCSWINSZ, size)
        self.modes_before = self.modes
        self.process = subprocess.Popen(
            [*CODESWARM, *words],
            cwd=place.repository,
            env=place.env({"TERM": "xterm", **env}),
            stdin=self._slave,
            stdout=self._slave,
            stderr=self._slave,
            start_new_session=True,
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),  # noqa: PLW1509 - nothing else does it
        )
        self.shown = ""
        self._news = asyncio.Event()
        self._open = True
        os.set_blocking(self._master, False)
        asyncio.get_running_loop().add_reader(self._master, self._read)

    @property
    def modes(self) -> list[object]:
        return termios.tcgetattr(self._slave)

    @property
    def echoes(self) -> bool:
        return bool(termios.tcgetattr(self._slave)[3] & termios.ECHO)

    def _read(self) -> None:
        try:
            self.shown += CONTROL.sub("", os.read(self._master, 1 << 16).decode(errors="replace"))
        except OSError:
            asyncio.get_running_loop().remove_reader(self._master)
        self._news.set()

    async def until(self, text: str) -> None:
        """Until it has shown a text. Bounded by the test's own time-out."""
        while text not in self.shown:
            self._news.clear()
            await self._news.wait()

    def type(self, keys: str) -> None:
        os.write(self._master, keys.encode())

    async def end(self) -> int:
        """Wait for the end of the program; its exit code."""
        await gone(self.process.pid)
        return self.process.wait()

    def close(self) -> None:
        """Close it: the kernel sends a SIGHUP to whoever is in its foreground."""
        if self._open:
            self._open = False
            asyncio.get_running_loop().remove_reader(self._master)
            os.close(self._master)
            os.close(self._slave)
