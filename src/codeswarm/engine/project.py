"""The project: the person's own repository, and where our data about it lives.

Read from it and moved in it is only what the person asked for. Nothing here stashes, resets, cleans or switches.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from codeswarm.domain.ids import Commit, is_object_id
from codeswarm.domain.paths import as_bytes, as_text
from codeswarm.engine import refs
from codeswarm.engine.unreadable import unreadable
from codeswarm.environment import Environment
from codeswarm.errors import GitError, NotARepository, RepositoryUnfit
from codeswarm.git.command import TRUSTING, UserGit, git_version

if TYPE_CHECKING:  # each command begins with the project, and most never touch the store
    from codeswarm.git.store import Store


@dataclass(frozen=True, slots=True)
class Base:
    """What a session begins with."""

    branch: str
    commit: Commit


def _to_begin(directory: Path) -> str:
    """How a folder becomes a repository. What holds all that a person or everyone has must never become one."""
    home = Environment.read().home
    if directory in (home, *home.parents, Path("/tmp"), Path("/var/tmp")):  # noqa: S108 - compared with
        return "git init my-project && cd my-project && git commit --allow-empty -m Begin   # or cd to one of yours"
    place = "" if directory == Path.cwd() else f" -C {_quoted(directory)}"
    return f"git{place} init && git{place} add -A && git{place} commit --allow-empty -m Begin"


class Project:
    def __init__(self, git_dir: Path, checkout: Path | None) -> None:
        """`git_dir`: the repository's common directory; `checkout`: the work tree the person stands in, if any."""
        self.git_dir = git_dir
        self.checkout = checkout
        self.git = UserGit(checkout or git_dir)

    @classmethod
    def find(cls, directory: Path) -> Project:
        """The repository around a folder. Raises: NotARepository, RepositoryUnfit (git missing or too old)."""
        git_version()
        if not directory.is_dir():
            place = directory.with_name(f"{directory.name}.d") if directory.exists() else directory
            raise NotARepository(
                f"{directory} is no folder",
                "a session needs a git repository with a commit",
                f"git init {_quoted(place)} && git -C {_quoted(place)} commit --allow-empty -m Begin",
            )
        here = UserGit(directory)
        done = here.run_full("rev-parse", "--path-format=absolute", "--git-common-dir", ok=(0, 128))
        if done.returncode != 0:
            said = done.stderr.decode(errors="replace").strip()
            raise unreadable(directory, said) or NotARepository(
                f"{directory} is not inside a git repository", said, _to_begin(directory)
            )
        git_dir = Path(done.stdout.decode(errors="surrogateescape").strip("\n"))
        top = here.run_full("rev-parse", "--path-format=absolute", "--show-toplevel", ok=(0, 128))
        inside = top.returncode == 0
        return cls(git_dir, Path(top.stdout.decode(errors="surrogateescape").strip("\n")) if inside else None)

    @property
    def object_format(self) -> str:
        return self.git.line("rev-parse", "--show-object-format")

    def base(self, branch: str | None) -> Base:
        """The branch that a session begins with. Raises: RepositoryUnfit for an empty or detached repository."""
        if branch is None:
            branch = self._current_branch()
        done = self.git.run_full("rev-parse", "--verify", "--quiet", f"refs/heads/{branch}^{{commit}}", ok=(0, 1, 128))
        commit = done.stdout.decode().strip()
        if not is_object_id(commit):
            known = self.git.line("for-each-ref", "--format=%(refname:lstrip=2)", "--count=20", "refs/heads").split()
            if not known:
                raise RepositoryUnfit(
                    "the repository has no commit yet",
                    "agents work on top of a commit",
                    "git add -A && git commit --allow-empty -m 'Begin'",
                )
            raise RepositoryUnfit(
                f"there is no branch {branch!r}", f"there are {', '.join(known)}", f"--base {known[0]}"
            )
        return Base(branch, Commit(commit))

    def usual_branch(self) -> str | None:
        """The branch that others begin from: the remote's default, else main or master; None where there is none."""
        done = self.git.run_full("symbolic-ref", "--quiet", "refs/remotes/origin/HEAD", ok=(0, 1, 128))
        named = done.stdout.decode(errors="surrogateescape").strip().removeprefix("refs/remotes/origin/")
        return next((name for name in (named, "main", "master") if name and self._is_branch(name)), None)

    def _is_branch(self, name: str) -> bool:
        return self.git.run_full("show-ref", "--verify", "--quiet", f"refs/heads/{name}", ok=(0, 1)).returncode == 0

    def _current_branch(self) -> str:
        done = self.git.run_full("symbolic-ref", "--quiet", "HEAD", ok=(0, 1, 128))
        branch = done.stdout.decode(errors="surrogateescape").strip().removeprefix("refs/heads/")
        if not branch:
            raise RepositoryUnfit(
                "no branch is checked out (HEAD is detached)",
                "a session needs a branch to begin from and to save to",
                "git switch -c work   # or go back to a branch of yours, or: codeswarm run --base BRANCH …",
            )
        return branch

    def file_at(self, commit: Commit, path: str) -> bytes | None:
        """A file's content in a commit, or None."""
        done = self.git.run_full("cat-file", "blob", f"{commit}:{path}", ok=(0, 128))
        return done.stdout if done.returncode == 0 else None

    def listing(self, commit: Commit, paths: Iterable[str]) -> dict[str, tuple[str, str]]:
        """Path → (mode, blob) of `paths` in a commit, and of everything below those that are folders."""
        from codeswarm.git.listing import listing  # noqa: PLC0415 - for runs and `trust` alone

        return listing(self.git, commit, paths)

    def has(self, commit: str) -> bool:
        return self.git.run_full("cat-file", "-e", f"{commit}^{{commit}}", ok=(0, 1, 128)).returncode == 0

    def unseen(self) -> tuple[str, ...]:
        """Files with uncommitted changes, which agents don't see. Nothing is touched."""
        if self.checkout is None:
            return ()
        out = self.git.run("--no-optional-locks", "status", "--porcelain=v1", "-z", "--untracked-files=normal")
        return tuple(_status_paths(out))

    def included(self) -> tuple[str, ...]:
        """Files that git ignores and `.worktreeinclude` names: they are copied into workspaces."""
        if self.checkout is None or not (self.checkout / ".worktreeinclude").is_file():
            return ()
        wanted = self._others("--exclude-from=.worktreeinclude")
        return tuple(sorted(wanted & self._others("--exclude-standard")))

    def not_copied(self, names: Iterable[str]) -> list[str]:
        """Which files that settings want in workspaces are not copied there, and why. A repository may ask for any."""
        if self.checkout is None:
            return []
        from codeswarm.git.ignored import why_not_handed_out  # noqa: PLC0415 - for runs alone

        told = {name: why_not_handed_out(self.checkout, as_bytes(name)) for name in names}
        return [f"workspace.copy: {name!r} is not copied: {why}" for name, why in told.items() if why]

    def _others(self, patterns: str) -> set[str]:
        out = self.git.run("ls-files", "-z", "--others", "--ignored", patterns)
        return {as_text(part) for part in out.split(b"\0") if part and not part.endswith(b"/")}

    # ── the one branch that follows each landing ──

    def show_branch(self, store: Store, session: str, tip: Commit) -> str | None:
        """Let `codeswarm/SESSION` follow; why it could not, or None. Only ever forward, and never where checked out."""
        branch = refs.shown_branch(session)
        ref = f"refs/heads/{branch}"
        if branch in self.checked_out():
            return "it is checked out"
        if self.git.run_full("rev-parse", "--verify", "--quiet", "refs/heads/codeswarm", ok=(0, 1)).returncode == 0:
            return "a branch named codeswarm stands in the way of codeswarm/…"
        try:
            self.take(store, tip, ref)
        except GitError as error:
            return error.why or error.what
        return None

    def take(self, store: Store, commit: Commit, ref: str) -> None:
        """Fetch a commit out of the store under a ref of the person's repository, forward only. Raises: GitError."""
        self.forward(store.path, commit, ref)

    def forward(self, source: Path, commit: Commit, ref: str) -> None:
        """Move a ref forward, or make it, by a fetch: that refuses by itself where it stands elsewhere or is in use.

        Raises: GitError.
        """
        options = ["--no-tags", "--no-write-fetch-head", "--update-shallow", "--no-prune"]
        options += ["--no-recurse-submodules", "--no-auto-maintenance", f"--upload-pack={TRUSTING}"]
        allowed = ("-c", "protocol.file.allow=always")  # both are on this very disk
        self.git.run(*allowed, "fetch", *options, str(source), f"{commit}:{ref}")

    def checked_out(self) -> dict[str, Path]:
        """Branch → the work tree where it is checked out."""
        out = self.git.run("worktree", "list", "--porcelain", "-z").decode(errors="surrogateescape")
        found: dict[str, Path] = {}
        place = Path()
        for line in out.split("\0"):
            key, _, value = line.partition(" ")
            if key == "worktree":
                place = Path(value)
            elif key == "branch":
                found[value.removeprefix("refs/heads/")] = self._work_tree(place)
        return found

    def _work_tree(self, listed: Path) -> Path:
        """A listed work tree; where git lists the git directory in its stead, the checkout that we stand in.

        It does so for submodules and for repositories made with --separate-git-dir.
        """
        if self.checkout is None or listed != self.git_dir:
            return listed
        own = self.git.line("rev-parse", "--path-format=absolute", "--git-dir")
        return self.checkout if own == str(self.git_dir) else listed


def _quoted(path: Path) -> str:
    return shlex.quote(str(path))


def _status_paths(out: bytes) -> list[str]:
    """Paths of `git status --porcelain=v1 -z`; a rename's old name stands in a field of its own and is left out."""
    paths, fields = [], out.split(b"\0")
    skip = False
    for field in fields:
        if skip or not field:
            skip = False
            continue
        paths.append(as_text(field[3:]))
        skip = b"R" in field[:2] or b"C" in field[:2]
    return paths
