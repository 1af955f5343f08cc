"""`codeswarm` on a terminal, as a person has one: what it shows is read, what they would type is sent."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import select
import struct
import subprocess
import termios
from types import TracebackType

from tests.support.runs import CODESWARM, Place

_CONTROL = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|\x1b\][^\x07]*\x07|\r")
WIDTH, HEIGHT = 200, 50


class Terminal:
    """A pseudo-terminal with `codeswarm` in it. Leaving the block ends the process."""

    def __init__(self, place: Place, *words: str, timeout_s: float = 60) -> None:
        self._main, inner = pty.openpty()
        fcntl.ioctl(inner, termios.TIOCSWINSZ, struct.pack("HHHH", HEIGHT, WIDTH, 0, 0))
        self._process = subprocess.Popen(
            [*CODESWARM, *words], cwd=place.repository, env=place.env({"TERM": "xterm"}), start_new_session=True,
            stdin=inner, stdout=inner, stderr=inner,
        )  # fmt: skip
        os.close(inner)
        self._timeout_s = timeout_s
        self._seen = 0
        self.text = ""

    def __enter__(self) -> Terminal:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._process.kill()
        self._process.wait()
        os.close(self._main)

    def type(self, text: str) -> None:
        os.write(self._main, text.encode())

    def until(self, words: str) -> None:
        """Read on until these words were shown, after those that were waited for before."""
        while (at := self.text.find(words, self._seen)) < 0:
            assert self._read(), f"{words!r} was never shown: {self.text[-3000:]}"
        self._seen = at + len(words)

    def end(self) -> int:
        """Read to the end; the exit code."""
        while self._read():
            pass
        return self._process.wait(self._timeout_s)

    def _read(self) -> bool:
        """Whether there was more."""
        ready, _, _ = select.select([self._main], [], [], self._timeout_s)
        assert ready, f"nothing more was shown: {self.text[-3000:]}"
        try:
            found = os.read(self._main, 1 << 16)
        except OSError:
            return False  # Linux answers EIO once nobody holds the other side any more
        self.text += _CONTROL.sub("", found.decode(errors="replace"))
        return bool(found)
