"""The store: one bare repository per project, written by the router alone.

Everything here works on commits that are named by id; refs are projections of the ledger and move only by
compare-and-swap. `sync` must be called before any event names an object or ref made here. Paths are text as
`paths.as_text` writes them.
"""

from __future__ import annotations

import ctypes
import os
import shlex
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from codeswarm.domain.ids import Commit, Tree, is_object_id
from codeswarm.errors import GitError, RepositoryUnfit, StoreDiverged
from codeswarm.git.bundle import read_tips
from codeswarm.git.command import TRUSTING, Git, git_version
from codeswarm.git.identity import ROUTER, Identity, Message, clean
from codeswarm.git.listing import batches, listing
from codeswarm.git.paths import as_bytes, as_text

BYTE_EXACT = "* -text -ident -filter -working-tree-encoding -eol\n"
"""What stands in a repository of ours in `info/attributes`: a file's bytes are its bytes, in and out."""

MAX_DIFF = 160_000
"""Bytes of a difference that are held in memory for a prompt."""
SHOWN_DIFF, SHOWN_STAT = 20_000, 12_000
"""Of a longer one: so much of its beginning, and of the list of what it changes."""


class Store:
    """Use it from one process at a time; its methods block and are run in threads by the engine."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.git = Git(path)

    @classmethod
    def open(cls, path: Path, *, object_format: str = "sha1") -> Store:
        """Open the store, creating it where there is none. Idempotent, also after a kill.

        Raises: RepositoryUnfit (git too old; the store is there, in another object format).
        """
        git_version()
        store = cls(path)
        attributes = path / "info" / "attributes"
        if not attributes.is_file() or attributes.read_text() != BYTE_EXACT:
            path.mkdir(parents=True, exist_ok=True)
            store._make(object_format)
            attributes.parent.mkdir(exist_ok=True)
            attributes.write_text(BYTE_EXACT)  # last: by this the next one knows that all is there
        elif store.object_format != object_format:
            raise store._unfit(object_format)
        return store

    def _make(self, object_format: str) -> None:
        try:
            self.git.run("init", "--quiet", "--bare", f"--object-format={object_format}", str(self.path))
        except GitError as error:
            if "different hash" in error.stderr:
                raise self._unfit(object_format) from error
            raise

    def _unfit(self, wanted: str) -> RepositoryUnfit:
        return RepositoryUnfit(
            f"the repository names its objects by {wanted}, and its store in {self.path} does not",
            "they can't exchange commits",
            f"mv {shlex.quote(str(self.path))} {shlex.quote(f'{self.path}.old')}   # keeps it; then the same again",
        )

    @property
    def object_format(self) -> str:
        return self.git.line("rev-parse", "--show-object-format")

    @property
    def objects(self) -> Path:
        return self.path / "objects"

    # ── reading ──

    def commit(self, revision: str) -> Commit | None:
        """The commit that a revision names, or None."""
        line = self.git.line(
            "rev-parse", "--verify", "--quiet", "--end-of-options", revision + "^{commit}", ok=(0, 1, 128)
        )
        return Commit(line) if is_object_id(line) else None

    def tree(self, revision: str) -> Tree:
        return Tree(self.git.line("rev-parse", "--verify", "--end-of-options", revision + "^{tree}"))

    def parents(self, commit: Commit) -> list[Commit]:
        return [Commit(word) for word in self.git.line("rev-list", "--parents", "--max-count=1", commit).split()[1:]]

    def is_ancestor(self, ancestor: str, of: str) -> bool:
        done = self.git.run_full("merge-base", "--is-ancestor", ancestor, of, ok=(0, 1))
        return done.returncode == 0

    def merge_base(self, one: str, other: str) -> Commit | None:
        """The newest commit that both have in their history, or None."""
        found = self.git.run_full("merge-base", one, other, ok=(0, 1)).stdout.decode().strip()
        return Commit(found) if found else None

    def changed_files(self, old: str, new: str) -> tuple[str, ...]:
        """Paths that differ between two commits or trees, renames told as both names."""
        out = self.git.run("diff-tree", "-r", "-z", "--name-only", "--no-renames", old, new)
        return tuple(as_text(part) for part in out.split(b"\0") if part)

    def diff(self, old: str, new: str, *, paths: Iterable[str] = ()) -> str:
        """The difference as text, for a prompt; of one beyond all bounds what it changes, and how it begins.

        What an agent can change is bounded by its disk alone: no more of it than is shown may come into memory.
        """
        paths = tuple(paths)
        text, whole = self._head(_patch_of(old, new), paths, MAX_DIFF)
        if whole:
            return text
        stat, _ = self._head(_patch_of(old, new, "--stat=120", "--stat-count=100"), paths, SHOWN_STAT)
        return f"{stat}\n[… too long to be shown whole; it begins so …]\n\n{text[:SHOWN_DIFF]}"

    def _head(self, command: list[str], paths: Iterable[str], most: int) -> tuple[str, bool]:
        parts, left, whole = [], most, True
        for some in batches(paths):
            part, whole = self.git.head(*command, "--", *some, most=left)
            parts.append(part)
            left -= len(part)
            if not whole:
                break
        return b"".join(parts).decode(errors="replace"), whole

    def patch(self, old: str, new: str, *, stat: bool = False, paths: Iterable[str] = ()) -> bytes:
        """The difference as git shows it, byte for byte: what it shows can be applied again."""
        command = _patch_of(old, new, "--stat" if stat else "--patch")
        return b"".join(self.git.run(*command, "--", *some) for some in batches(paths))

    def patch_head(self, old: str, new: str, most: int) -> tuple[str, bool]:
        """The first `most` bytes of a difference, and whether that is all of it. Raises: GitError."""
        found, whole = self.git.head(*_patch_of(old, new), most=most)
        return found.decode(errors="replace"), whole

    def numstat(self, ranges: Sequence[tuple[str, str]]) -> list[list[tuple[str, int | None, int | None]]]:
        """For each (old, new) its files with lines added and deleted, None for binary ones. Raises: GitError.

        One process for all of them: a session may have a thousand.
        """
        asked = "".join(f"{new} {old}\n" for old, new in ranges)
        command = ("diff-tree", "--stdin", "--always", "-r", "-z", "--numstat", "--no-renames", "--no-ext-diff")
        out = self.git.run(*command, "--no-textconv", stdin=asked.encode())
        return _numstats(out, [new for _, new in ranges])

    def file(self, revision: str, path: str) -> bytes | None:
        """The content of a file in a commit, or None where it is not there."""
        done = self.git.run_full("cat-file", "blob", f"{revision}:{os.fsdecode(as_bytes(path))}", ok=(0, 128))
        return done.stdout if done.returncode == 0 else None

    def entries(self, revision: str, paths: Iterable[str]) -> dict[str, tuple[str, str]]:
        """Path → (mode, blob) of those of `paths` that are in a commit."""
        wanted = set(paths)
        return {path: entry for path, entry in self.under(revision, wanted).items() if path in wanted}

    def under(self, revision: str, paths: Iterable[str]) -> dict[str, tuple[str, str]]:
        """Path → (mode, blob) of `paths` in a commit, and of everything below those that are folders."""
        return listing(self.git, revision, paths)

    def gitlinks(self, revision: str) -> list[str]:
        """Where submodules stand in a commit."""
        out = self.git.run("ls-tree", "-r", "-z", "--full-tree", revision)
        return [as_text(row.partition(b"\t")[2]) for row in out.split(b"\0") if row.startswith(b"160000 ")]

    def has(self, object_id: str) -> bool:
        """Whether an object and everything that it needs is here and whole."""
        done = self.git.run_full("rev-list", "--objects", "--quiet", object_id, ok=(0, 1, 128))
        return done.returncode == 0

    # ── refs ──

    def refs(self, *prefixes: str) -> dict[str, Commit]:
        """Full ref name → the object it names, below any of `prefixes`."""
        out = self.git.run("for-each-ref", "--format=%(objectname) %(refname)", *prefixes)
        rows = (line.partition(b" ") for line in out.split(b"\n")[:-1])
        return {as_text(name): Commit(object_id.decode()) for object_id, _, name in rows}

    def move_ref(self, ref: str, new: Commit, old: Commit | None) -> bool:
        """Move a ref from `old` (None: it must not exist) to `new`, or tell that it was elsewhere."""
        done = self.git.run_full("update-ref", "--no-deref", ref, new, old or "0" * len(new), ok=(0, 1, 128))
        return done.returncode == 0

    def set_ref(self, ref: str, new: Commit) -> None:
        """Put a ref of the router's own where it belongs, wherever it stood. Idempotent."""
        self.git.run("update-ref", "--no-deref", ref, new)

    def delete_refs(self, *refs: str) -> None:
        """Take refs away; the objects stay. Idempotent."""
        lines = "".join(f"delete {ref}\n" for ref in refs)
        self.git.run("update-ref", "--no-deref", "--stdin", stdin=lines.encode())

    def project_ref(self, ref: str, to: Commit) -> bool:
        """Bring a ref to the ledger's tip: forward only. Whether it moved.

        Raises: StoreDiverged where the ref is not an ancestor of the ledger's tip: then nothing of ours put it there.
        """
        now = self.commit(ref)
        if now == to:
            return False
        if now is not None and not self.is_ancestor(now, to):
            raise StoreDiverged(
                f"{ref} stands at {now[:12]}, which is not an ancestor of {to[:12]} in the ledger",
                "something else has moved it, and what it holds could be lost",
                f"git --git-dir={self.path} branch rescue {now}; git --git-dir={self.path} update-ref -d {ref}",
            )
        if not self.move_ref(ref, to, now) and self.commit(ref) != to:
            raise StoreDiverged(
                f"{ref} moved while it was being moved to {to[:12]}",
                "something else writes to the store; only one router may",
                "codeswarm ledger verify   # tells where it stands",
            )
        return True

    # ── writing ──

    def fetch(self, source: Path, *refspecs: str) -> None:
        """Bring commits in from the person's repository. Raises: GitError."""
        options = ["--quiet", "--no-tags", "--no-write-fetch-head", "--update-shallow", "--no-recurse-submodules"]
        self.git.run("fetch", *options, f"--upload-pack={TRUSTING}", str(source), *refspecs)

    def fetch_bundle(self, bundle: Path, prefix: str) -> tuple[str, ...]:
        """Take the refs of a hostile bundle in below `prefix`, every object checked; the refs that stand there then.

        Not by `git fetch`, which checks what comes over a wire, but (before 2.46) nothing of what comes in a bundle.
        Raises: GitError for a bundle that is broken or holds malformed objects; nothing is moved then.
        """
        with bundle.open("rb", buffering=0) as file:
            tips = read_tips(file)
            self.git.run("index-pack", "--strict", "--fix-thin", "--stdin", stdin=file)
        moves = [
            b"update %b/%b\0%b\0\0" % (prefix.encode(), name.removeprefix(b"refs/"), tip.encode())
            for name, tip in tips.items()
        ]
        self.git.run("update-ref", "--no-deref", "-z", "--stdin", stdin=b"".join(moves))
        return tuple(self.refs(prefix))

    def commit_tree(
        self, tree: Tree, parents: Iterable[Commit], message: Message, *, author: Identity, at_ms: int
    ) -> Commit:
        """Write a commit with fixed dates: the same arguments give the same commit."""
        date = f"@{at_ms // 1000} +0000"
        env = {
            "GIT_AUTHOR_NAME": clean(author.name),
            "GIT_AUTHOR_EMAIL": clean(author.email),
            "GIT_AUTHOR_DATE": date,
            "GIT_COMMITTER_NAME": ROUTER.name,
            "GIT_COMMITTER_EMAIL": ROUTER.email,
            "GIT_COMMITTER_DATE": date,
        }
        args = [word for parent in parents for word in ("-p", parent)]
        out = self.git.run("commit-tree", *args, tree, stdin=message.text().encode(errors="replace"), env=env)
        return Commit(out.decode().strip())

    def with_entries(self, base: str, entries: Mapping[str, tuple[str, str] | None]) -> Tree:
        """The tree of `base` with some paths set to (mode, blob), or taken out (None). Raises: GitError."""
        tree = self.tree(base)
        index = self.path / f"index-{os.getpid()}-{os.urandom(6).hex()}"
        env = {"GIT_INDEX_FILE": str(index)}
        rows = []
        for path, entry in entries.items():
            mode, blob = entry or ("0", "0" * len(tree))
            rows.append(f"{mode} {blob}\t".encode() + as_bytes(path) + b"\0")
        try:
            self.git.run("read-tree", tree, env=env)
            done = self.git.run_full("update-index", "-z", "--index-info", stdin=b"".join(rows), env=env)
            if b"Ignoring path" in done.stderr:
                raise GitError("update-index", done.returncode, done.stderr.decode(errors="replace"))
            return Tree(self.git.run("write-tree", env=env).decode().strip())
        finally:
            index.unlink(missing_ok=True)

    def sync(self) -> None:
        """Make everything written so far durable. Raises: OSError."""
        fd = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY)
        try:
            if _libc.syncfs(fd) != 0:
                number = ctypes.get_errno()
                raise OSError(number, os.strerror(number), str(self.path))
        finally:
            os.close(fd)

    def tidy(self) -> None:
        """Gather many small packs into few. Nothing is pruned: an object that only a wip ref of a live lease, or
        nothing at all, reaches stays.
        """
        self.git.run("repack", "-d", "--geometric=2", "--quiet", "--write-midx")

    def packs(self) -> int:
        return len(list((self.objects / "pack").glob("*.pack")))


def _patch_of(old: str, new: str, *told: str) -> list[str]:
    told = told or ("--patch",)
    return ["--literal-pathspecs", "diff-tree", "-r", *told, "--no-ext-diff", "--no-textconv", old, new]


def _numstats(out: bytes, commits: list[str]) -> list[list[tuple[str, int | None, int | None]]]:
    """What `diff-tree --stdin --numstat -z` prints: each commit's id, then its rows; a row alone has tabs.

    Raises: GitError where an id is not the next of `commits`: git passes over a commit that it doesn't know.
    """
    found: list[list[tuple[str, int | None, int | None]]] = []
    for part in out.split(b"\0")[:-1]:
        if part.count(b"\t") < 2:
            if part.decode() != commits[len(found)]:
                raise GitError("diff-tree", 0, f"{commits[len(found)]} is not there")
            found.append([])
            continue
        added, deleted, path = part.split(b"\t", 2)
        found[-1].append((as_text(path), _lines(added), _lines(deleted)))
    if len(found) != len(commits):
        raise GitError("diff-tree", 0, f"{commits[len(found)]} is not there")
    return found


def _lines(number: bytes) -> int | None:
    return None if number == b"-" else int(number)


_libc = ctypes.CDLL(None, use_errno=True)
