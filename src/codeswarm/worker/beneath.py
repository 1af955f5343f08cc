"""Files in folders that a sandbox could write: opened beneath a descriptor of the folder, and no link is followed.

Whoever ran there may have put anything in the place of a name that we use: a link to a file of the person's, a folder,
a pipe, a file without end. So everything that the host does in such a folder is done here.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from collections.abc import Iterator
from fnmatch import fnmatchcase
from pathlib import Path

from codeswarm.git.paths import shape_problem
from codeswarm.worker.places import remove

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_NEW_FILE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_NOT_THERE = (errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.ENXIO, errno.ENAMETOOLONG)


def read_beneath(root: Path, name: bytes, most: int = -1) -> tuple[bytes, int] | None:
    """A regular file's content and mode, each component opened beneath the one before; None: there is no such file.

    Of one that is longer than `most` no more than a byte beyond it. Raises: OSError.
    """
    if shape_problem(name):
        return None
    try:
        with _folder_of(root, name, make=False) as (folder, last):
            file = os.open(last, _FILE, dir_fd=folder)
    except OSError as error:
        if error.errno in _NOT_THERE:
            return None
        raise
    try:
        mode = os.fstat(file).st_mode
        if not stat.S_ISREG(mode):
            return None
        with os.fdopen(file, "rb", closefd=False) as handle:
            return handle.read(most if most < 0 else most + 1), stat.S_IMODE(mode) & 0o777
    finally:
        os.close(file)


def read_left(folder: Path, name: str, most: int) -> bytes | None:
    """What a run left in a file: at most `most` bytes and one more. None: nothing that can be read."""
    try:
        found = read_beneath(folder, os.fsencode(name), most)
    except OSError:
        return None
    return None if found is None else found[0]


def size_left(folder: Path, name: str) -> int | None:
    """The size of a regular file that a run left; None: there is none."""
    try:
        with _folder_of(folder, os.fsencode(name), make=False) as (opened, last):
            info = os.stat(last, dir_fd=opened, follow_symlinks=False)
    except OSError:
        return None
    return info.st_size if stat.S_ISREG(info.st_mode) else None


def is_beneath(root: Path, name: bytes) -> bool:
    """Whether there is anything at a path, a link counting as itself, and none gone through on the way."""
    if shape_problem(name):
        return False
    try:
        with _folder_of(root, name, make=False) as (folder, last):
            os.stat(last, dir_fd=folder, follow_symlinks=False)
    except OSError:
        return False
    return True


def files_beneath(root: Path, form: str, most: int) -> Iterator[str]:
    """The names of regular files whose path beneath `root` has a form as `logs/*/*.txt`.

    At most `most` entries of folders are looked at, whatever they are: who ran there may have made any number.
    """
    yield from _files_in(os.fspath(root), None, form.split("/"), iter(range(most)))


def _files_in(name: str, above: int | None, forms: list[str], left: Iterator[int]) -> Iterator[str]:
    try:
        folder = os.open(name, _FOLDER, dir_fd=above)
    except OSError:
        return  # a link, say, or closed to us
    try:
        with os.scandir(folder) as entries:
            for entry, _ in zip(entries, left, strict=False):
                if not fnmatchcase(entry.name, forms[0]):
                    continue
                if forms[1:]:
                    yield from _files_in(entry.name, folder, forms[1:], left)
                elif entry.is_file(follow_symlinks=False):
                    yield entry.name
    finally:
        os.close(folder)


def write_beneath(root: Path, name: bytes, data: bytes, mode: int) -> bool:
    """Put a file into the place of whatever file or link is there. Whether that could be done without following any.

    Raises: OSError.
    """
    if shape_problem(name):
        return False
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


def replace_left(folder: Path, name: str, content: str | bytes) -> None:
    """Write a file for the next run in a folder, in the place of whatever an earlier one left. Raises: OSError."""
    clear_left(folder, name)
    data = content if isinstance(content, bytes) else content.encode(errors="backslashreplace")
    if not write_beneath(folder, os.fsencode(name), data, 0o644):
        raise OSError(errno.ELOOP, "a folder of a run can't be written without following a link", str(folder / name))


def clear_left(folder: Path, name: str) -> None:
    """Take away whatever an earlier run left under a name: a link itself, a folder with all that is in it."""
    with _folder_of(folder, os.fsencode(name), make=False) as (opened, last):
        try:
            os.unlink(last, dir_fd=opened)
        except FileNotFoundError:
            return
        except IsADirectoryError:
            remove(folder / name)


@contextlib.contextmanager
def _folder_of(root: Path, name: bytes, *, make: bool) -> Iterator[tuple[int, bytes]]:
    """A descriptor of the folder that a path beneath `root` stands in, and its last component. Raises: OSError."""
    *above, last = name.split(b"/")
    with contextlib.ExitStack() as opened:
        folder = os.open(root, _FOLDER)
        opened.callback(os.close, folder)
        for part in above:
            if make:
                with contextlib.suppress(FileExistsError):
                    os.mkdir(part, dir_fd=folder)
            folder = os.open(part, _FOLDER, dir_fd=folder)
            opened.callback(os.close, folder)
        yield folder, last
