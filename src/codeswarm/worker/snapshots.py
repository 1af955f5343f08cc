"""Brings a workspace's changes home: walk behind walls, spool, upload, and only then remember what was sent.

The walk sees the workspace read-only and has no network; what it may write is a folder of ours. A snapshot that did
not reach the router is simply part of the next one.
"""

from __future__ import annotations

import asyncio
import json
import marshal
import os
import shutil
import stat
import sys
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from codeswarm.domain.ids import Commit
from codeswarm.errors import CodeswarmError
from codeswarm.git import walker
from codeswarm.git.changes import Changes, read_changes
from codeswarm.git.checkout import judge_directory, paths
from codeswarm.git.paths import as_bytes
from codeswarm.host import interpreter
from codeswarm.process import run_sync, umask
from codeswarm.redaction import Secrets
from codeswarm.sandbox.base import WORKSPACE, Box, Mount, Sandbox
from codeswarm.sandbox.bubblewrap import DEFAULT_PATH
from codeswarm.sandbox.starting import start
from codeswarm.worker.places import Place
from codeswarm.worker.view import View
from codeswarm.worker.withheld import withhold

WALKER = Path(walker.__file__)
META_INSIDE, UPPER_INSIDE = Path("/codeswarm/meta"), Path("/codeswarm/upper")
DEADLINE_S = 120.0
GRACE_S = 30.0
"""A walk that has not kept its deadline after this is ended."""
MAX_TOTAL_BYTES = 2 << 30

Scope = Literal["work", "all", "baseline"]
"""`work`: what git does not ignore; `all`: ignored files too, up to their cap; `baseline`: remember, send nothing."""

Upload = Callable[[Path], Awaitable[Any]]


class SnapshotFailed(CodeswarmError):
    """The workspace could not be looked through; it stays as it is."""


@dataclass(frozen=True, slots=True)
class Limits:
    max_file_bytes: int
    max_ignored_bytes: int


class Snapshotter:
    """Snapshots of one workspace, one at a time."""

    def __init__(
        self,
        place: Place,
        sandbox: Sandbox,
        limits: Limits,
        *,
        gitlinks: tuple[str, ...] = (),
        never: tuple[str, ...] = (),
        view: View | None = None,
        secrets: Secrets,
    ) -> None:
        """`never`: paths that must not reach any ref (copied secrets), `secrets`: nor may a file in which one of these
        stands. `view`: None is that of a checkout.
        """
        self._secrets = secrets
        self._place = place
        self._view = view or View.of_checkout(place)
        self._sandbox = sandbox
        self._limits = limits
        self._gitlinks = gitlinks
        self._never = never
        self._lock = asyncio.Lock()

    async def take(self, scope: Scope, upload: Upload) -> Any:
        """Walk, and hand the spooled changes to `upload`, whose answer is returned. None: nothing changed.

        With scope `all` it is uploaded even where nothing changed. Raises: SnapshotFailed, and what `upload` raises.
        """
        async with self._lock:
            spool = self._place.meta / "changes"
            await self._walk(scope, spool)
            held = await asyncio.to_thread(withhold, spool, self._secrets)
            if scope == "work" and await asyncio.to_thread(_is_empty, spool):
                self._commit_manifest(held)
                return None
            answer = await upload(spool)
            self._commit_manifest(held)
            return answer

    def show_changes(self, receive: Callable[[Changes], None]) -> None:
        """Show what the last walk found (for recordings)."""
        with (self._place.meta / "changes").open("rb") as spool:
            receive(read_changes(spool))

    def _commit_manifest(self, held: frozenset[bytes]) -> None:
        """What is known from now on. Of files that were held back the next walk tells again."""
        self._place.manifest.with_suffix(".next").replace(self._place.manifest)
        unsure = self._place.manifest.with_suffix(".unsure")
        if held:
            fresh = unsure.with_suffix(".unsure.new")  # whole or not at all: no walk begins without it
            fresh.write_bytes(marshal.dumps(set(held)))
            fresh.replace(unsure)
        else:
            unsure.unlink(missing_ok=True)

    async def _walk(self, scope: Scope, spool: Path) -> None:
        if self._view.files.is_symlink() or not self._view.files.is_dir():
            why = f"{self._view.source} is no folder any more"
            raise SnapshotFailed("a workspace could not be snapshotted", why, "nothing of it is taken for deleted")
        judge_directory(self._place.meta / "judge")
        box = self._box()
        meta = META_INSIDE if self._sandbox.inside(box).workspace == WORKSPACE else self._place.meta
        order = self._order(scope, self._sandbox.inside(box).workspace, meta)
        argv = [sys.executable, "-I", "-S", str(WALKER)]
        try:
            running = await start(self._sandbox, box, argv, {"PATH": DEFAULT_PATH})
        except PermissionError as error:
            why = f"{self._view.source} can't be entered: {error.strerror}"
            raise SnapshotFailed(
                "a workspace could not be snapshotted", why, "nothing of it is taken for deleted"
            ) from error
        process, code = running.process, None
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stderr is not None
        errors = asyncio.create_task(process.stderr.read())
        try:
            async with asyncio.timeout(DEADLINE_S + GRACE_S):
                process.stdin.write(json.dumps(order).encode() + b"\n")
                process.stdin.close()
                with spool.open("wb") as file:
                    while chunk := await process.stdout.read(1 << 20):
                        file.write(chunk)
                code = await process.wait()
        except TimeoutError:
            code = None
        finally:
            await running.end()
            said = (await errors).decode(errors="replace").strip()
        if code != 0:
            last = said.splitlines()[-1] if said else "it did not end" if code is None else f"exit code {code}"
            raise SnapshotFailed("a workspace could not be snapshotted", last, f"its files stay in {self._place.root}")

    def _box(self) -> Box:
        scratch = self._place.meta / "walk"
        for folder in (scratch / "home", scratch / "run", scratch / "tmp"):
            folder.mkdir(parents=True, exist_ok=True)
        mounts = (*map(Mount, interpreter()), Mount(WALKER), Mount(self._place.meta, META_INSIDE, writable=True))
        if self._view.upper is not None:
            mounts = (*mounts, Mount(self._view.upper, UPPER_INSIDE))
        return Box(
            name=f"snapshot-{self._place.name}",
            workspace=self._view.source,
            home=scratch / "home",
            run=scratch / "run",
            tmp=scratch / "tmp",
            mounts=mounts,
            read_only_workspace=True,
            namespaces=self._view.namespaces,
        )

    def _order(self, scope: Scope, root: Path, meta: Path) -> dict[str, Any]:
        return {
            "root": str(root),
            "upper": str(UPPER_INSIDE) if self._view.upper is not None else "",
            "git_dir": str(meta / "judge"),
            "manifest": str(meta / "manifest"),
            "scope": scope,
            "gitlinks": [os.fsdecode(as_bytes(path)) for path in self._gitlinks],
            "never": [os.fsdecode(as_bytes(path)) for path in self._never],
            "max_file_bytes": self._limits.max_file_bytes,
            "max_total_bytes": MAX_TOTAL_BYTES,
            "max_ignored_bytes": self._limits.max_ignored_bytes,
            "deadline_s": DEADLINE_S,
        }


def baseline(files: Path, manifest: Path, kind: int, upper: Path | None = None) -> None:
    """Remember every file as it stands, before any agent has seen the workspace; new ones as of `kind`.

    `upper`: the layer that holds all that differs from what the manifest knows, where there is one.
    Runs without walls, also after set-up: it looks at names and times alone, follows nothing, opens no file and asks no
    git. Raises: SnapshotFailed.
    """
    order = {
        "root": str(files),
        "upper": str(upper or ""),
        "git_dir": "",
        "manifest": str(manifest),
        "scope": "baseline",
        "gitlinks": [],
        "never": [],
        "max_file_bytes": 0,
        "max_total_bytes": 0,
        "max_ignored_bytes": 0,
        "deadline_s": DEADLINE_S,
        "mark_new_as": kind,
    }
    argv = [sys.executable, "-I", "-S", str(WALKER)]
    done = run_sync(argv, cwd=Path("/"), env={"PATH": DEFAULT_PATH}, stdin=json.dumps(order).encode() + b"\n")
    if done.returncode != 0:
        said = done.stderr.decode(errors="replace")[-500:]
        raise SnapshotFailed("a new workspace could not be looked through", said, "codeswarm doctor")
    manifest.with_suffix(".next").replace(manifest)


def baseline_of_checkout(files: Path, commit: Commit, manifest: Path) -> None:
    """What `baseline` makes of a checkout that nobody has touched: git's index tells what there is, and is read by
    whoever needs to know.

    Raises: GitError, OSError.
    """
    index = files / ".git" / "index"
    data, object_id_bytes = index.read_bytes(), len(commit) // 2
    try:
        modes = _modes(files, walker.read_index(data, object_id_bytes))
    except ValueError:
        modes = None
    if modes is None:
        known: walker.Manifest = {}
        _remember(files, paths(files), known)
        manifest.write_bytes(marshal.dumps(known))
        return
    manifest.write_bytes(marshal.dumps((modes, data, object_id_bytes)))
    walker.let_the_tick_pass(index.stat().st_mtime_ns, walker.TICK_NS)


def _modes(files: Path, entries: Iterator[walker.Entry]) -> dict[int, int] | None:
    """Mode in a tree → as files have it here; None where git does not tell what a look at the first file shows."""
    mask = umask()
    modes = {0o100644: 0o100666 & ~mask, 0o100755: 0o100777 & ~mask, 0o120000: 0o120777}
    first = next((entry for entry in entries if entry[1] != walker.GITLINK), None)
    if first is not None:
        path, mode, *told = first
        root = os.open(files, os.O_PATH | os.O_DIRECTORY)  # beneath it, a path may be as long as git makes them
        try:
            info = os.stat(path, dir_fd=root, follow_symlinks=False)
        finally:
            os.close(root)
        if walker.signature_of(info) != (modes[mode], *told):
            return None
    return modes


def baseline_over(files: Path, below: Path, manifest: Path, changes: Mapping[bytes, bool]) -> None:
    """What `baseline` makes of a commit's files, from the manifest of others that differ from them by `changes`.

    Args: changes: path → whether there is still something at it.
    """
    if not changes:
        shutil.copyfile(below, manifest)
        return
    known = walker.read_manifest(below)
    for path in changes:
        known.pop(path, None)
    _remember(files, (path for path, is_there in changes.items() if is_there), known)
    manifest.write_bytes(marshal.dumps(known))


def _remember(files: Path, paths: Iterable[bytes], known: walker.Manifest) -> None:
    """Add files that have just been checked out, as they stand. A submodule's folder is none."""
    newest_ns = 0
    root = os.open(files, os.O_PATH | os.O_DIRECTORY)  # beneath it, a path may be as long as git makes them
    try:
        for path in paths:
            info = os.stat(path, dir_fd=root, follow_symlinks=False)
            if not stat.S_ISDIR(info.st_mode):
                known[path] = (walker.TRACKED, walker.signature_of(info))
                newest_ns = max(newest_ns, info.st_ctime_ns)
    finally:
        os.close(root)
    walker.let_the_tick_pass(newest_ns)


def tracked_paths(place: Place) -> set[bytes]:
    """What stands in the commit that a workspace was made at, by its manifest."""
    return {path for path, (kind, _) in walker.read_manifest(place.manifest).items() if kind == walker.TRACKED}


def _is_empty(spool: Path) -> bool:
    """Whether a walk found nothing to put or delete."""
    with spool.open("rb") as file:
        return read_changes(file).empty
