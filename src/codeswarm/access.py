"""Files and folders that can't be used: the command that mends it, as far as the system's refusal tells.

Looks, and never changes anything. Nothing here advises to move or to own what is not a plain file or folder.
"""

from __future__ import annotations

import contextlib
import errno
import os
import shlex
from pathlib import Path

from codeswarm.errors import CodeswarmError, UsageError, disk_full
from codeswarm.packages import as_root

FOLDER_RIGHTS, FILE_RIGHTS = 0o700, 0o600
"""What the owner needs."""


def unusable(error: OSError, path: Path, elsewhere: str) -> CodeswarmError:
    """Why nothing can be kept at `path`, in three lines. `elsewhere`: what to do where no command mends it there."""
    if full := disk_full(error):
        return full
    return UsageError(f"nothing can be written to {path}", str(error), way_out(error, path) or elsewhere)


def way_out(error: OSError, path: Path) -> str | None:
    """The command that makes `path` one that we can use; None where it is not its rights or its kind that are wrong."""
    there = _nearest(path)
    name = shlex.quote(str(there))
    if error.errno in (errno.ENOTDIR, errno.EEXIST, errno.EISDIR):
        return f"mv {name} {shlex.quote(f'{there}.old')}" if there.is_file() or _is_plain_folder(there, path) else None
    if error.errno == errno.EROFS:
        mounted = next(place for place in (there, *there.parents) if place.is_mount())
        return as_root(f"mount -o remount,rw {shlex.quote(str(mounted))}")
    if error.errno in (errno.EACCES, errno.EPERM):
        rights = "chmod -R u+rwX" if there.is_dir() else "chmod u+rw"
        return f"{rights} {name}" if _is_ours(there) else as_root(f'chown -R "$(id -un)" {name}')
    return None


def writer_of(file: Path) -> tuple[int, str] | None:
    """Which process holds a lock for writing on a file: its number and name. None where none is to be seen."""
    try:
        inode, locks = file.stat().st_ino, Path("/proc/locks").read_text().splitlines()
    except OSError:
        return None
    for words in map(str.split, locks):
        if words[3:4] == ["WRITE"] and words[5].rpartition(":")[2] == str(inode) and _has_open(int(words[4]), file):
            with contextlib.suppress(OSError):  # it has ended just now
                return int(words[4]), Path(f"/proc/{words[4]}/comm").read_text().strip()
    return None


def _has_open(pid: int, file: Path) -> bool:
    """Numbers of files are those of one file system, and what is said to be locked may be another's."""
    with contextlib.suppress(OSError):
        return any(each.samefile(file) for each in Path(f"/proc/{pid}/fd").iterdir() if each.exists())
    return False


def check_usable(folder: Path, elsewhere: str) -> None:
    """Make a folder where there is none. Raises: UsageError, DiskFull where nothing could be put into it."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if not os.access(folder, os.W_OK | os.X_OK):
            # Which of the reasons it is, a name that is taken away at once tells.
            (folder / ".codeswarm-may-write").mkdir()
            (folder / ".codeswarm-may-write").rmdir()
    except OSError as error:
        raise unusable(error, folder, elsewhere) from error


def _nearest(path: Path) -> Path:
    """The path itself or, where that can't be seen, the nearest folder around it that can."""
    return next(place for place in (path, *path.parents) if os.path.lexists(place))


def _is_plain_folder(there: Path, wanted: Path) -> bool:
    """A folder where a file belongs."""
    return there == wanted and there.is_dir() and not there.is_mount()


def _is_ours(there: Path) -> bool:
    """Whether it is the rights that its owner, who we are, has taken from himself."""
    found = there.stat()
    needed = FOLDER_RIGHTS if there.is_dir() else FILE_RIGHTS
    return found.st_uid == os.geteuid() and found.st_mode & needed != needed
