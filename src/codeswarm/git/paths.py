"""Which paths may enter a tree, and how a path is written down.

Names come from agents: they are bytes, and hostile until shown otherwise.
"""

from __future__ import annotations

from codeswarm.domain.paths import as_bytes, as_text, quoted
from codeswarm.git.walker import is_dotgit, name_problem

__all__ = ["as_bytes", "as_text", "is_dotgit", "path_problem", "quoted", "shape_problem", "shown"]


def path_problem(path: bytes, *, link: bool = False) -> str | None:
    """Why `path` can't be stored (as a symlink, where `link`), or None.

    Refused is what git refuses in an index, for every file system that a clone may land on: a tree that can't be
    checked out would stop everything that is built on it.
    """
    return shape_problem(path) or name_problem(path, link=link)


def shape_problem(path: bytes) -> str | None:
    """Why `path` names no place beneath a root, or None."""
    if not path or path.startswith(b"/"):
        return "is empty or absolute"
    if b"\0" in path:
        return "holds a NUL"
    for part in path.split(b"/"):
        if part in (b"", b".", b".."):
            return f"has the component {part.decode()!r}"
    return None


def shown(path: bytes) -> str:
    """A path for people and JSON: undecodable bytes and control characters escaped."""
    text = path.decode(errors="backslashreplace")
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in text)
