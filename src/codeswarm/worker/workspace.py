"""Makes workspaces, for agents and gates alike: files at a commit, the project's set-up, copied files, ports."""

from __future__ import annotations

import asyncio
import errno
import os
import socket
from dataclasses import dataclass, field
from pathlib import Path

from codeswarm.domain.ids import Commit
from codeswarm.environment import Environment
from codeswarm.git.checkout import lay_out
from codeswarm.git.identity import Identity
from codeswarm.git.paths import as_bytes
from codeswarm.git.walker import SETUP, TRACKED
from codeswarm.host import toolchains
from codeswarm.process import run_sync
from codeswarm.protocol import WorkspaceOrder
from codeswarm.sandbox.base import Box, Mount, Sandbox
from codeswarm.worker.borrow import copy_files, free_ports
from codeswarm.worker.places import Place, Places
from codeswarm.worker.setup import SetupCache
from codeswarm.worker.snapshots import baseline, tracked_paths


@dataclass(slots=True)
class Workspace:
    """A workspace that is ready for an agent or a gate."""

    place: Place
    box: Box
    environment: dict[str, str]
    """PATH and ports."""
    secrets: tuple[str, ...] = ()
    """Copied files, which must reach no ref."""
    sockets: list[socket.socket] = field(default_factory=list)
    """They hold the ports until the workspace is let go."""

    def let_go(self) -> None:
        for held in self.sockets:
            held.close()


class WorkspaceMaker:
    def __init__(self, places: Places, sandbox: Sandbox, environment: Environment) -> None:
        self._places = places
        self._sandbox = sandbox
        self._environment = environment
        self._setup = SetupCache(places.setup, sandbox)

    async def make(
        self,
        place: Place,
        order: WorkspaceOrder,
        start: Commit,
        branch: str,
        author: Identity,
        home: Path,
        *,
        network: bool,
    ) -> Workspace:
        """A workspace at `start`, whole. Raises: SetupFailed, GitError, OSError."""
        await asyncio.to_thread(self._lay_out, place, order, start, branch, author, home)
        ports, sockets = free_ports(order.settings.ports)
        environment = {"PATH": self._environment.path, **ports}
        box = self.box(place, order, home, network=network)
        workspace = Workspace(place, box, environment, sockets=sockets)
        try:
            if order.settings.setup:
                await self._setup.apply(place, box, order.settings, order.settings.setup, environment)
            workspace.secrets = await asyncio.to_thread(_copy_secrets, place, order)
            await asyncio.to_thread(baseline, place, SETUP)
        except BaseException:
            workspace.let_go()
            raise
        return workspace

    def _lay_out(
        self, place: Place, order: WorkspaceOrder, start: Commit, branch: str, author: Identity, home: Path
    ) -> None:
        if place.root.exists():
            raise FileExistsError(errno.EEXIST, "an attempt's folder is there already", str(place.root))
        place.create()
        home.mkdir(parents=True, exist_ok=True)
        lay_out(place.files, Path(order.objects), start, branch, author)
        baseline(place, TRACKED)

    def box(self, place: Place, order: WorkspaceOrder, home: Path, *, network: bool) -> Box:
        """What runs in a workspace see: the toolchains on the PATH, the store's objects, what the person allowed."""
        shown = map(Mount, toolchains(self._environment.path, self._environment.home))
        extra = tuple(Mount(Path(path)) for path in order.settings.visible)
        mounts = (*shown, *extra, Mount(Path(order.objects)))
        return Box(place.name, place.files, home, place.run, place.tmp, mounts=mounts, network=network)

    # ── the end ──

    @staticmethod
    def remove(place: Place) -> None:
        """Take a workspace away. The caller knows that nothing in it is needed any more."""
        _remove(place.root)


def _copy_secrets(place: Place, order: WorkspaceOrder) -> tuple[str, ...]:
    """The files to copy, but for those that the commit has of its own: a copy over them would hide every edit."""
    if not order.repository or not order.settings.copies:
        return ()
    tracked = tracked_paths(place)
    names = [name for name in order.settings.copies if as_bytes(name) not in tracked]
    return copy_files(Path(order.repository), names, place.files)


def _remove(root: Path) -> None:
    """Remove a folder, whatever permissions an agent left in it, and however deep it is. Raises: OSError."""
    env = {"PATH": os.defpath, "LC_ALL": "C"}
    done = run_sync(["rm", "-rf", "--", str(root)], cwd=Path("/"), env=env)
    if done.returncode != 0:
        run_sync(["chmod", "-R", "u+rwx", "--", str(root)], cwd=Path("/"), env=env)
        done = run_sync(["rm", "-rf", "--", str(root)], cwd=Path("/"), env=env)
    if done.returncode != 0:
        raise OSError(errno.EACCES, done.stderr.decode(errors="replace").strip()[-500:], str(root))
