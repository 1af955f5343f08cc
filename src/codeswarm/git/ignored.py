"""Which files of the person's checkout may be handed out: those that git ignores and does not track."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from codeswarm.git.command import UserGit
from codeswarm.git.paths import path_problem

MAX_ARGUMENTS = 100_000


def ignored_files(checkout: Path, names: Iterable[bytes]) -> set[bytes]:
    """Those of `names` that are files which git ignores and does not track. What git keeps for itself never is.

    Raises: GitError.
    """
    wanted = {name for name in names if path_problem(name) is None}
    if not wanted:
        return set()
    few = sum(map(len, wanted)) + len(wanted) <= MAX_ARGUMENTS
    paths = [os.fsdecode(name) for name in sorted(wanted)] if few else []
    options = ["-z", "--others", "--ignored", "--exclude-standard"]
    return wanted & set(UserGit(checkout).run("--literal-pathspecs", "ls-files", *options, "--", *paths).split(b"\0"))


def why_not_handed_out(checkout: Path, name: bytes) -> str | None:
    """Why a file is not handed out although it was asked for; None: it is, or there is none. Raises: GitError."""
    if problem := path_problem(name):
        return f"it {problem}"
    path = Path(checkout, os.fsdecode(name))
    if path.is_symlink():
        return "it is a link"
    if not path.exists() or ignored_files(checkout, [name]):
        return None
    return "it is no file that git ignores and does not track"
