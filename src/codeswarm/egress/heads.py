"""Reads the head of a request, stricter than HTTP asks for.

A proxy and the server behind it must never read two different requests out of the same bytes (request smuggling). So
whatever is ambiguous is refused before anything is parsed: bare line feeds, folded lines, spaces around names, two
lengths, a length beside an encoding, a `Host` that says something else than the address. h11 then parses what is left.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from codeswarm.egress.hosts import BadHost, Target, read_target
from codeswarm.egress.refusals import BAD_HOST, BAD_REQUEST, NOT_IMPLEMENTED, Refused

END = b"\r\n\r\n"
_TOKEN = rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
_LINE = re.compile(rb"(%s) ([\x21-\x7e]+) HTTP/1\.([01])" % _TOKEN)
_NAME = re.compile(_TOKEN)
_VALUE = re.compile(rb"[\t\x20-\x7e\x80-\xff]*")
_LENGTH = re.compile(rb"[0-9]{1,18}")
_ONCE = (b"host", b"content-length", b"transfer-encoding", b"content-type", b"authorization", b"proxy-authorization")
_NOT_NAMED = {b"host", b"content-length", b"transfer-encoding", b"content-type", b"authorization", b"x-api-key"}
"""Fields that nobody may declare to be of this connection only: they would be dropped on the way."""
MOST_FIELDS = 200


@dataclass(frozen=True, slots=True)
class Head:
    """The first line and the fields of a request. Names of fields are in lower case."""

    method: bytes
    target: bytes
    old: bool
    """HTTP/1.0."""
    fields: tuple[tuple[bytes, bytes], ...]

    def of(self, name: bytes) -> bytes | None:
        return next((value for found, value in self.fields if found == name), None)

    @property
    def hop_by_hop(self) -> set[bytes]:
        """What `Connection` names as its own."""
        named = b",".join(value for name, value in self.fields if name == b"connection").lower()
        return {word.strip() for word in named.split(b",")} - {b""}

    @property
    def has_body(self) -> bool:
        return self.of(b"transfer-encoding") is not None or (self.of(b"content-length") or b"0").strip(b"0") != b""


def read_head(raw: bytes) -> Head:
    """`raw` ends with an empty line. Raises: Refused."""
    first, *rest = raw.removesuffix(END).split(b"\r\n")
    found = _LINE.fullmatch(first)
    if found is None:
        raise Refused(BAD_REQUEST, "its first line is not METHOD TARGET HTTP/1.1")
    if len(rest) > MOST_FIELDS:
        raise Refused(BAD_REQUEST, f"it has more than {MOST_FIELDS} fields")
    head = Head(found[1], found[2], found[3] == b"0", tuple(_fields(rest)))
    _check_framing(head)
    return head


def _fields(lines: list[bytes]) -> Iterator[tuple[bytes, bytes]]:
    for line in lines:
        name, colon, value = line.partition(b":")
        if not (colon and _NAME.fullmatch(name) and _VALUE.fullmatch(value)):
            raise Refused(BAD_REQUEST, "one of its fields is not NAME: VALUE on a line of its own")
        yield name.lower(), value.strip(b" \t")


def _check_framing(head: Head) -> None:
    names = [name for name, _ in head.fields]
    twice = next((name for name in _ONCE if names.count(name) > 1), None)
    if twice is not None:
        raise Refused(BAD_REQUEST, f"it has two {twice.decode()} fields")
    length, coding = head.of(b"content-length"), head.of(b"transfer-encoding")
    if length is not None and coding is not None:
        raise Refused(BAD_REQUEST, "it has a length and a transfer encoding")
    if length is not None and not _LENGTH.fullmatch(length):
        raise Refused(BAD_REQUEST, "its length is no number")
    if coding is not None and (coding.lower() != b"chunked" or head.old):
        raise Refused(NOT_IMPLEMENTED, "its transfer encoding is not `chunked`")
    if named := head.hop_by_hop & _NOT_NAMED:
        raise Refused(BAD_REQUEST, f"its Connection field names {sorted(named)[0].decode()}")
    if head.of(b"host") is None and not head.old:
        raise Refused(BAD_REQUEST, "it has no Host")


def tunnel_target(head: Head) -> Target:
    """Where a CONNECT wants to go. Raises: Refused."""
    if head.has_body:
        raise Refused(BAD_REQUEST, "a CONNECT has no body")
    target = _target(head.target.decode(), None)
    host = head.of(b"host")
    if host is not None and _target(host.decode("latin-1"), target.port) != target:
        raise Refused(BAD_REQUEST, "its Host is another one than the address that it asks for")
    return target


def forward_target(head: Head) -> tuple[Target, bytes]:
    """Where a request in absolute form wants to go, and its target there. Raises: Refused."""
    scheme, separator, rest = head.target.partition(b"://")
    if not separator or head.target.startswith(b"/"):
        raise Refused(BAD_REQUEST, "this is a proxy: it takes CONNECT, or an address with http://")
    if scheme.lower() != b"http":
        raise Refused(BAD_REQUEST, "only http:// is forwarded; for https:// ask with CONNECT")
    cut = next((place for place, sign in enumerate(rest) if sign in b"/?#\\"), len(rest))
    authority, path = rest[:cut], rest[cut:]
    if b"#" in path or b"\\" in path:
        raise Refused(BAD_REQUEST, "its address has a # or a backslash")
    target = _target(authority.decode(), 80)
    host = head.of(b"host")
    if host is not None and _target(host.decode("latin-1"), 80) != target:
        raise Refused(BAD_REQUEST, "its Host is another one than the address that it asks for")
    return target, path if path.startswith(b"/") else b"/" + path


def _target(authority: str, default_port: int | None) -> Target:
    try:
        return read_target(authority, default_port)
    except BadHost as error:
        raise Refused(BAD_HOST, f"{harmless(authority)!r} is no host: {error}") from error


def harmless(text: str) -> str:
    """A host as it was asked for, for people: printable ASCII, cut."""
    shown = "".join(sign if " " <= sign <= "~" else "?" for sign in text)
    return shown if len(shown) <= 120 else f"{shown[:120]}..."
