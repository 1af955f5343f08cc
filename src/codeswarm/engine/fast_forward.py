"""Moving a branch of the person's repository forward, and nothing else.

Where the branch is checked out, git itself does it there (`merge --ff-only`): a bare ref update would make their next
commit revert everything. A git that was killed in the middle leaves a lock and half of the files behind; `recover`
takes that up before it tries again.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path

from codeswarm.domain.ids import Commit
from codeswarm.engine.project import Project
from codeswarm.git.command import UserGit

ZERO = "0" * 40


@dataclass(frozen=True, slots=True)
class Moved:
    """`how` is one of fast_forward, branch and already_there."""

    how: str


@dataclass(frozen=True, slots=True)
class Blocked:
    """Their own files stand in the way; nothing was touched."""

    why: str
    files: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Elsewhere:
    """The branch is not where it was, and can't be moved forward from where it is."""


def fast_forward(
    project: Project, checkout: Path | None, branch: str, new: Commit, *, again: bool
) -> Moved | Blocked | Elsewhere:
    """Move `branch` forward to `new`, or make it there. Idempotent, also after a kill.

    `new` must be in the repository already. `again`: an earlier process of ours may have been killed in this very
    move, and what it left behind is taken up. Raises: GitError.
    """
    ref = f"refs/heads/{branch}"
    now = project.git.run_full("rev-parse", "--verify", "--quiet", ref, ok=(0, 1, 128)).stdout.decode().strip()
    if checkout is not None:
        return _in_checkout(UserGit(checkout), branch, now, new, again=again)
    if now == new:
        return Moved("already_there")
    if now and project.git.run_full("merge-base", "--is-ancestor", now, new, ok=(0, 1)).returncode:
        return Elsewhere()
    done = project.git.run_full("update-ref", ref, new, now or ZERO, ok=(0, 1, 128))
    return Moved("branch") if done.returncode == 0 else Elsewhere()


def _in_checkout(git: UserGit, branch: str, now: str, new: Commit, *, again: bool) -> Moved | Blocked | Elsewhere:
    if now != new and git.run_full("merge-base", "--is-ancestor", now, new, ok=(0, 1)).returncode:
        return Elsewhere()
    if again:
        recover(git, branch, now, new)
    if now == new:
        return Moved("already_there")
    done = git.run_full("merge", "--ff-only", "--no-stat", new, ok=range(256))
    if done.returncode == 0:
        return Moved("fast_forward")
    said = (done.stdout + done.stderr).decode(errors="replace")
    return Blocked(_reason(said), files_in_the_way(said))


def _reason(said: str) -> str:
    if "would be overwritten" in said or "not uptodate" in said:
        return "local changes in your checkout would be overwritten"
    return said.strip()[-1000:]


def files_in_the_way(said: str) -> tuple[str, ...]:
    """The files that git names in a refusal: they stand indented, one a line."""
    return tuple(match.strip() for match in re.findall(r"^\t(.+)$", said, re.MULTILINE))


def recover(git: UserGit, branch: str, now: str, new: Commit) -> None:
    """Take up what a killed fast-forward left: locks that nobody holds, and files that are `new`'s already.

    Such files are staged as what they are, so that git sees them as done; all others stay as they are.
    """
    found = [lock for lock in _locks(git, branch) if lock.exists()]
    if any(held_open(lock) for lock in found):
        return
    for lock in found:
        lock.unlink()
    top = Path(git.line("rev-parse", "--path-format=absolute", "--show-toplevel"))
    rows = [
        f"{mode} {blob}\t".encode() + path + b"\0"
        for mode, blob, path in _differences(git, now, new)
        if _is_already(git, top / os.fsdecode(path), mode, blob, os.fsdecode(path))
    ]
    if rows:
        git.run("update-index", "--add", "-z", "--index-info", stdin=b"".join(rows))
        git.run("update-index", "-q", "--refresh", ok=(0, 1))


def _locks(git: UserGit, branch: str) -> list[Path]:
    names = ("index.lock", "HEAD.lock", "ORIG_HEAD.lock", "packed-refs.lock", f"refs/heads/{branch}.lock")
    return [Path(git.line("rev-parse", "--path-format=absolute", "--git-path", name)) for name in names]


def _is_already(git: UserGit, file: Path, mode: str, blob: str, path: str) -> bool:
    """Whether a file in the checkout is what it is to become, as their own filters and line endings have it."""
    if mode == "120000" and file.is_symlink():
        return git.run("hash-object", "--stdin", stdin=os.fsencode(file.readlink())).decode().strip() == blob
    if mode in ("100644", "100755") and file.is_file() and not file.is_symlink():
        return git.line("hash-object", f"--path={path}", "--", str(file)) == blob
    return False


def _differences(git: UserGit, now: str, new: Commit) -> list[tuple[str, str, bytes]]:
    """(mode, blob, path) in `new` of every file that differs from `now`; deleted ones are not among them."""
    out = git.run("diff-tree", "-r", "-z", "--no-renames", "--diff-filter=d", now, new)
    fields = out.split(b"\0")
    found = []
    for info, path in zip(fields[0::2], fields[1::2], strict=False):
        words = info.decode().split()
        found.append((words[1], words[3], path))
    return found


def held_open(path: Path) -> bool:
    """Whether any process that we can see has a file open."""
    wanted = path.stat()
    for fds in Path("/proc").glob("[0-9]*/fd"):
        try:
            entries = list(fds.iterdir())
        except OSError:
            continue
        for entry in entries:
            try:
                info = entry.stat()
            except OSError:
                continue
            if (info.st_dev, info.st_ino) == (wanted.st_dev, wanted.st_ino):
                return True
    return False
