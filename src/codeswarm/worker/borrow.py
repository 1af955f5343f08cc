"""What a workspace borrows from the machine: files that git ignores in the person's checkout, and free ports."""

from __future__ import annotations

import contextlib
import errno
import os
import socket
import stat
from collections.abc import Iterable, Iterator
from pathlib import Path

from codeswarm.git.paths import as_bytes, shape_problem

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_NEW_FILE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_NOT_THERE = (errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.ENXIO, errno.ENAMETOOLONG)


def copy_files(checkout: Path, names: Iterable[str], files: Path) -> tuple[str, ...]:
    """Copy files from the person's checkout by name, and answer which were there.

    Links are not followed on either side, least of all out of the checkout or out of the workspace: the names come
    from the repository, and its set-up has been in the workspace before.
    """
    return tuple(name for name in names if _copy(checkout, files, as_bytes(name)))


def _copy(checkout: Path, files: Path, name: bytes) -> bool:
    found = read_beneath(checkout, name)
    return found is not None and _write_beneath(files, name, *found)


def read_beneath(root: Path, name: bytes) -> tuple[bytes, int] | None:
    """A regular file's content and mode, each component opened beneath the one before; None: there is no such file."""
    if shape_problem(name):
        return None
    try:
        with _folder_of(root, name, make=False) as (folder, last):
            file = os.open(last, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=folder)
    except OSError as error:
        if error.errno in _NOT_THERE:
            return None
        raise
    try:
        mode = os.fstat(file).st_mode
        if not stat.S_ISREG(mode):
            return None
        with os.fdopen(file, "rb", closefd=False) as handle:
            return handle.read(), stat.S_IMODE(mode) & 0o777
    finally:
        os.close(file)


def _write_beneath(root: Path, name: bytes, data: bytes, mode: int) -> bool:
    """Put a file into the place of whatever file or link is there. Whether that could be done without following any."""
    try:
        with _folder_of(root, name, make=True) as (folder, last):
            with contextlib.suppress(FileNotFoundError):
                os.unlink(last, dir_fd=folder)
            with os.fdopen(os.open(last, _NEW_FILE, 0o600, dir_fd=folder), "wb") as file:
                file.write(data)
                os.fchmod(file.fileno(), mode)
    except OSError as error:
        if error.errno in (*_NOT_THERE, errno.EISDIR):
            return False
        raise
    return True


@contextlib.contextmanager
def _folder_of(root: Path, name: bytes, *, make: bool) -> Iterator[tuple[int, bytes]]:
    """A descriptor of the folder that a path beneath `root` stands in, and its last component. Raises: OSError."""
    *above, last = name.split(b"/")
    with contextlib.ExitStack() as opened:
        folder = os.open(root, _FOLDER & ~os.O_NOFOLLOW)
        opened.callback(os.close, folder)
        for part in above:
            if make:
                with contextlib.suppress(FileExistsError):
                    os.mkdir(part, dir_fd=folder)
            folder = os.open(part, _FOLDER, dir_fd=folder)
            opened.callback(os.close, folder)
        yield folder, last


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
