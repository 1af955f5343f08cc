"""Which paths may enter a tree. Names come from agents: they are bytes, and hostile until shown otherwise."""

from __future__ import annotations

import re

_HFS_IGNORED = re.compile("[\u200c-\u200f\u202a-\u202e\u206a-\u206f\ufeff]")
_NTFS_DOTGIT = re.compile(r"(\.git|git~1)[ .]*(:.*)?$", re.IGNORECASE)


def path_problem(path: bytes) -> str | None:
    """Why `path` can't be stored, or None.

    Refused is what git refuses in an index, for every file system that a clone may land on
    (source: git's read-cache.c `verify_path`, path.c `is_ntfs_dotgit`, utf8.c `is_hfs_dotgit`).
    """
    if not path or path.startswith(b"/"):
        return "is empty or absolute"
    if b"\0" in path:
        return "holds a NUL"
    if len(path) > 4096:
        return "is longer than 4096 bytes"
    for part in path.split(b"/"):
        if part in (b"", b".", b".."):
            return f"has the component {part.decode()!r}"
        if is_dotgit(part):
            return "names git's own directory"
    return None


def is_dotgit(name: bytes) -> bool:
    """Whether a file system could take this name for `.git`."""
    text = name.decode(errors="replace")
    return _NTFS_DOTGIT.match(text) is not None or _HFS_IGNORED.sub("", text).lower() == ".git"


def shown(path: bytes) -> str:
    """A path for people and JSON: undecodable bytes and control characters escaped."""
    text = path.decode(errors="backslashreplace")
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in text)
