"""The head of a bundle: which tips it brings. The file comes from an agent's repository, and is hostile."""

from __future__ import annotations

import re
from typing import BinaryIO

from codeswarm.domain.ids import Commit, is_object_id
from codeswarm.errors import GitError

MAX_LINE = 8192
MAX_TIPS = 10_000
MAX_NAMES = 1 << 20
"""Bytes of all names: they are told in one event."""
_UNFIT = re.compile(rb"[\0-\x20\x7f~^:?*\[\\]|\.\.|@\{|//|/\.|/$|\.lock(?:/|$)|\.$")
"""What may stand nowhere in the name of a ref. Source: git-check-ref-format(1)."""


def read_tips(bundle: BinaryIO) -> dict[bytes, Commit]:
    """Ref name → the object it names. Afterwards the file stands at the pack; it must not be buffered.

    Names are those that git itself would make, and can be written into a command of ours: a NUL in one would end it
    there, and begin another command. Source: gitformat-bundle(5). Raises: GitError for what is no bundle, or one that
    leaves objects out by a filter.
    """
    if bundle.readline(MAX_LINE) not in (b"# v2 git bundle\n", b"# v3 git bundle\n"):
        raise _broken("it does not begin like one")
    tips: dict[bytes, Commit] = {}
    names = 0
    while (line := bundle.readline(MAX_LINE)) != b"\n":
        if not line.endswith(b"\n") or len(tips) > MAX_TIPS:
            raise _broken("its head has no end")
        if line.startswith(b"@"):
            if not line.startswith(b"@object-format="):
                raise _broken(f"it asks for {line[1:50].decode(errors='replace').strip()}")
        elif not line.startswith(b"-"):  # what the other side must have; the pack's links tell whether we do
            object_id, _, name = line[:-1].partition(b" ")
            if not is_object_id(object_id.decode(errors="replace")) or not _is_ref(name):
                raise _broken("its head has a line that can't be read")
            tips[name] = Commit(object_id.decode())
            if (names := names + len(name)) > MAX_NAMES:
                raise _broken("it names more than can be told")
    return tips


def _is_ref(name: bytes) -> bool:
    return name == b"HEAD" or (name.startswith(b"refs/") and _UNFIT.search(name) is None)


def _broken(why: str) -> GitError:
    return GitError("bundle", 1, f"this is no bundle that can be taken in: {why}")
