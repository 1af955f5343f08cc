"""What git's index tells of files that were just checked out: what each looked like when git wrote it.

It is read here so that a large checkout need not be looked at file by file once more.
Source: git's Documentation/gitformat-index.txt, version 2.
"""

from __future__ import annotations

from collections.abc import Iterator
from struct import Struct

_HEADER = Struct(">4sII")
_NS = 1_000_000_000

GITLINK = 0o160000

Entry = tuple[bytes, int, int, int, int, int]
"""(path, mode as in a tree, size, mtime in ns, ctime in ns, inode); size and inode are cut off at 32 bits.

No class of its own: there are tens of thousands, and a workspace waits for them.
"""


def read_index(data: bytes, *, sha256: bool = False) -> Iterator[Entry]:
    """The entries of an index file, in order. Raises: ValueError where it is of another version."""
    magic, version, count = _HEADER.unpack_from(data)
    if magic != b"DIRC" or version != 2:
        raise ValueError(f"an index of version {version} is not read here")
    fixed = Struct(f">10I{32 if sha256 else 20}xH")
    at, unpack, find, skip = _HEADER.size, fixed.unpack_from, data.index, fixed.size
    for _ in range(count):
        ctime_s, ctime_ns, mtime_s, mtime_ns, _, inode, mode, _, _, size, _ = unpack(data, at)
        end = find(b"\0", at + skip)
        yield data[at + skip : end], mode, size, mtime_s * _NS + mtime_ns, ctime_s * _NS + ctime_ns, inode
        at += (end - at) // 8 * 8 + 8  # padded with zeros to a multiple of eight, one at least
