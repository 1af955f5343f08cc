"""Merging two commits in the store, without a checkout, by `git merge-tree` (merge-ort, as users know it)."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice

from codeswarm.domain.ids import Commit, Tree
from codeswarm.git.paths import as_text
from codeswarm.git.store import Store

OURS = "codeswarm-integration"
"""How the side that has landed is named in conflict markers; the other side is `codeswarm-ticket-ID`."""

MAX_MARKERS = 100

_NAMES = threading.Lock()
"""Held while a merge's sides have their names: two merges at once would take each other's."""
_MARKER = re.compile(rb"^(?:<{7} codeswarm-|>{7} codeswarm-)", re.MULTILINE)

_ASIDE = re.compile(r"~codeswarm-(?:integration|ticket-)")
"""In the name of a file that git put aside, because both sides want something else at its path."""


@dataclass(frozen=True, slots=True)
class Merged:
    tree: Tree


@dataclass(frozen=True, slots=True)
class Conflict:
    """`tree` holds the files with their conflict markers; `files` are those in conflict; `detail` is git's word."""

    tree: Tree
    files: tuple[str, ...]
    detail: str


def merge(store: Store, ours: Commit, theirs: Commit, ticket: str = "work") -> Merged | Conflict:
    """Merge `theirs` into `ours`. A conflict is a value; histories without a common base merge as if from nothing."""
    done = store.git.run_full(
        "merge-tree", "--write-tree", "--allow-unrelated-histories", "-z", ours, theirs, ok=(0, 1)
    )
    if done.returncode == 0:
        return Merged(Tree(done.stdout.split(b"\0", 1)[0].decode().strip()))
    return _labelled(store, ours, theirs, ticket)


def _labelled(store: Store, ours: Commit, theirs: Commit, ticket: str) -> Conflict:
    """Merge again under names that mean something: merge-tree writes its arguments into the markers."""
    other = f"codeswarm-ticket-{ticket}"
    refs = {f"refs/{OURS}": ours, f"refs/{other}": theirs}
    with _NAMES:
        for ref, commit in refs.items():
            store.set_ref(ref, commit)
        try:
            out = store.git.run(
                "merge-tree", "--write-tree", "--allow-unrelated-histories", "-z", "--name-only", OURS, other, ok=(0, 1)
            )
        finally:
            store.delete_refs(*refs)
    tree, _, rest = out.partition(b"\0")
    names, _, messages = (b"\0" + rest).partition(b"\0\0")
    files = tuple(dict.fromkeys(as_text(name) for name in names.split(b"\0") if name))
    return Conflict(Tree(tree.decode()), files, _words(messages))


def _words(messages: bytes) -> str:
    """The human part of merge-tree's messages: records of (count, paths…, kind, text)."""
    fields = messages.decode(errors="replace").split("\0")
    lines, at = [], 0
    while at < len(fields) and fields[at].strip().isdigit():
        count = int(fields[at])
        at += count + 3
        if at - 1 < len(fields):
            lines.append(fields[at - 1].strip())
    return "\n".join(line for line in lines if line and not line.startswith("Auto-merging"))


def leftover_markers(store: Store, commit: Commit, files: tuple[str, ...]) -> tuple[str, ...]:
    """`FILE:LINE` of the first markers of ours that are still in one of `files`, or in its name."""
    return tuple(islice(_markers(store, commit, files), MAX_MARKERS))


def _markers(store: Store, commit: Commit, files: tuple[str, ...]) -> Iterator[str]:
    for path in files:
        content = store.file(commit, path)
        if content is not None and _ASIDE.search(path):
            yield f"{path}:1"
        elif content is not None:
            lines = (content.count(b"\n", 0, hit.start()) + 1 for hit in _MARKER.finditer(content))
            yield from (f"{path}:{line}" for line in lines)
