"""A quick question to the live router, for commands that only look and answer at once. Light: no client is loaded."""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import Any

API = "/api/v1"
MAX_SOCKET_PATH = 100
"""A socket's address holds 107 bytes; what is longer is reached through /proc/self/fd."""
PATIENCE_S = 2.0


@contextmanager
def socket_address(path: Path) -> Iterator[str]:
    """A socket's address that fits, however long its path is."""
    if len(os.fsencode(path)) <= MAX_SOCKET_PATH:
        yield str(path)
        return
    fd = os.open(path.parent, os.O_PATH | os.O_DIRECTORY)
    try:
        yield f"/proc/self/fd/{fd}/{path.name}"
    finally:
        os.close(fd)


class _Connection(HTTPConnection):
    def __init__(self, path: Path) -> None:
        super().__init__("router", timeout=PATIENCE_S)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
        self.sock.settimeout(PATIENCE_S)
        with socket_address(self._path) as address:
            self.sock.connect(address)


def glance(path: Path, question: str) -> Any | None:
    """The answer to a GET; None where there is none, for whatever reason: it is not worth an error."""
    connection = _Connection(path)
    try:
        connection.request("GET", API + question)
        answer = connection.getresponse()
        return json.loads(answer.read()) if answer.status == 200 else None
    except (OSError, HTTPException, ValueError):
        return None
    finally:
        connection.close()
