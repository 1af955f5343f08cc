"""The project's set-up: run once per content of its inputs, kept, and copied into each later workspace.

That works because a workspace stands at one constant path in its sandbox; without walls it doesn't, and set-up runs
anew in each.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import fcntl
import hashlib
import marshal
import os
import shutil
from collections.abc import AsyncIterator, Mapping
from pathlib import Path

from codeswarm.domain.settings import WorkspaceSettings
from codeswarm.errors import CodeswarmError
from codeswarm.process import run_sync
from codeswarm.sandbox.base import WORKSPACE, Box, Sandbox
from codeswarm.worker.places import Place
from codeswarm.worker.run import run_to_end


class SetupFailed(CodeswarmError):
    """The project's set-up command failed; `why` holds the end of its output."""


class SetupCache:
    def __init__(self, folder: Path, sandbox: Sandbox) -> None:
        self._folder = folder
        self._sandbox = sandbox

    async def apply(
        self, place: Place, box: Box, settings: WorkspaceSettings, command: str, environment: Mapping[str, str]
    ) -> None:
        """Set a fresh workspace up. Raises: SetupFailed."""
        if self._sandbox.inside(box).workspace != WORKSPACE:
            await self._run(place, box, settings, command, environment)
            return
        kept = self._folder / self._key(place.files, settings, command, environment)
        kept.parent.mkdir(parents=True, exist_ok=True)
        async with _locked(kept.with_suffix(".lock")):
            if not kept.is_dir():
                await self._run(place, box, settings, command, environment)
                await asyncio.to_thread(_keep, place, kept)
                return
        await asyncio.to_thread(_copy, f"{kept}/.", place.files)

    def _key(self, files: Path, settings: WorkspaceSettings, command: str, environment: Mapping[str, str]) -> str:
        """The hash of all that the outcome depends on."""
        digest = hashlib.sha256(f"{command}\0{self._sandbox.kind}\0{environment.get('PATH')}".encode())
        for name in sorted(settings.setup_inputs):
            path = files / name
            digest.update(f"\0{name}\0".encode())
            digest.update(path.read_bytes() if path.is_file() and not path.is_symlink() else b"")
        return digest.hexdigest()[:32]

    async def _run(
        self, place: Place, box: Box, settings: WorkspaceSettings, command: str, environment: Mapping[str, str]
    ) -> None:
        walls = dataclasses.replace(box, name=f"setup-{place.name}", network=settings.setup_network)
        argv = ["/bin/sh", "-c", command]
        done = await run_to_end(self._sandbox, walls, argv, environment, timeout_s=settings.setup_timeout_s)
        if done.exit_code != 0:
            how = "did not end in time" if done.timed_out else f"exited with {done.exit_code}"
            raise SetupFailed(f"the set-up `{command}` {how}", done.tail)


@contextlib.asynccontextmanager
async def _locked(path: Path) -> AsyncIterator[None]:
    """Hold a lock file, so that of many workers one runs a set-up and the others take what it made."""
    with path.open("a") as file:
        await asyncio.to_thread(fcntl.flock, file, fcntl.LOCK_EX)
        try:
            yield
        finally:
            fcntl.flock(file, fcntl.LOCK_UN)


def _keep(place: Place, kept: Path) -> None:
    """Keep what set-up added beside the commit's own files, under its key, all or nothing."""
    growing = kept.with_suffix(".growing")
    shutil.rmtree(growing, ignore_errors=True)
    growing.mkdir()
    _copy_untracked(place.files, growing, "", _tracked(place))
    growing.rename(kept)


def _tracked(place: Place) -> set[str]:
    """Every path of the manifest and every folder above one."""
    with place.manifest.open("rb") as file:
        manifest = marshal.load(file)  # noqa: S302 - a file of ours, which no agent can reach
    found: set[str] = set()
    for raw in manifest:
        path = os.fsdecode(raw)
        while path and path not in found:
            found.add(path)
            path = path.rpartition("/")[0]
    return found


def _copy_untracked(source: Path, target: Path, prefix: str, tracked: set[str]) -> None:
    for entry in os.scandir(source):
        path = f"{prefix}{entry.name}"
        if path == ".git":
            continue
        if path not in tracked:
            _copy(entry.path, target / entry.name)
        elif entry.is_dir(follow_symlinks=False):
            (target / entry.name).mkdir()
            _copy_untracked(Path(entry.path), target / entry.name, f"{path}/", tracked)


def _copy(source: str, target: Path) -> None:
    """Copy files as they are, sharing blocks where the file system can."""
    argv = ["cp", "-a", "--reflink=auto", source, str(target)]
    done = run_sync(argv, cwd=Path("/"), env={"PATH": os.defpath}, timeout_s=3600)
    if done.returncode != 0:
        raise SetupFailed("what the set-up made could not be copied", done.stderr.decode(errors="replace")[-500:])
