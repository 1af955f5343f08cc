"""Moving a branch of the person's repository forward, and nothing else.

Where the branch is checked out, git itself does it there (`merge --ff-only`): a bare ref update would make their next
commit revert everything. A git that was killed in the middle leaves a lock and half of the files behind; `recover`
takes that up before it is tried again.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from codeswarm.domain.ids import Commit
from codeswarm.engine.project import Project
from codeswarm.errors import GitError
from codeswarm.git.command import UserGit
from codeswarm.git.paths import as_text, quoted
from codeswarm.git.walker import parents

IN_THE_WAY = "local changes in your checkout would be overwritten"


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
    git = project.git if checkout is None else UserGit(checkout)
    if checkout is not None and (problem := _why_not_there(git, ref)):
        return Blocked(problem, ())
    now = _tip(git, ref)
    if now and now != new and git.run_full("merge-base", "--is-ancestor", now, new, ok=(0, 1)).returncode:
        return Elsewhere()
    if again:
        recover(git, branch, now, new)
    if now == new:
        return Moved("already_there")
    if checkout is None:
        return _move_branch(project, ref, now, new)
    if again and _only_the_branch_is_left(git, now, new):
        done = git.run_full("update-ref", "-m", "merge: Fast-forward", ref, new, now or "0" * len(new), ok=(0, 1, 128))
        return Moved("fast_forward") if done.returncode == 0 else Elsewhere()
    return _merge(git, branch, now, new, times=2)


def _tip(git: UserGit, ref: str) -> str:
    """Where a branch stands; empty where it does not exist, or has no commit yet."""
    return git.run_full("rev-parse", "--verify", "--quiet", ref, ok=(0, 1, 128)).stdout.decode().strip()


def _why_not_there(git: UserGit, ref: str) -> str | None:
    """Why a folder is not the checkout of a branch: git would act on whatever repository is around it instead."""
    there = git.directory
    if not there.is_dir():
        return f"it is checked out in {there}, which is not there now; git worktree prune, if it is gone for good"
    top = git.run_full("rev-parse", "--path-format=absolute", "--show-toplevel", ok=(0, 128)).stdout
    if Path(os.fsdecode(top.strip(b"\n"))).resolve() != there.resolve():
        return f"it is checked out in {there}, which git does not take for a work tree of its own; git worktree repair"
    head = git.run_full("symbolic-ref", "--quiet", "HEAD", ok=(0, 1, 128)).stdout
    return None if head.strip() == os.fsencode(ref) else f"{there} has something else checked out by now"


def _move_branch(project: Project, ref: str, now: str, new: Commit) -> Moved | Blocked | Elsewhere:
    """Where nobody has the branch checked out."""
    try:
        project.forward(project.git_dir, new, ref)
    except GitError as error:
        moved = _tip(project.git, ref)
        return Blocked(error.why or error.what, ()) if moved == now else Elsewhere()
    return Moved("branch")


def _merge(git: UserGit, branch: str, now: str, new: Commit, *, times: int) -> Moved | Blocked | Elsewhere:
    """Let git do it, whatever their configuration says of merges; once more where it was killed under our hands."""
    if staged := _staged_in_the_way(git, now, new):
        return Blocked(IN_THE_WAY, tuple(as_text(path) for path in staged))
    options = ("--ff-only", "--no-stat", "--no-autostash", "--no-squash", "--commit", "--no-overwrite-ignore")
    done = git.run_full("merge", *options, new, ok=range(-64, 256))
    if done.returncode < 0 and times > 1:
        recover(git, branch, now, new)
        return _merge(git, branch, now, new, times=times - 1)
    if done.returncode == 0 and _tip(git, f"refs/heads/{branch}") == new:
        return Moved("fast_forward")
    said = (done.stdout + done.stderr).decode(errors="surrogateescape")
    changed = [path for *_, path in _differences(git, now, new)] if "\t" in said else []
    return Blocked(_reason(said), files_in_the_way(said, changed))


def _staged_in_the_way(git: UserGit, now: str, new: Commit) -> list[bytes]:
    """Staged files below a path where the move puts a file: git (as of 2.39) would remove them without a word."""
    out = git.run("diff-index", "--cached", "-z", "--name-only", "--diff-filter=d", _tree(git, now))
    staged = out.split(b"\0")[:-1]
    written = {path for *_, path in _differences(git, now, new)} if staged else set()
    return [path for path in staged if parents([path]) & written]


def _reason(said: str) -> str:
    if "would be overwritten" in said or "not uptodate" in said:
        return IN_THE_WAY
    return (
        said.encode(errors="surrogateescape").decode(errors="replace").strip()[-1000:]
        or "git refused, and said nothing"
    )


def files_in_the_way(said: str, changed: Iterable[bytes] = ()) -> tuple[str, ...]:
    """The files that git names in a refusal: they stand indented, one a line, unless a name has lines of its own.

    `changed`: the paths that the move would write, by which such names are known.
    """
    found: dict[str, None] = {}
    rest = said
    for path in sorted(changed, key=len, reverse=True):
        named = f"\t{os.fsdecode(path)}\n"
        if named in rest:
            rest = rest.replace(named, "\n")
            found[as_text(path)] = None
    others = (as_text(os.fsencode(match.strip())) for match in re.findall(r"^\t(.+)$", rest, re.MULTILINE))
    return tuple(sorted({**found, **dict.fromkeys(others)}))


# ── after a kill ──


def recover(git: UserGit, branch: str, now: str, new: Commit) -> None:
    """Take up what a killed fast-forward left: locks that nobody holds, and files that are `new`'s already.

    Such files are staged as what they are, so that git sees them as done. Where git was killed while it wrote, a file
    that holds the beginning of what it was to become and no more is taken away, to be written again. All others stay.
    """
    locks = [lock for lock in _locks(git, branch) if lock.exists()]
    if locks and _in_use(git, locks):
        return
    for lock in locks:
        lock.unlink(missing_ok=True)
    top = git.run_full("rev-parse", "--path-format=absolute", "--show-toplevel", ok=(0, 128)).stdout.strip(b"\n")
    if top and now != new:
        was_writing = any(lock.name == "index.lock" for lock in locks)
        _take_up(git, Path(os.fsdecode(top)), now, new, was_writing=was_writing)


def _take_up(git: UserGit, top: Path, now: str, new: Commit, *, was_writing: bool) -> None:
    gone = {path for status, *_, path in _changes(git, now, new) if status == "D"}
    above_gone = parents(gone)
    done: list[_Written] = []
    for row in list(_written(git, top, now, new)):
        changed_places = row.path in above_gone or bool(parents([row.path]) & gone)
        if row.whole and not changed_places:
            done.append(row)
        elif row.whole or (was_writing and _is_half_written(git, row, new)):
            _take_away(row.file, top)
    if done:
        rows = b"".join(f"{row.mode} {row.blob}\t".encode() + row.path + b"\0" for row in done)
        git.run("update-index", "--add", "-z", "--index-info", stdin=rows)
        git.run("update-index", "-q", "--refresh", ok=(0, 1))


def _take_away(file: Path, top: Path) -> None:
    """Remove a file that holds nothing but what `new` holds, and the folders that it leaves empty.

    Where a file and a folder change places, git would take even what it wrote itself for somebody's.
    """
    file.unlink()
    for folder in file.parents:
        if folder == top or any(folder.iterdir()):
            return
        folder.rmdir()


def _only_the_branch_is_left(git: UserGit, now: str, new: Commit) -> bool:
    """Whether git was killed after it had written the files and the index, and before it moved the branch."""
    other = git.run("diff-index", "--cached", "-z", "--name-only", new).split(b"\0")
    return {path for *_, path in _changes(git, now, new)}.isdisjoint(other)


def _locks(git: UserGit, branch: str) -> list[Path]:
    names = ("index.lock", "HEAD.lock", "ORIG_HEAD.lock", "packed-refs.lock", f"refs/heads/{branch}.lock")
    return [Path(git.line("rev-parse", "--path-format=absolute", "--git-path", name)) for name in names]


@dataclass(frozen=True, slots=True)
class _Written:
    """A file of the checkout that is not what the index has, and what the move makes of it."""

    file: Path
    path: bytes
    mode: str
    blob: str
    whole: bool


def _written(git: UserGit, top: Path, now: str, new: Commit) -> Iterator[_Written]:
    """The files that differ from the index, among those that the move writes: whole ones are what they shall be."""
    touched = set(git.run("diff-files", "-z", "--name-only", "--ignore-submodules").split(b"\0"))
    untouched = set(git.run("ls-files", "-z").split(b"\0")) - touched
    rows = [
        (mode, blob, path, top / os.fsdecode(path))
        for _, mode, blob, path in _differences(git, now, new)
        if path not in untouched
    ]
    links = [row for row in rows if row[0] == "120000" and row[3].is_symlink()]
    files = [row for row in rows if row[0].startswith("100") and row[3].is_file() and not row[3].is_symlink()]
    for mode, blob, path, file in links:
        target = git.run("hash-object", "--stdin", stdin=os.fsencode(file.readlink())).decode().strip()
        yield _Written(file, path, mode, blob, whole=target == blob)
    names = b"".join(quoted(path) + b"\n" for _, _, path, _ in files)
    hashes = git.run("hash-object", "--stdin-paths", stdin=names).decode().split() if files else []
    for (mode, blob, path, file), found in zip(files, hashes, strict=True):
        yield _Written(file, path, mode, blob, whole=found == blob)


def _is_half_written(git: UserGit, row: _Written, new: Commit) -> bool:
    """Whether a file holds the beginning of its content to be, as their own filters and line endings have it."""
    if row.file.is_symlink():
        return False
    wanted = git.run_full("cat-file", "--filters", f"{new}:{os.fsdecode(row.path)}", ok=(0, 128))
    return wanted.returncode == 0 and wanted.stdout.startswith(row.file.read_bytes())


def _differences(git: UserGit, now: str, new: Commit) -> list[tuple[str, str, str, bytes]]:
    """(status, mode, blob, path) in `new` of every file that differs from `now`; deleted ones are not among them."""
    return [row for row in _changes(git, now, new) if row[0] != "D"]


def _changes(git: UserGit, now: str, new: Commit) -> list[tuple[str, str, str, bytes]]:
    fields = git.run("diff-tree", "-r", "-z", "--no-renames", _tree(git, now), new).split(b"\0")
    found = []
    for info, path in zip(fields[0::2], fields[1::2], strict=False):
        words = info.decode().split()
        found.append((words[4], words[1], words[3], path))
    return found


def _tree(git: UserGit, now: str) -> str:
    """Where a branch stands; for one without any commit, git's own empty tree."""
    return now or git.line("hash-object", "-t", "tree", "--stdin")


def _in_use(git: UserGit, locks: list[Path]) -> bool:
    """Whether a lock may be somebody's: held open by a process, or left shut by a git that is at work there.

    `git commit -a` shuts its lock and keeps it while the person writes their message.
    """
    return any(held_open(lock) for lock in locks) or _git_at_work(git)


def _git_at_work(git: UserGit) -> bool:
    """Whether a git that is no child of ours stands in this repository."""
    said = git.run("rev-parse", "--path-format=absolute", "--git-dir", "--show-toplevel", ok=(0, 128))
    places = {Path(os.fsdecode(line)) for line in said.splitlines()}
    for process in Path("/proc").glob("[0-9]*"):
        try:
            name, _, rest = (process / "stat").read_text(errors="replace").partition("(")[2].rpartition(")")
            if name == "git" and int(rest.split()[1]) != os.getpid() and (process / "cwd").readlink() in places:
                return True
        except OSError:
            continue
    return False


def held_open(path: Path) -> bool:
    """Whether any process that we can see has a file open."""
    try:
        wanted = path.stat()
    except FileNotFoundError:
        return False
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
