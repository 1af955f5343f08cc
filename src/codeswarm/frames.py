"""What a person's terminal and the worker that lets them in say to each other, over a private socket of this machine.

A frame is a letter, a length, and that many bytes. `H` who comes and what for, `D` what is typed and shown, `W` the
size of the terminal, `E` the program has ended, `V` how the person leaves, `A` that it is taken down.
"""

from __future__ import annotations

import asyncio
import json
import os
import socket
import struct
from pathlib import Path
from typing import Any

HELLO, DATA, SIZE, ENDED, VERDICT, DONE = b"H", b"D", b"W", b"E", b"V", b"A"
_HEAD = struct.Struct(">cI")
LONGEST = 1 << 20


async def receive(reader: asyncio.StreamReader) -> tuple[bytes, bytes] | None:
    """The next frame; None where the other end has gone, or says what is none."""
    try:
        kind, size = _HEAD.unpack(await reader.readexactly(_HEAD.size))
        return None if size > LONGEST else (kind, await reader.readexactly(size))
    except (asyncio.IncompleteReadError, ConnectionError, OSError):
        return None


def send(writer: asyncio.StreamWriter, kind: bytes, data: bytes = b"") -> None:
    writer.write(_HEAD.pack(kind, len(data)) + data)


def send_json(writer: asyncio.StreamWriter, kind: bytes, **said: Any) -> None:
    send(writer, kind, json.dumps(said).encode())


def read_json(data: bytes) -> dict[str, Any]:
    """What a frame says; nothing where that is no object."""
    try:
        found = json.loads(data)
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def listen(path: Path) -> socket.socket:
    """A socket for this user alone, however long its path is. Raises: OSError."""
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        path.unlink(missing_ok=True)
        listener.bind(f"/proc/self/fd/{folder}/{path.name}")
        path.chmod(0o600)
    except BaseException:
        listener.close()
        raise
    finally:
        os.close(folder)
    return listener


def call(path: Path) -> socket.socket:
    """Raises: OSError where nobody listens there."""
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    caller = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        caller.connect(f"/proc/self/fd/{folder}/{path.name}")
    except BaseException:
        caller.close()
        raise
    finally:
        os.close(folder)
    return caller
