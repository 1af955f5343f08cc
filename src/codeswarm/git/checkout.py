"""A workspace's own private repository: it borrows the store's objects, and what happens in it stays in it.

Called only on a folder that no agent has seen yet: afterwards the host never runs git there.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from codeswarm.domain.ids import Commit
from codeswarm.domain.paths import quoted
from codeswarm.errors import GitError
from codeswarm.git.command import Git
from codeswarm.git.identity import ROUTER, Identity, clean
from codeswarm.git.store import BYTE_EXACT

CONFIG = """[core]
\trepositoryformatversion = {version}
\tfilemode = true
\tbare = false
\tlogallrefupdates = true
{extensions}[gc]
\tauto = 0
[advice]
\tdetachedHead = false
[user]
\tname = "{name}"
\temail = "{email}"
"""


def lay_out(
    files: Path, objects: Path, start: Commit, branch: str, author: Identity, as_agent: Sequence[str] = ()
) -> None:
    """Make `files` a repository at `start`, on a branch of its own, with its files checked out byte for byte.

    Args: as_agent: what git is put behind to be whoever works there. Raises: GitError.
    """
    _skeleton(files / ".git", objects, branch, author, sha256=len(start) == 64)
    _begin_branch(files / ".git", branch, start)
    _check_out(Git(files / ".git", work_tree=files, entering=as_agent), "--reset", start)


def lay_under(files: Path, objects: Path, commit: Commit, as_agent: Sequence[str] = ()) -> None:
    """Make `files` a repository at `commit` that others are laid over: it has no branch, and nobody works in it.

    Args: as_agent: what git is put behind to be whoever works above it. Raises: GitError.
    """
    _skeleton(files / ".git", objects, "none", ROUTER, sha256=len(commit) == 64)
    _check_out(Git(files / ".git", work_tree=files, entering=as_agent), "--reset", commit)


def prepare_over(upper: Path, objects: Path, start: Commit, branch: str, author: Identity) -> None:
    """Put into an upper layer what makes of what `lay_under` made a repository of its own, on a branch at `start`.

    Before anything is mounted: what is written through an overlay is first copied up from below.
    """
    (upper / ".git" / "objects" / "info").mkdir(parents=True)
    _own(upper / ".git", objects, branch, author, sha256=len(start) == 64)
    _begin_branch(upper / ".git", branch, start)


def lay_over(git: Git, below: Commit, start: Commit) -> None:
    """Make of what `lay_under` made at `below`, as an overlay shows it, what `lay_out` makes at `start`.

    Only what differs between the two is written. Args: git: on them, from where they are mounted. Raises: GitError.
    """
    if below == start:
        return
    try:
        _check_out(git, "-m", below, start)
    except GitError:  # its index is not believed any more: the cache was copied, say
        git.run("update-index", "-q", "--refresh", ok=(0, 1))
        _check_out(git, "-m", below, start)


def paths(files: Path) -> list[bytes]:
    """Every path of a checkout that nobody has touched. Raises: GitError."""
    return Git(files / ".git", work_tree=files).run("ls-files", "-z").split(b"\0")[:-1]


def _check_out(git: Git, *how: str) -> None:
    git.run("-c", "core.fsync=none", "read-tree", "-u", *how)


def _begin_branch(git_dir: Path, branch: str, start: Commit) -> None:
    (git_dir / "refs" / "heads" / branch).parent.mkdir(parents=True, exist_ok=True)
    (git_dir / "refs" / "heads" / branch).write_text(f"{start}\n")


def _skeleton(git_dir: Path, objects: Path, branch: str, author: Identity, *, sha256: bool) -> None:
    for folder in ("objects/info", "objects/pack", "refs/heads", "refs/tags", "info"):
        (git_dir / folder).mkdir(parents=True)
    _own(git_dir, objects, branch, author, sha256=sha256)
    (git_dir / "info" / "attributes").write_text(BYTE_EXACT)
    (git_dir / "info" / "exclude").write_text("")


def _own(git_dir: Path, objects: Path, branch: str, author: Identity, *, sha256: bool) -> None:
    """What tells one workspace's repository from another's."""
    extensions = "[extensions]\n\tobjectformat = sha256\n" if sha256 else ""
    text = CONFIG.format(
        version=1 if sha256 else 0, extensions=extensions, name=_value(author.name), email=_value(author.email)
    )
    (git_dir / "config").write_text(text)
    (git_dir / "HEAD").write_text(f"ref: refs/heads/{branch}\n")
    (git_dir / "objects" / "info" / "alternates").write_bytes(_line_of_alternates(objects))


def _line_of_alternates(objects: Path) -> bytes:
    """A path of its own line, quoted as git reads it where it holds the end of a line itself."""
    path = os.fsencode(objects)
    return (quoted(path) if b"\n" in path else path) + b"\n"


def _value(text: str) -> str:
    """As it may stand between the quotes of a value in git's configuration."""
    return clean(text).replace("\\", "\\\\").replace('"', '\\"')


def judge_directory(path: Path) -> Path:
    """A git directory of ours with nothing in it, for `check-ignore` on a workspace. Idempotent."""
    for folder in ("objects", "refs"):
        (path / folder).mkdir(parents=True, exist_ok=True)
    (path / "config").write_text("[core]\n\trepositoryformatversion = 0\n")
    (path / "HEAD").write_text("ref: refs/heads/none\n")
    return path
