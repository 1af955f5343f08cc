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
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from typing import Any, BinaryIO

from codeswarm.domain.results import LeftOut
from codeswarm.errors import UsageError
from codeswarm.git.paths import path_problem, shape_problem, shown

MAX_HEADER = 65_536
MAX_LEFT_OUT = 200
MAX_SIZE = 1 << 53
MODES = ("100644", "100755", "120000")


class BrokenChanges(UsageError):
    """A stream of changes is cut off or malformed; nothing of it was taken."""

    http_status = 400

    def __init__(
        self,
        what: str,
        why: str = "no worker of this version writes that",
        hint: str = "codeswarm bug-report   # what was taken before is kept",
    ) -> None:
        super().__init__(what, why, hint)


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
    unnamed: list[int | None] = field(default_factory=list)
    """The sizes of what was left out beyond those that are named."""

    @property
    def empty(self) -> bool:
        return not self.puts and not self.deletes

    def content(self, put: Put) -> bytes:
        self.spool.seek(put.offset)
        return self.spool.read(put.size)

    def leave_out(self, path: bytes, reason: str, size: int | None) -> None:
        """Name one more thing that no ref will hold; beyond some hundreds they are only counted."""
        if len(self.left_out) < MAX_LEFT_OUT:
            self.left_out.append(LeftOut(path=shown(path[:1000]), reason=reason, size=size))
        else:
            self.unnamed.append(size)

    def close(self) -> Changes:
        """At the end: tell how much is not named, and whether any of it is of worth."""
        if self.unnamed:
            sizes = [size for size in self.unnamed if size is not None]
            reason = f"{len(self.unnamed)} more were left out"
            self.left_out.append(LeftOut(path="…", reason=reason, size=min(sum(sizes), MAX_SIZE) if sizes else None))
        return self


def read_changes(spool: BinaryIO) -> Changes:
    """Index and check a spooled stream. Raises: BrokenChanges."""
    changes = Changes(spool)
    end = spool.seek(0, 2)
    spool.seek(0)
    for header in _frames(spool):
        op = header.get("op")
        if op == "put":
            _read_put(changes, header, end)
        elif op == "delete":
            _read_delete(changes, header)
        elif op == "left_out":
            changes.leave_out(
                _path(header), shown(str(header.get("reason", ""))[:200].encode(errors="replace")), _size(header)
            )
        elif op == "end":
            return changes.close()
        else:
            raise BrokenChanges(f"a snapshot has a frame that is not known: {op!r}"[:200])
    raise BrokenChanges("a snapshot ended before its end", "it was cut off on the way", "it is sent again")


def leave_out(spool: BinaryIO, paths: Collection[bytes], reason: str, target: BinaryIO) -> None:
    """Write a stream anew, in which the files at `paths` are left out. Raises: BrokenChanges."""
    spool.seek(0)
    for header in _frames(spool):
        size = (_size(header) or 0) if header.get("op") == "put" else 0
        content = spool.read(size)
        if header.get("op") == "put" and _path(header) in paths:
            told = {"op": "left_out", "path": header["path"], "reason": reason, "size": size}
            target.write(json.dumps(told).encode() + b"\n")
        else:
            target.write(json.dumps(header).encode() + b"\n" + content)


def _frames(spool: BinaryIO) -> Iterator[dict[str, Any]]:
    while line := spool.readline(MAX_HEADER):
        try:
            header = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise BrokenChanges("a snapshot has a frame that can't be read", str(error)) from error
        if not isinstance(header, dict):
            raise BrokenChanges("a snapshot has a frame that is no object")
        yield header


def _read_put(changes: Changes, header: dict[str, Any], end: int) -> None:
    path, size, mode = _path(header), _size(header), header.get("mode")
    if size is None or mode not in MODES:
        raise BrokenChanges(f"a snapshot has a file of the size {header.get('size')!r} and the mode {mode!r}"[:200])
    offset = changes.spool.tell()
    if size > end - offset:
        raise BrokenChanges("a snapshot ended within a file", "it was cut off on the way", "it is sent again")
    changes.spool.seek(offset + size)
    if problem := path_problem(path, link=mode == "120000"):
        changes.leave_out(path, f"its name {problem}", size)
    else:
        changes.puts.append(Put(path, mode, offset, size, header.get("ignored") is True))


def _read_delete(changes: Changes, header: dict[str, Any]) -> None:
    path = _path(header)
    if problem := shape_problem(path):
        raise BrokenChanges(f"a snapshot deletes {shown(path[:1000])!r}, which {problem}")
    if problem := path_problem(path):
        changes.leave_out(path, f"its removal: its name {problem}", None)
    else:
        changes.deletes.append(path)


def _path(header: dict[str, Any]) -> bytes:
    """A path as bytes; which of them may be stored is another question."""
    path = header.get("path")
    if not isinstance(path, str):
        raise BrokenChanges("a snapshot has a frame without a path")
    try:
        return path.encode(errors="surrogateescape")
    except UnicodeEncodeError as error:
        raise BrokenChanges("a snapshot has a path that can't be read", repr(path)[:200]) from error


def _size(header: dict[str, Any]) -> int | None:
    """A size in bytes, where there is one that makes sense."""
    size = header.get("size")
    return size if isinstance(size, int) and not isinstance(size, bool) and 0 <= size <= MAX_SIZE else None
