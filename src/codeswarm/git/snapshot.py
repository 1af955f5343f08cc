"""A workspace's changes become a commit in the store, by `git fast-import`, which needs no index and no checkout.

The router writes the objects and makes the commit; a worker only says which bytes stand at which path.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from typing import BinaryIO

from codeswarm.domain.ids import Commit, Tree
from codeswarm.domain.results import LeftOut
from codeswarm.git.changes import Changes, Put
from codeswarm.git.identity import ROUTER, Identity, Message
from codeswarm.git.paths import quoted
from codeswarm.git.store import Store

CHUNK = 1 << 20


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A workspace as the store has it now."""

    commit: Commit
    tree: Tree
    files: int
    """How many paths were sent; 0: nothing differs from what the store had."""
    left_out: tuple[LeftOut, ...]


@dataclass(frozen=True, slots=True)
class _Commit:
    ref: str
    mark: int
    puts: tuple[Put, ...]
    deletes: tuple[bytes, ...] = ()
    base: Commit | None = None
    merge_mark: int | None = None


def take_in(
    store: Store, changes: Changes, base: Commit, ref: str, message: Message, *, author: Identity, at_ms: int
) -> Snapshot:
    """Write what `changes` make of `base` as a commit that `ref` holds from then on.

    Ignored files go into a commit of their own, its second parent: reachable from `ref`, never part of its tree.
    Where nothing differs and nothing ignored was told, `ref` and `base` stay as they are. Not yet durable: `sync`.
    """
    ignored = tuple(put for put in changes.puts if put.ignored)
    kept = tuple(put for put in changes.puts if not put.ignored)
    incoming = f"refs/codeswarm/incoming/{ref.removeprefix('refs/')}"
    commits = [_Commit(incoming + "-ignored", 2, ignored)] if ignored else []
    commits.append(_Commit(incoming, 1, kept, tuple(changes.deletes), base, 2 if ignored else None))
    commit, tree = _fast_import(store, commits, changes, message, author, at_ms)
    files = len(changes.puts) + len(changes.deletes)
    left_out = tuple(changes.left_out)
    if not ignored and tree == store.tree(base):
        commit, files = base, 0
    else:
        store.set_ref(ref, commit)
    store.delete_refs(*(each.ref for each in commits))
    return Snapshot(commit, tree, files, left_out)


def _fast_import(
    store: Store, commits: Iterable[_Commit], changes: Changes, message: Message, author: Identity, at_ms: int
) -> tuple[Commit, Tree]:
    with tempfile.TemporaryFile(dir=store.path) as stream:
        for commit in commits:
            _write_commit(stream, commit, changes.spool, message, author, at_ms)
        stream.write(b'get-mark :1\nls :1 ""\ndone\n')
        stream.seek(0)
        out = store.git.run(
            "-c", "fastimport.unpackLimit=0", "fast-import", "--quiet", "--done", "--force", stdin=stream
        )
    commit_line, tree_line = out.decode().splitlines()
    return Commit(commit_line), Tree(tree_line.split()[2])


def _write_commit(
    stream: BinaryIO, commit: _Commit, spool: BinaryIO, message: Message, author: Identity, at_ms: int
) -> None:
    text = message.text().encode(errors="replace")
    head = [f"commit {commit.ref}", f"mark :{commit.mark}"]
    head += [f"author {author.line(at_ms // 1000)}", f"committer {ROUTER.line(at_ms // 1000)}", f"data {len(text)}"]
    stream.write("\n".join(head).encode() + b"\n" + text + b"\n")
    if commit.base is not None:
        stream.write(f"from {commit.base}\n".encode())
    if commit.merge_mark is not None:
        stream.write(f"merge :{commit.merge_mark}\n".encode())
    for path in commit.deletes:
        stream.write(b"D " + quoted(path) + b"\n")
    for put in commit.puts:
        stream.write(f"M {put.mode} inline ".encode() + quoted(put.path) + f"\ndata {put.size}\n".encode())
        _copy(spool, stream, put)
        stream.write(b"\n")
    stream.write(b"\n")


def _copy(spool: BinaryIO, stream: BinaryIO, put: Put) -> None:
    spool.seek(put.offset)
    left = put.size
    while left:
        chunk = spool.read(min(left, CHUNK))
        stream.write(chunk)
        left -= len(chunk)
