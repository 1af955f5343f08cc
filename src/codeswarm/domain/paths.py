"""A path as text, and back: any bytes may stand in one, and text is what events and JSON hold."""

from __future__ import annotations

import re

_QUOTED = re.compile(r'"(?:[^"\\\x80-\U0010ffff]|\\(?:[abtnvfr"\\]|[0-3][0-7]{2}))*"')
_ESCAPES = {"a": 7, "b": 8, "t": 9, "n": 10, "v": 11, "f": 12, "r": 13, '"': 34, "\\": 92}
_ESCAPED = re.compile(r'\\([abtnvfr"\\]|[0-3][0-7]{2})')


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
