"""What a workspace borrows from the machine: files that git ignores in the person's checkout, and free ports."""

from __future__ import annotations

import contextlib
import errno
import os
import socket
from collections.abc import Iterable
from pathlib import Path


def copy_files(checkout: Path, names: Iterable[str], files: Path) -> tuple[str, ...]:
    """Copy files from the person's checkout by name, and answer which were there.

    Links are not followed, least of all out of the checkout: the names come from the repository.
    """
    copied = []
    for name in names:
        data = _read_beneath(checkout, name)
        if data is not None:
            target = files / name
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(data)
            copied.append(name)
    return tuple(copied)


def _read_beneath(root: Path, name: str) -> bytes | None:
    """A regular file's content, each component opened beneath the one before; None where there is no such file."""
    parts = [part for part in name.split("/") if part not in ("", ".")]
    if not parts or ".." in parts:
        return None
    with contextlib.ExitStack() as opened:
        try:
            fd = os.open(root, os.O_RDONLY | os.O_DIRECTORY)
            opened.callback(os.close, fd)
            for part in parts[:-1]:
                fd = os.open(part, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=fd)
                opened.callback(os.close, fd)
            file = os.open(parts[-1], os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=fd)
        except OSError as error:
            if error.errno in (errno.ENOENT, errno.ENOTDIR, errno.ELOOP):
                return None
            raise
        with os.fdopen(file, "rb") as handle:
            return handle.read()


def free_ports(names: Iterable[str]) -> tuple[dict[str, str], list[socket.socket]]:
    """A port for each name, and the sockets that keep it from being given out again while they are held.

    They are bound but don't listen, and allow reuse, so that whoever the port is for can bind it.
    """
    ports: dict[str, str] = {}
    sockets = []
    for name in names:
        held = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        held.bind(("127.0.0.1", 0))
        sockets.append(held)
        ports[name] = str(held.getsockname()[1])
    return ports, sockets
