"""The two tools: a shell, and an edit that must fit exactly once. What they give back is always bounded.

They run where the agent runs, behind its walls; nothing here is a boundary.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import subprocess
import threading
import time
from pathlib import Path
from typing import Any

from codeswarm.agents.api.loop.answer import Interrupted, words

OUTPUT_MAX = 30_000
"""Bytes of a command's output that the model gets to see: the first and the last half of it."""
TIMEOUT_S = 120.0
TIMEOUT_MAX_S = 3600.0

TOOLS: list[dict[str, Any]] = [
    {
        "name": "shell",
        "description": "Run a command with sh in the workspace and get its output and exit code. Each call is a shell "
        "of its own: folders and variables don't last, and what still runs when the command ends is ended. There is "
        "no standard input. Long output is cut in the middle.",
        "schema": {
            "type": "object",
            "properties": {
                "command": {"type": "string"},
                "timeout_s": {"type": "number", "description": "seconds after which it is ended; 120 by default"},
            },
            "required": ["command"],
        },
    },
    {
        "name": "edit",
        "description": "Change a file: `old`, which must be in it exactly once, becomes `new`. With an empty `old` a "
        "new file is made of `new`. To read a file, use the shell.",
        "schema": {
            "type": "object",
            "properties": {"path": {"type": "string"}, "old": {"type": "string"}, "new": {"type": "string"}},
            "required": ["path", "old", "new"],
        },
    },
]


class Refused(Exception):
    """A tool can't do what the model asked; it is told why and goes on."""


def read_arguments(name: str, text: str) -> dict[str, Any]:
    """Raises: Refused, where they are no arguments of that tool."""
    tool = next((tool for tool in TOOLS if tool["name"] == name), None)
    if tool is None:
        raise Refused(f"there is no tool {name!r}; there are: {', '.join(tool['name'] for tool in TOOLS)}")
    try:
        found = json.loads(text or "{}")
    except (ValueError, RecursionError) as error:
        raise Refused(f"the arguments are no JSON: {error}") from error
    if not isinstance(found, dict):
        raise Refused("the arguments are no JSON object")
    for key in tool["schema"]["required"]:
        if not isinstance(found.get(key), str):
            raise Refused(f"{name} needs {key!r}, a string")
    return found


def edit(arguments: dict[str, Any]) -> str:
    """Raises: Refused; nothing is changed then."""
    path, old, new = Path(arguments["path"]), arguments["old"], arguments["new"]
    try:
        if not old:
            return _create(path, new)
        with path.open(encoding="utf-8", newline="") as file:
            text = file.read()
        found = text.count(old)
        if found != 1:
            there = "is not in the file" if not found else f"is in the file {found} times; give more lines around it"
            raise Refused(f"nothing was changed: `old` {there}")
        with path.open("w", encoding="utf-8", newline="") as file:
            file.write(text.replace(old, new))
    except UnicodeError as error:
        raise Refused(f"{path} is no text in UTF-8; use the shell") from error
    except (OSError, ValueError) as error:
        raise Refused(f"{path}: {error}") from error
    return f"{path} is changed"


def _create(path: Path, text: str) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("x", encoding="utf-8", newline="") as file:
        file.write(text)
    return f"{path} is made"


class Shell:
    """Runs one command at a time; `cut` may come from any thread."""

    def __init__(self) -> None:
        self._cut = threading.Event()
        self._wake, self._waker = os.pipe()

    def cut(self) -> None:
        """End the command that runs, and let no other begin before `mend`."""
        self._cut.set()
        os.write(self._waker, b"!")

    def mend(self) -> None:
        while select.select([self._wake], [], [], 0)[0]:
            os.read(self._wake, 1)
        self._cut.clear()

    def rest(self, seconds: float) -> None:
        """Do nothing for a while. Raises: Interrupted."""
        if self._cut.wait(seconds):
            raise Interrupted

    def run(self, arguments: dict[str, Any]) -> str:
        """Raises: Refused; Interrupted, when the command has been ended."""
        given = arguments.get("timeout_s")
        usable = isinstance(given, int | float) and not isinstance(given, bool) and 0 < given < float("inf")
        timeout_s = min(float(given), TIMEOUT_MAX_S) if usable and given is not None else TIMEOUT_S
        command = words(arguments["command"])
        try:
            process = subprocess.Popen(  # noqa: S603 - running what the model says is what it is for
                ["/bin/sh", "-c", command],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        except (OSError, ValueError) as error:
            raise Refused(f"the shell can't be started: {error}") from error
        with process:
            told = self._attend(process, timeout_s)
        if self._cut.is_set():
            raise Interrupted
        return told

    def _attend(self, process: subprocess.Popen[bytes], timeout_s: float) -> str:
        assert process.stdout is not None
        output = _Output(process.stdout.fileno())
        ended = os.pidfd_open(process.pid)
        try:
            how = self._wait(output, ended, time.monotonic() + timeout_s)
        finally:
            os.close(ended)
            # The group outlives its first process: what was left running holds files and ports of the next command.
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        output.drain()
        how = how or (f"exit code {process.returncode}" if process.returncode >= 0 else f"signal {-process.returncode}")
        return f"{output.text()}\n[{how}]".lstrip("\n")

    def _wait(self, output: _Output, ended: int, until: float) -> str:
        """Until the command ends; answers why it was ended, where it did not do so by itself."""
        watched = [output.descriptor, ended, self._wake]
        while not self._cut.is_set():
            ready = select.select(watched, [], [], max(0.0, until - time.monotonic()))[0]
            if not ready:
                return "ended: it took longer than its time-out"
            if output.descriptor in ready and not output.read():
                watched.remove(output.descriptor)
            elif ended in ready:
                return ""
        return "ended: the turn was interrupted"


class _Output:
    """What a command says: its beginning and its end, however much there is between."""

    def __init__(self, descriptor: int) -> None:
        self.descriptor = descriptor
        self._first = bytearray()
        self._last = bytearray()
        self._left_out = 0
        os.set_blocking(descriptor, False)

    def read(self) -> bool:
        """Take what is there; False at its end."""
        try:
            data = os.read(self.descriptor, 1 << 16)
        except BlockingIOError:
            return True
        room = OUTPUT_MAX // 2 - len(self._first)
        self._first += data[:room]
        self._last += data[room:]
        if (over := len(self._last) - OUTPUT_MAX // 2) > 0:
            self._left_out += over
            del self._last[:over]
        return bool(data)

    def drain(self) -> None:
        """What is still in the pipe; a process that left the group may hold it open, and is not waited for."""
        left = OUTPUT_MAX * 4
        while left > 0 and select.select([self.descriptor], [], [], 0)[0] and self.read():
            left -= 1 << 16

    def text(self) -> str:
        cut = f"\n[… {self._left_out} bytes left out …]\n" if self._left_out else ""
        first, last = self._first.decode(errors="replace"), self._last.decode(errors="replace")
        return f"{first}{cut}{last}"
