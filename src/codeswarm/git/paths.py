"""Which paths may enter a tree, and how a path is written down.

Names come from agents: they are bytes, and hostile until shown otherwise.
"""

from __future__ import annotations

import re

from codeswarm.git.walker import is_dotgit, name_problem

__all__ = ["as_bytes", "as_text", "is_dotgit", "path_problem", "quoted", "shape_problem", "shown"]

_QUOTED = re.compile(r'"(?:[^"\\\x80-\U0010ffff]|\\(?:[abtnvfr"\\]|[0-3][0-7]{2}))*"')
_ESCAPES = {"a": 7, "b": 8, "t": 9, "n": 10, "v": 11, "f": 12, "r": 13, '"': 34, "\\": 92}
_ESCAPED = re.compile(r'\\([abtnvfr"\\]|[0-3][0-7]{2})')


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


# ── a path as text, and back ──


def as_text(path: bytes) -> str:
    """A path as it stands in events, answers and JSON: as it is, or quoted as git does it where it is no UTF-8."""
    try:
        text = path.decode()
    except UnicodeDecodeError:
        return quoted(path).decode()
    return quoted(path).decode() if text.startswith('"') else text


def as_bytes(text: str) -> bytes:
    """The path behind `as_text`."""
    if not _QUOTED.fullmatch(text):
        return text.encode(errors="surrogateescape")
    return _ESCAPED.sub(_unescaped, text[1:-1]).encode("latin-1")


def _unescaped(escape: re.Match[str]) -> str:
    return chr(_ESCAPES[escape[1]] if escape[1] in _ESCAPES else int(escape[1], 8))


def quoted(path: bytes) -> bytes:
    """A path as git's commands read it: quoted in C style, so that any byte may stand in it."""
    escaped = bytearray()
    for byte in path:
        if byte in (0x22, 0x5C):
            escaped += bytes((0x5C, byte))
        elif byte < 0x20 or byte >= 0x7F:
            escaped += f"\\{byte:03o}".encode()
        else:
            escaped.append(byte)
    return b'"' + bytes(escaped) + b'"'
