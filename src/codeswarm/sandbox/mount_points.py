"""Where mounts come to stand in a folder that earlier runs could write: made on the host, and no link is followed.

bubblewrap makes a missing mount point itself, and follows links on the way while the host's files are still in its
reach: what a run planted in its TMPDIR would make it write outside.
"""

from __future__ import annotations

import contextlib
import os
import stat
from pathlib import Path

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


def make_mount_point(root: Path, inside: Path, *, folder: bool) -> None:
    """Make `inside`, a path beneath `root`, a folder or an empty file, in the place of whatever else is on the way.

    Raises: OSError.
    """
    *above, last = inside.parts
    with contextlib.ExitStack() as opened:
        here = os.open(root, _FOLDER)
        opened.callback(os.close, here)
        for part in above:
            _make(here, part, folder=True)
            here = os.open(part, _FOLDER, dir_fd=here)
            opened.callback(os.close, here)
        _make(here, last, folder=folder)


def _make(here: int, name: str, *, folder: bool) -> None:
    try:
        mode = os.stat(name, dir_fd=here, follow_symlinks=False).st_mode
    except FileNotFoundError:
        pass
    else:
        if stat.S_ISDIR(mode) if folder else stat.S_ISREG(mode):
            return
        os.rmdir(name, dir_fd=here) if stat.S_ISDIR(mode) else os.unlink(name, dir_fd=here)
    if folder:
        os.mkdir(name, dir_fd=here)
    else:
        os.close(os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600, dir_fd=here))
