"""Plays one recorded attempt. A program of its own, run behind the same walls as a real agent: `player.py RECORDING`.

It imports nothing but the standard library. The format is described in `recording.py`. Where the recorded run stood
behind something that happened elsewhere in the session, the player asks for it on standard output and goes on when
a line comes back on standard input; so a replay keeps the order of causes, not only the times.
"""

from __future__ import annotations

import base64
import json
import os
import signal
import sys
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import Any


def play(recording: Iterable[str], act: Callable[[dict[str, Any]], None], clock: Any = time) -> int:
    """How the attempt ended: its exit code, or less than 0 for the signal that ended it.

    Raises: EOFError for a recording without its end, which tells of no success; ValueError for what is no recording.
    """
    began = clock.monotonic()
    for line in recording:
        step = json.loads(line)
        delay = step.get("t", 0.0) - (clock.monotonic() - began)
        if delay > 0:
            clock.sleep(delay)
        if step["type"] == "end":
            return code_of(step)
        act(step)
        if step["type"] == "await":
            began = clock.monotonic() - step.get("t", 0.0)
    raise EOFError("the recording breaks off before its end")


def code_of(end: dict[str, Any]) -> int:
    """What a program's end is as a number. Only a number that is there is one, and only 0 itself is a success."""
    number = end["signal"] if "signal" in end else end["exit"]
    if type(number) is not int or not ("signal" in end) <= number <= 255:
        raise ValueError(f"{number!r} is no end of a program")
    return -number if "signal" in end else number


def act(step: dict[str, Any]) -> None:
    match step["type"]:
        case "write":
            write(step)
        case "delete":
            delete(step["path"])
        case "result":
            with open(os.environ["CODESWARM_RESULT"], "w", encoding="utf-8") as result:
                json.dump(step["value"], result)
        case "hang":
            signal.pause()
        case "await":
            say(step)
            sys.stdin.readline()
        case _:
            say(step)


def leave(code: int) -> None:
    sys.stdout.flush()
    if code < 0:
        os.kill(os.getpid(), -code)
    os._exit(code if code >= 0 else 1)  # a signal that ends nothing is no success either


def write(step: dict[str, Any]) -> None:
    path = step["path"]
    data = base64.b64decode(step["base64"]) if "base64" in step else step["text"].encode()
    if os.path.dirname(path):
        os.makedirs(os.path.dirname(path), exist_ok=True)
    if os.path.islink(path):
        os.unlink(path)
    if step.get("mode") == "120000":
        if os.path.lexists(path):
            os.unlink(path)
        os.symlink(os.fsdecode(data), path)
        return
    with open(path, "wb") as file:
        file.write(data)
    os.chmod(path, 0o755 if step.get("mode") == "100755" else 0o644)


def delete(path: str) -> None:
    """As git does: a folder that is empty then goes, too, so that a file may stand in its place."""
    if os.path.lexists(path):
        os.unlink(path)
    try:
        if os.path.dirname(path):
            os.removedirs(os.path.dirname(path))
    except OSError:
        return  # not empty, or not there


def say(step: dict[str, Any]) -> None:
    print(json.dumps({key: value for key, value in step.items() if key != "t"}), flush=True)


if __name__ == "__main__":
    with open(sys.argv[1], encoding="utf-8") as lines:
        leave(play(lines, act))
