"""The wire format of a snapshot: what changed in a workspace against a commit that the store knows.

A stream of frames. Each is one line of JSON, and for `put` the file's bytes right behind it:

    {"op": "put", "path": …, "mode": "100644" | "100755" | "120000", "size": N, "ignored": false}  + N bytes
    {"op": "delete", "path": …}
    {"op": "left_out", "path": …, "reason": …, "size": N | null}
    {"op": "end", "files": N}

Paths are JSON strings in which undecodable bytes stand as lone surrogates (PEP 383). A stream without its `end` is
broken and none of it counts. Everything here is read as hostile.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, BinaryIO

from codeswarm.domain.results import LeftOut
from codeswarm.errors import UsageError
from codeswarm.git.paths import path_problem, shown

MAX_HEADER = 65_536
MAX_LEFT_OUT = 200
MODES = ("100644", "100755", "120000")


class BrokenChanges(UsageError):
    """A stream of changes is cut off or malformed; nothing of it was taken."""

    http_status = 400


@dataclass(frozen=True, slots=True)
class Put:
    """One file's new content: where it stands in the spooled stream."""

    path: bytes
    mode: str
    offset: int
    size: int
    ignored: bool


@dataclass(slots=True)
class Changes:
    """A whole, checked stream. `spool` holds the bytes that `puts` point into."""

    spool: BinaryIO
    puts: list[Put] = field(default_factory=list)
    deletes: list[bytes] = field(default_factory=list)
    left_out: list[LeftOut] = field(default_factory=list)

    @property
    def empty(self) -> bool:
        return not self.puts and not self.deletes

    def content(self, put: Put) -> bytes:
        self.spool.seek(put.offset)
        return self.spool.read(put.size)


def read_changes(spool: BinaryIO) -> Changes:
    """Index and check a spooled stream. Raises: BrokenChanges."""
    changes = Changes(spool)
    spool.seek(0)
    for header in _frames(spool):
        op = header.get("op")
        if op == "put":
            _read_put(changes, header)
        elif op == "delete":
            changes.deletes.append(_path(header))
        elif op == "left_out":
            _read_left_out(changes, header)
        elif op == "end":
            return changes
        else:
            raise BrokenChanges(f"a snapshot has a frame that is not known: {op!r}")
    raise BrokenChanges("a snapshot ended before its end", "it was cut off on the way", "it is sent again")


def _frames(spool: BinaryIO) -> Iterator[dict[str, Any]]:
    while line := spool.readline(MAX_HEADER):
        try:
            header = json.loads(line)
        except ValueError as error:
            raise BrokenChanges("a snapshot has a frame that can't be read", str(error)) from error
        if not isinstance(header, dict):
            raise BrokenChanges("a snapshot has a frame that is no object")
        yield header


def _read_put(changes: Changes, header: dict[str, Any]) -> None:
    size, mode = header.get("size"), header.get("mode")
    if not isinstance(size, int) or isinstance(size, bool) or size < 0 or mode not in MODES:
        raise BrokenChanges(f"a snapshot has a file with the size {size!r} and the mode {mode!r}")
    offset = changes.spool.tell()
    if changes.spool.seek(size, os.SEEK_CUR) > changes.spool.seek(0, os.SEEK_END):
        raise BrokenChanges("a snapshot ended within a file", "it was cut off on the way", "it is sent again")
    changes.spool.seek(offset + size)
    path = os.fsencode(str(header.get("path", "")))
    if problem := path_problem(path):
        changes.left_out.append(LeftOut(path=shown(path), reason=f"its name {problem}", size=size))
        return
    changes.puts.append(Put(path, mode, offset, size, header.get("ignored") is True))


def _path(header: dict[str, Any]) -> bytes:
    path = os.fsencode(str(header.get("path", "")))
    if problem := path_problem(path):
        raise BrokenChanges(f"a snapshot deletes {shown(path)!r}, which {problem}")
    return path


def _read_left_out(changes: Changes, header: dict[str, Any]) -> None:
    if len(changes.left_out) >= MAX_LEFT_OUT:
        return
    size = header.get("size")
    path = os.fsencode(str(header.get("path", "")))[:1000]
    reason = str(header.get("reason", ""))[:200]
    changes.left_out.append(LeftOut(path=shown(path), reason=reason, size=size if isinstance(size, int) else None))


def quoted(path: bytes) -> bytes:
    """A path as `git fast-import` reads it: quoted in C style, so that any byte may stand in it."""
    escaped = bytearray()
    for byte in path:
        if byte in (0x22, 0x5C):
            escaped += bytes((0x5C, byte))
        elif byte < 0x20 or byte >= 0x7F:
            escaped += f"\\{byte:03o}".encode()
        else:
            escaped.append(byte)
    return b'"' + bytes(escaped) + b'"'
