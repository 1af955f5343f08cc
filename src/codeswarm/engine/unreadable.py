"""Why git can't read what looks like a repository, and the way out. Looks, and changes nothing."""

from __future__ import annotations

import errno
import os
import re
import shlex
from pathlib import Path

from codeswarm.access import way_out
from codeswarm.errors import RepositoryUnfit

_BAD_CONFIG = re.compile(r"bad config line \d+ in file (.+)")
_WORKS = re.compile(r"ref: refs/\S+|[0-9a-f]{40}(?:[0-9a-f]{24})?")
USUAL = ("main", "master", "trunk", "develop")


def unreadable(directory: Path, said: str) -> RepositoryUnfit | None:
    """What is wrong around a folder in which git finds no repository; None where there is none indeed."""
    around = (directory, *directory.parents)
    if bad := _BAD_CONFIG.search(said):
        file = next((place / bad[1] for place in around if (place / bad[1]).is_file()), Path(bad[1]))
        what = f"git can't read its settings in {file}"
        return RepositoryUnfit(what, said, f"${{EDITOR:-vi}} {_quoted(file)}   # mend that line; then the same again")
    if "dubious ownership" in said:
        lines = said.splitlines()
        return RepositoryUnfit(f"git does not trust {directory}", lines[0], lines[-1].strip())
    git_dir = next((place / ".git" for place in around if os.path.lexists(place / ".git")), None)
    if git_dir is None:
        return None
    if not git_dir.is_dir():
        what = f"the repository that {git_dir} names is not there"
        return RepositoryUnfit(what, said, f"cat {_quoted(git_dir)}   # where it was; bring it back there")
    return RepositoryUnfit(f"git can't read the repository {git_dir}", said, _mended(git_dir))


def _mended(git_dir: Path) -> str:
    if not os.access(git_dir, os.R_OK | os.X_OK):
        return way_out(PermissionError(errno.EACCES, ""), git_dir) or "codeswarm doctor"
    if (head := git_dir / "HEAD").is_file() and not _WORKS.match(head.read_text(errors="replace")):
        return f"echo 'ref: refs/heads/{_branch(git_dir)}' > {_quoted(head)}   # or another branch of yours"
    return f"git init {_quoted(git_dir.parent)}   # makes anew what is missing of it, and touches nothing else"


def _branch(git_dir: Path) -> str:
    """A branch that is there, the usual ones first."""
    refs = git_dir / "refs" / "heads"
    found = [str(path.relative_to(refs)) for path in sorted(refs.rglob("*")) if path.is_file()]
    return next((name for name in (*USUAL, *found) if name in found), USUAL[0])


def _quoted(path: Path) -> str:
    return shlex.quote(str(path))
