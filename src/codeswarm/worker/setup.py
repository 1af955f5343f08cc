"""The project's set-up: run once per content of its inputs, kept, and copied into each later workspace.

That works because a workspace stands at one constant path in its sandbox; without walls it doesn't, and set-up runs
anew in each.
"""

from __future__ import annotations

import asyncio
import dataclasses
import hashlib
import os
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

from codeswarm.clock import Clock
from codeswarm.domain.settings import HOSTS_OWN, WorkspaceSettings
from codeswarm.egress.base import Denied
from codeswarm.egress.hosts import REGISTRIES
from codeswarm.egress.way_out import Outlook, WayOut
from codeswarm.errors import CodeswarmError
from codeswarm.git.paths import as_bytes
from codeswarm.git.walker import parents
from codeswarm.process import run_sync
from codeswarm.sandbox.base import WORKSPACE, Box, Sandbox
from codeswarm.worker.beneath import read_beneath
from codeswarm.worker.locks import locked
from codeswarm.worker.outward import through
from codeswarm.worker.places import Place
from codeswarm.worker.run import Done, run_to_end
from codeswarm.worker.snapshots import tracked_paths

LIST = "workspace.setup_network"


class SetupFailed(CodeswarmError):
    """The project's set-up command failed; `why` holds the end of its output."""


class SetupCache:
    def __init__(self, folder: Path, sandbox: Sandbox, outlook: Outlook, clock: Clock) -> None:
        self._folder = folder
        self._sandbox = sandbox
        self._outlook = outlook
        self._clock = clock

    async def apply(
        self,
        place: Place,
        files: Path,
        box: Box,
        settings: WorkspaceSettings,
        command: str,
        environment: Mapping[str, str],
    ) -> None:
        """Set a fresh workspace up. Raises: SetupFailed."""
        if self._sandbox.inside(box).workspace != WORKSPACE:
            await self._run(place, box, settings, command, environment)
            return
        kept = self._folder / self._key(files, settings, command, environment)
        kept.parent.mkdir(parents=True, exist_ok=True)
        async with locked(kept.with_suffix(".lock")):
            if not kept.is_dir():
                await self._run(place, box, settings, command, environment)
                await asyncio.to_thread(_keep, place, files, kept)
                return
        await asyncio.to_thread(_copy_untracked, kept, files, b"", _with_folders(tracked_paths(place)))

    def _key(self, files: Path, settings: WorkspaceSettings, command: str, environment: Mapping[str, str]) -> str:
        """The hash of all that the outcome depends on."""
        digest = hashlib.sha256(f"{command}\0{self._sandbox.kind}\0{environment.get('PATH')}".encode())
        for name in sorted(settings.setup_inputs):
            found = read_beneath(files, as_bytes(name))
            content, mode = found or (b"", 0)
            digest.update(f"\0{name}\0{mode:o}\0{len(content)}\0".encode() + content)
        return digest.hexdigest()[:32]

    def _listed(self, network: Sequence[str]) -> list[str]:
        """What it reaches by a proxy; nothing: it has the host's network, or none. Where a registry's name leads into a
        private network it may go there: so it does for the person, who lets set-up fetch packages.
        """
        if HOSTS_OWN in network or not self._sandbox.own_network:
            return []
        registries = (*self._outlook.mirrors, *self._outlook.registries) if REGISTRIES in network else ()
        return [*registries, *(entry for entry in network if entry != REGISTRIES)]

    async def _run(
        self, place: Place, box: Box, settings: WorkspaceSettings, command: str, environment: Mapping[str, str]
    ) -> None:
        listed = self._listed(settings.setup_network)
        direct = bool(settings.setup_network) and not listed
        walls = dataclasses.replace(box, name=f"setup-{place.name}", network=direct)
        denied: list[Denied] = []
        way_out = WayOut(listed, self._outlook, place.root / "way-out", self._clock, denied.append, LIST)
        argv: Sequence[str] = ["/bin/sh", "-c", command]
        if listed:
            walls, argv, environment = through(way_out, walls, argv, environment)
        try:
            done = await run_to_end(self._sandbox, walls, argv, environment, timeout_s=settings.setup_timeout_s)
        finally:
            await way_out.close()
        if done.exit_code != 0:
            raise _failed(command, done, denied)


def _failed(command: str, done: Done, denied: Sequence[Denied]) -> SetupFailed:
    how = "did not end in time" if done.timed_out else f"exited with {done.exit_code}"
    how += f", at its limit of {' and of '.join(done.exceeded)}" if done.exceeded else ""
    hosts = [f"{one.host} was denied: {one.why}" for one in denied]
    hint = next((one.hint for one in denied if one.hint), "codeswarm config show   # workspace.setup")
    return SetupFailed(f"the set-up `{command}` {how}", "\n".join([done.tail, *hosts]), hint)


def _keep(place: Place, files: Path, kept: Path) -> None:
    """Keep what set-up added beside the commit's own files, under its key, all or nothing, also after a power loss."""
    growing = kept.with_suffix(".growing")
    shutil.rmtree(growing, ignore_errors=True)
    growing.mkdir()
    _copy_untracked(files, growing, b"", _with_folders(tracked_paths(place)))
    _run_tool("sync", "--file-system", str(growing))
    growing.rename(kept)


def _with_folders(paths: set[bytes]) -> set[bytes]:
    return paths | parents(paths)


def _copy_untracked(source: Path, target: Path, prefix: bytes, tracked: set[bytes]) -> None:
    """Copy what is not the commit's own. A link of the commit's is not gone through, and nothing of it is replaced."""
    for entry in sorted(source.iterdir()):
        path, there = prefix + os.fsencode(entry.name), target / entry.name
        if path == b".git":
            continue
        if path not in tracked:
            _run_tool("cp", "-a", "--reflink=auto", "--no-target-directory", "--", str(entry), str(there))
        elif entry.is_dir() and not any(one.is_symlink() or one.is_file() for one in (entry, there)):
            there.mkdir(exist_ok=True)
            _copy_untracked(entry, there, path + b"/", tracked)


def _run_tool(*argv: str) -> None:
    done = run_sync(argv, cwd=Path("/"), env={"PATH": os.defpath}, timeout_s=3600)
    if done.returncode != 0:
        said = done.stderr.decode(errors="replace")[-500:]
        raise SetupFailed("what the set-up made could not be copied", said, "codeswarm doctor")
