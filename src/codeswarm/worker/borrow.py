"""What a workspace borrows from the machine: files that git ignores in the person's checkout, and free ports."""

from __future__ import annotations

import re
import socket
from collections.abc import Iterable
from pathlib import Path

from codeswarm.git.ignored import ignored_files
from codeswarm.git.paths import as_bytes
from codeswarm.worker.beneath import read_beneath, read_left, write_beneath

EXCLUDE = ".git/info/exclude"
MAX_EXCLUDE = 1 << 20
_SPECIAL = re.compile(rb"[\\*?\[ ]")
"""What means something in a pattern of git's."""


def copy_files(checkout: Path, names: Iterable[str], files: Path) -> tuple[str, ...]:
    """Copy files that git ignores and does not track from the person's checkout by name, and answer which were there.

    Links are not followed on either side, least of all out of the checkout or out of the workspace: the names come
    from the repository, and its set-up has been in the workspace before. Raises: GitError, OSError.
    """
    paths = {name: as_bytes(name) for name in names}
    ignored = ignored_files(checkout, paths.values())
    return tuple(name for name, path in paths.items() if path in ignored and _copy(checkout, files, path))


def _copy(checkout: Path, files: Path, name: bytes) -> bool:
    found = read_beneath(checkout.resolve(), name)
    return found is not None and write_beneath(files, name, *found)


def exclude(files: Path, names: Iterable[str]) -> None:
    """Let the workspace's own git ignore copied files, so that no `git add` takes one by mistake.

    Set-up may have left anything there: what can't be written without following a link stays as it is.
    """
    lines = [_SPECIAL.sub(rb"\\\g<0>", as_bytes(name)) for name in names if "\n" not in name]
    if lines:
        before = read_left(files, EXCLUDE, MAX_EXCLUDE) or b""
        write_beneath(files, EXCLUDE.encode(), before + b"".join(b"/%b\n" % line for line in lines), 0o644)


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
