"""Single keys while a board is up, and the terminal put back as it was, whatever ends us (but SIGKILL).

Only line editing and echo are switched off, and only while we are in the foreground: Ctrl+C stays a signal.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
import termios
import tty
from collections.abc import Callable
from types import FrameType
from typing import Any


class Keys:
    def __init__(self, heard: Callable[[str], None], fd: int | None = None) -> None:
        """`heard` is called in the loop with each key that is pressed."""
        self._heard = heard
        self._fd = sys.stdin.fileno() if fd is None else fd
        self._before: list[Any] | None = None

    def open(self) -> None:
        """Begin to listen; without effect where there is no terminal, or another program has it."""
        if self._before is not None or not self._ours():
            return
        with contextlib.suppress(termios.error):
            self._before = termios.tcgetattr(self._fd)
            tty.setcbreak(self._fd, termios.TCSADRAIN)
            asyncio.get_running_loop().add_reader(self._fd, self._read)
            signal.signal(signal.SIGQUIT, self._quit)

    def close(self) -> None:
        """Put the terminal back."""
        if self._before is None:
            return
        asyncio.get_running_loop().remove_reader(self._fd)
        signal.signal(signal.SIGQUIT, signal.SIG_DFL)
        self._restore()

    def _restore(self) -> None:
        before, self._before = self._before, None
        with contextlib.suppress(termios.error):  # it has been closed
            termios.tcsetattr(self._fd, termios.TCSADRAIN, before or [])

    def _ours(self) -> bool:
        """Whether we are the terminal's foreground: from the background, a change of its modes would stop us."""
        try:
            return os.isatty(self._fd) and os.tcgetpgrp(self._fd) == os.getpgrp()
        except OSError:
            return False

    def _read(self) -> None:
        try:
            pressed = os.read(self._fd, 64)
        except OSError:
            pressed = b""
        if not pressed:  # the terminal is gone; a SIGHUP tells what that means
            asyncio.get_running_loop().remove_reader(self._fd)
        for key in pressed.decode(errors="replace"):
            self._heard(key)

    def _quit(self, number: int, frame: FrameType | None) -> None:
        """Ctrl+backslash ends us on the spot, but not with a terminal that shows nothing of what is typed."""
        self._restore()
        signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), number)
