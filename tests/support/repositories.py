"""Real repositories, stores and workspaces, made and read with plain git, for tests of everything that touches git."""

from __future__ import annotations

import itertools
import os
import subprocess
from collections.abc import Callable, Iterable, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import pytest

from codeswarm.domain.ids import Commit
from codeswarm.git.changes import read_changes
from codeswarm.git.checkout import lay_out
from codeswarm.git.identity import Identity, Message
from codeswarm.git.snapshot import Snapshot, take_in
from codeswarm.git.store import Store
from codeswarm.git.walker import SETUP, TRACKED, read_manifest
from codeswarm.redaction import Secrets
from codeswarm.sandbox.base import Box, Mount, Sandbox
from codeswarm.sandbox.bubblewrap import Bubblewrap, probe
from codeswarm.sandbox.none import NoSandbox
from codeswarm.testing.sandbox_contract import run
from codeswarm.worker.lowers import Lowers
from codeswarm.worker.mounting import Mounter, probe as probe_overlays
from codeswarm.worker.overlays import open_over
from codeswarm.worker.places import Place, Places
from codeswarm.worker.snapshots import Limits, Scope, Snapshotter, baseline, baseline_of_checkout
from codeswarm.worker.view import View

PROBE = probe()
_numbers = itertools.count()
AGENT = Identity("claude (implementer)", "claude@agents.codeswarm.invalid")
NOW_MS = 1_700_000_000_000
WIP = "refs/codeswarm/wip/s/t/1"
LIMITS = Limits(max_file_bytes=1 << 20, max_ignored_bytes=1 << 20)

SANDBOXES = [
    pytest.param(NoSandbox, id="none"),
    pytest.param(
        Bubblewrap,
        id="bubblewrap",
        marks=pytest.mark.skipif(not PROBE.works, reason=f"{PROBE.why}: {PROBE.fix}"),
    ),
]


@dataclass(frozen=True)
class Kind:
    """A way in which workspaces are made, and the walls around them."""

    sandbox: Callable[[], Sandbox]
    overlay: bool = False


KINDS = [
    *(pytest.param(Kind(param.values[0]), id=param.id, marks=param.marks) for param in SANDBOXES),
    pytest.param(Kind(Bubblewrap, overlay=True), id="overlay"),
]


@cache
def skip_without_overlays(folder: Path) -> None:
    """Skip a test where `folder` takes no overlays."""
    found = probe_overlays(Places(folder), Bubblewrap())
    if not found.works:
        pytest.skip(f"no overlays in {folder}: {found.why}")


@dataclass(frozen=True)
class Link:
    """A symlink in a tree or a folder."""

    target: str | bytes


@dataclass(frozen=True)
class Script:
    """An executable file."""

    text: str


@dataclass(frozen=True)
class Submodule:
    commit: str


Content = str | bytes | Link | Script | Submodule | None
"""What stands at a path; None: nothing does any more."""
Files = Mapping[str, Content] | Mapping[bytes, Content]
Tree = dict[bytes, tuple[str, bytes]]
"""Path → (mode, content)."""


def blob_of(content: Content) -> tuple[str, bytes]:
    """Mode and bytes, as git would store them."""
    if isinstance(content, Link):
        return "120000", os.fsencode(content.target)
    if isinstance(content, Script):
        return "100755", content.text.encode()
    if isinstance(content, Submodule):
        return "160000", content.commit.encode()
    assert content is not None
    return "100644", os.fsencode(content)


def tree(files: Files) -> Tree:
    """What `tree_of` answers for such files."""
    return {os.fsencode(path): blob_of(content) for path, content in files.items() if content is not None}


def plant(root: Path, files: Files) -> None:
    """Put files into a folder, whatever stood in their places."""
    for name, content in files.items():
        path = Path(root, os.fsdecode(name))
        path.parent.mkdir(parents=True, exist_ok=True)
        path.unlink(missing_ok=True)
        mode, data = blob_of(content) if content is not None else ("", b"")
        if mode == "120000":
            path.symlink_to(os.fsdecode(data))
        elif mode:
            path.write_bytes(data)
            path.chmod(0o755 if mode == "100755" else 0o644)


def found_in(root: Path) -> Tree:
    """The files below a folder, but for the git directory at its top."""
    found: Tree = {}
    for folder, folders, names in os.walk(os.fsencode(root)):
        for name in [*names, *(name for name in folders if os.path.islink(os.path.join(folder, name)))]:
            path = os.path.join(folder, name)
            relative = os.path.relpath(path, os.fsencode(root))
            if relative.split(b"/")[0] == b".git":
                continue
            if os.path.islink(path):
                found[relative] = ("120000", os.readlink(path))
            else:
                mode = "100755" if os.stat(path).st_mode & 0o100 else "100644"
                with open(path, "rb") as file:
                    found[relative] = (mode, file.read())
    return found


# ── git, as a person has it ──────────────────────────────────────────────────────────────────────────────────


def own_home(root: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A HOME with a git configuration of its own, for us and for the code under test."""
    home = root / "home"
    home.mkdir(parents=True)
    for name in [name for name in os.environ if name.startswith(("GIT_", "XDG_"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(home))
    (home / ".gitconfig").write_text(
        "[user]\n\tname = Ada\n\temail = ada@example.invalid\n[init]\n\tdefaultBranch = main\n"
    )
    return home


def git(directory: Path, *args: str, stdin: bytes = b"", ok: Iterable[int] = (0,)) -> bytes:
    """Run git as a person would, in their environment."""
    done = subprocess.run(["git", *args], cwd=directory, input=stdin, capture_output=True, check=False)
    assert done.returncode in set(ok), (args, done.returncode, done.stderr.decode(errors="replace"))
    return done.stdout


@dataclass
class Repository:
    """A person's repository, with a checkout."""

    path: Path

    @classmethod
    def make(cls, path: Path, files: Files | None = None, *options: str) -> Repository:
        path.mkdir(parents=True)
        git(path, "init", "--quiet", "--initial-branch=main", *options)
        repository = cls(path)
        if files is not None:
            repository.commit(files)
        return repository

    def git(self, *args: str, stdin: bytes = b"", ok: Iterable[int] = (0,)) -> str:
        return os.fsdecode(git(self.path, *args, stdin=stdin, ok=ok)).strip("\n")

    def write(self, files: Files) -> None:
        plant(self.path, files)

    def commit(self, files: Files | None = None, message: str = "Work") -> Commit:
        """Commit some changes of files, and everything else that is not committed."""
        self.write(files or {})
        self.git("add", "--all")
        self.git("commit", "--quiet", "--allow-empty", "--message", message)
        return self.head

    @property
    def head(self) -> Commit:
        return Commit(self.git("rev-parse", "HEAD"))

    @property
    def status(self) -> str:
        return self.git("status", "--porcelain", "--untracked-files=all")


def octal(path: bytes) -> str:
    """A path as fast-import reads it, each byte escaped."""
    return '"' + "".join(f"\\{byte:03o}" for byte in path) + '"'


def commit_files(git_dir: Path, files: Files, *parents: str, ref: str = "refs/heads/main") -> Commit:
    """Make a commit whose changes against its first parent are `files`, without any checkout or filter."""
    stream = [b"commit %b\ncommitter Ada <ada@example.invalid> 1700000000 +0000\ndata 4\nWork" % ref.encode()]
    stream += [f"{'merge' if number else 'from'} {parent}".encode() for number, parent in enumerate(parents)]
    for name, content in files.items():
        path = octal(os.fsencode(name))
        if content is None:
            stream.append(f"D {path}".encode())
            continue
        mode, data = blob_of(content)
        if mode == "160000":
            stream.append(f"M 160000 {data.decode()} {path}".encode())
        else:
            stream.append(f"M {mode} inline {path}\ndata {len(data)}\n".encode() + data)
    prefix = b"" if parents else b"reset %b\n" % ref.encode()
    done = prefix + b"\n".join(stream) + b"\n\n"
    git(git_dir, "--git-dir=.", "fast-import", "--quiet", "--force", stdin=done)
    return Commit(git(git_dir, "--git-dir=.", "rev-parse", ref).decode().strip())


def tree_of(git_dir: Path, revision: str) -> Tree:
    """Every file of a commit or tree, read with plain git."""
    rows = git(git_dir, "ls-tree", "-r", "-z", "--full-tree", revision).split(b"\0")[:-1]
    parts = [(row.partition(b"\t")[2], *row.partition(b"\t")[0].decode().split()) for row in rows]
    blobs = [blob for _, mode, _, blob in parts if mode != "160000"]
    batch = git(git_dir, "cat-file", "--batch", stdin="".join(f"{blob}\n" for blob in blobs).encode())
    contents, at = {}, 0
    for blob in blobs:
        line, _, _ = batch[at : at + 200].partition(b"\n")
        size = int(line.split()[2])
        at += len(line) + 1
        contents[blob] = batch[at : at + size]
        at += size + 1
    return {path: (mode, contents.get(blob, blob.encode())) for path, mode, _, blob in parts}


# ── a workspace, from its commit to the tree that it becomes ─────────────────────────────────────────────────


@dataclass
class Bench:
    """A store, a workspace of it, and whoever takes its snapshots home."""

    root: Path
    sandbox: Sandbox
    files_at_start: Files
    limits: Limits = LIMITS
    gitlinks: tuple[str, ...] = ()
    never: tuple[str, ...] = ()
    secrets: Secrets = field(default_factory=Secrets)
    made_by_setup: Files = field(default_factory=dict)
    object_format: str = "sha1"
    overlay: bool = False
    uploads: int = 0

    def __post_init__(self) -> None:
        self.store = Store.open(self.root / "store.git", object_format=self.object_format)
        self.start = commit_files(self.store.path, self.files_at_start)
        self.base = self.start
        self.name = f"s{os.getpid()}-{next(_numbers)}"  # boxes are told apart by name on the whole machine
        self.place = Place(self.root / "attempts" / f"{self.name}.t.1")
        self.view = self._lay_over() if self.overlay else self._lay_out()
        plant(self.files, self.made_by_setup)
        baseline(self.files, self.place.manifest, SETUP, self.view.upper)
        self.snapshots = self.snapshotter()

    def _lay_out(self) -> View:
        self.place.create()
        lay_out(self.place.files, self.store.objects, self.start, "task/t", AGENT)
        baseline_of_checkout(self.place.files, self.start, self.place.manifest)
        self.known_right()
        return View.of_checkout(self.place)

    def known_right(self) -> None:
        """What is known of a new checkout is what a look at each file finds."""
        looked = self.place.meta / "looked"
        baseline(self.place.files, looked, TRACKED)
        assert read_manifest(self.place.manifest) == read_manifest(looked)

    def _lay_over(self) -> View:
        """Over a commit that has half of the files, one of them another one, and one more: all have to come right."""
        half: Files = dict(list(self.files_at_start.items())[::2]) | {b"only-below": "x"}  # type: ignore[arg-type]
        lowers = Lowers(self.root / "lower", Bubblewrap().as_agent)
        (self.root / "lower").mkdir(parents=True)
        below = commit_files(self.store.path, half, ref="refs/heads/below")
        objects = self.store.objects
        lowers.under(Place(self.root / "attempts" / f"{self.name}.below.1"), objects, below)
        lower, changes = lowers.under(self.place, objects, self.start)
        assert lower.commit == below
        with closing(Mounter()) as mounter:
            return open_over(mounter, self.place, lower, changes, objects, self.start, "task/t", AGENT)

    @property
    def files(self) -> Path:
        return self.view.files

    def snapshotter(self) -> Snapshotter:
        """As a worker has it that knows nothing but the folder."""
        return Snapshotter(
            self.place,
            self.sandbox,
            self.limits,
            gitlinks=self.gitlinks,
            never=self.never,
            view=self.view,
            secrets=self.secrets,
        )

    def edit(self, files: Files) -> None:
        plant(self.files, files)

    async def act(self, script: str) -> str:
        """What an agent does behind the walls."""
        home = self.root / "agent-home"
        home.mkdir(exist_ok=True)
        box = Box(
            f"{self.name}.agent",
            self.view.source,
            home,
            self.place.run,
            self.place.tmp,
            (Mount(self.store.objects),),
            namespaces=self.view.namespaces,
        )
        code, out = await run(self.sandbox, box, script)
        assert code == 0, out
        return out

    async def upload(self, spool: Path) -> Snapshot:
        self.uploads += 1
        message = Message("Work in progress on t")
        with spool.open("rb") as file:
            changes = read_changes(file)
            return take_in(self.store, changes, self.base, WIP, message, author=AGENT, at_ms=NOW_MS)

    async def take(self, scope: Scope = "work") -> Snapshot | None:
        """One snapshot, taken home."""
        snapshot: Snapshot | None = await self.snapshots.take(scope, self.upload)
        if snapshot is not None:
            self.base = snapshot.commit
        return snapshot

    async def take_changed(self, scope: Scope = "work") -> Snapshot:
        snapshot = await self.take(scope)
        assert snapshot is not None
        return snapshot

    @property
    def tree(self) -> Tree:
        """What the store has of the workspace by now."""
        return tree_of(self.store.path, self.base)

    def ignored_tree(self) -> Tree:
        """What the last snapshot kept of ignored files: the tree of its second parent."""
        parents = self.store.parents(self.base)
        return tree_of(self.store.path, parents[1]) if len(parents) > 1 else {}

    def holds(self, data: bytes) -> bool:
        """Whether any object of the store holds these bytes, reachable or not."""
        listed = git(self.store.path, "cat-file", "--batch-all-objects", "--batch", "--unordered")
        return data in listed
