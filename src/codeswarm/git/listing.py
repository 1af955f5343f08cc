"""What stands in a commit under some paths, whoever's repository it is."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator

from codeswarm.domain.paths import as_bytes, as_text
from codeswarm.git.command import Git, UserGit

MAX_ARGUMENTS = 100_000


def listing(git: Git | UserGit, revision: str, paths: Iterable[str]) -> dict[str, tuple[str, str]]:
    """Path → (mode, blob) of `paths` in a commit, and of everything below those that are folders."""
    wanted, found = set(paths), {}
    for some in batches(wanted) if wanted else ():
        out = git.run("--literal-pathspecs", "ls-tree", "-r", "-z", "--full-tree", revision, "--", *some)
        for row in out.split(b"\0")[:-1]:
            info, _, path = row.partition(b"\t")
            mode, _, blob = info.decode().split()
            found[as_text(path)] = (mode, blob)
    return found


def batches(paths: Iterable[str]) -> Iterator[list[str]]:
    """Paths as arguments, as many at once as a command can take; of no paths one batch without any."""
    batch: list[str] = []
    size = 0
    for path in sorted(paths):
        argument = os.fsdecode(as_bytes(path))
        if size + len(argument) > MAX_ARGUMENTS:
            yield batch
            batch, size = [], 0
        batch.append(argument)
        size += len(argument) + 1
    yield batch
