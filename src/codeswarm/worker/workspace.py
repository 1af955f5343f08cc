"""Makes workspaces, for agents and gates alike: files at a commit, the project's set-up, copied files, ports."""

from __future__ import annotations

import asyncio
import errno
import socket
from collections.abc import Coroutine, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from codeswarm.clock import Clock
from codeswarm.domain.ids import Commit
from codeswarm.domain.settings import WorkspaceSettings
from codeswarm.egress.parent import Parent
from codeswarm.egress.way_out import Outlook
from codeswarm.environment import Environment
from codeswarm.git.checkout import lay_out
from codeswarm.git.identity import Identity
from codeswarm.git.paths import as_bytes
from codeswarm.git.walker import SETUP
from codeswarm.host import is_system, toolchains, variables
from codeswarm.protocol import WorkspaceOrder
from codeswarm.registries import HOSTS, registries
from codeswarm.sandbox.base import Box, Limits, Mount, Sandbox
from codeswarm.worker.borrow import copy_files, exclude, free_ports
from codeswarm.worker.masks import masks, secrets
from codeswarm.worker.mounting import OverlayFailed
from codeswarm.worker.overlays import Overlays
from codeswarm.worker.places import Place, Places, remove
from codeswarm.worker.setup import SetupCache
from codeswarm.worker.snapshots import baseline, baseline_of_checkout, tracked_paths
from codeswarm.worker.view import View

OVERLAY, CHECKOUT = "overlay", "checkout"
"""Kinds that a person can ask for; `auto`, the third, is an overlay where that works."""


@dataclass(slots=True)
class Workspace:
    """A workspace that is ready for an agent or a gate."""

    place: Place
    view: View
    box: Box
    environment: dict[str, str]
    """PATH, what its toolchains must be told, and ports; with the network also how registries are reached."""
    secrets: tuple[str, ...] = ()
    """Copied files, which must reach no ref."""
    sockets: list[socket.socket] = field(default_factory=list)
    """They hold the ports until the workspace is let go."""

    @property
    def files(self) -> Path:
        """Where its files are for this process, until it is let go."""
        return self.view.files

    def let_go(self) -> None:
        """Give back what it holds; its files stay. Idempotent."""
        self.view.close()
        for held in self.sockets:
            held.close()


class WorkspaceMaker:
    def __init__(self, places: Places, sandbox: Sandbox, environment: Environment, clock: Clock) -> None:
        self._places = places
        self._sandbox = sandbox
        self._environment = environment
        self._told = variables(environment.path, environment.home, environment.variables)
        self._registries = registries(environment.home, environment.variables)
        self.overlays = Overlays(places, sandbox)
        self.outlook = Outlook(
            HOSTS, self._registries.mirrors(), self._registries.certificates(), Parent.of(environment.variables)
        )
        self._setup = SetupCache(places.setup, sandbox, self.outlook, clock)

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
        """A workspace at `start`, whole. Raises: SetupFailed, GitError, OSError.

        `network`: what runs in it may reach hosts outside; where the walls have a network of their own, by a proxy.
        """
        view = await _whole(self._lay_out(place, order, start, branch, author))
        box = self.box(place, view, order, home, network=network and not self._sandbox.own_network)
        workspace = Workspace(place, view, box, {"PATH": self._environment.path, **self._told})
        try:
            await asyncio.to_thread(home.mkdir, parents=True, exist_ok=True)
            ports, workspace.sockets = free_ports(order.settings.ports)
            workspace.environment |= ports
            online = {**self._registries.variables, **workspace.environment}
            if order.settings.setup:
                await self._setup.apply(place, view.files, box, order.settings, order.settings.setup, online)
            if network:
                workspace.environment = online
            workspace.secrets = await asyncio.to_thread(_copy_secrets, place, view.files, order)
            if order.settings.setup or workspace.secrets:
                await asyncio.to_thread(baseline, view.files, place.manifest, SETUP, view.upper)
        except BaseException:
            workspace.let_go()
            raise
        return workspace

    # ── laying out ──

    async def _lay_out(self, place: Place, order: WorkspaceOrder, start: Commit, branch: str, author: Identity) -> View:
        if place.root.exists():
            raise FileExistsError(errno.EEXIST, "an attempt's folder is there already", str(place.root))
        kind, objects = order.settings.kind, Path(order.objects)
        try:
            if kind != CHECKOUT and await self._can_overlay(kind):
                return await self.overlays.lay_out(place, objects, start, branch, author)
        except OverlayFailed:
            if kind == OVERLAY:
                raise
            await asyncio.to_thread(remove, place.root)
        return await asyncio.to_thread(_check_out, place, objects, start, branch, author, self._sandbox.as_agent)

    async def _can_overlay(self, kind: str) -> bool:
        """Raises: OverlayFailed where the person asked for nothing else."""
        tried = await self.overlays.probe()
        if kind == OVERLAY and not tried.works:
            raise OverlayFailed("workspaces can't be overlays here", tried.why, tried.fix)
        return tried.works

    async def reopen(self, place: Place, objects: Path) -> View:
        """A workspace that someone left behind, as they left it. Raises: CodeswarmError, OSError."""
        return await _whole(self.overlays.reopen(place, objects)) if place.lower else View.of_checkout(place)

    def box(self, place: Place, view: View, order: WorkspaceOrder, home: Path, *, network: bool) -> Box:
        """What runs in a workspace see: the toolchains on the PATH, the store's objects, what the person allowed."""
        told = (folder for folder in map(Path, self._told.values()) if not is_system(folder))
        shown = map(Mount, (*self._toolchains, *told, *self._registries.certificates()))
        extra = tuple(Mount(Path(path)) for path in order.settings.visible)
        mounts = (*shown, *extra, Mount(Path(order.objects)))
        return Box(
            place.name,
            view.source,
            home,
            place.run,
            place.tmp,
            mounts=mounts,
            masks=(
                *masks(Path(order.objects), order.repository, order.settings.visible),
                *secrets(self._environment.home, mounts, order.settings.visible),
            ),
            network=network,
            limits=limits(order.settings),
            namespaces=view.namespaces,
        )

    @cached_property
    def _toolchains(self) -> tuple[Path, ...]:
        """Looked for once: folders on the PATH are looked through for checkouts, and some are large."""
        return toolchains(self._environment.path, self._environment.home)

    # ── the end ──

    @staticmethod
    def remove(place: Place) -> None:
        """Take a workspace away. The caller knows that nothing in it is needed any more."""
        remove(place.root)

    def close(self) -> None:
        """No more workspaces are made; those that are stay. Idempotent."""
        self.overlays.close()


def limits(settings: WorkspaceSettings) -> Limits:
    """What a person bounds their agents, gates and set-ups to."""
    return Limits(settings.memory_mib, settings.cpus, settings.pids)


async def _whole(laying: Coroutine[Any, Any, View]) -> View:
    """A view, made to its end even for a caller that is cancelled: then nothing is left open, and no thread writes on
    into a folder that the caller takes for its own again.
    """
    task = asyncio.ensure_future(laying)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait({task})
        if not task.cancelled() and task.exception() is None:
            task.result().close()
        raise


def _check_out(
    place: Place, objects: Path, start: Commit, branch: str, author: Identity, as_agent: Sequence[str]
) -> View:
    place.create()
    lay_out(place.files, objects, start, branch, author, as_agent)
    baseline_of_checkout(place.files, start, place.manifest)
    return View.of_checkout(place)


def _copy_secrets(place: Place, files: Path, order: WorkspaceOrder) -> tuple[str, ...]:
    """The files to copy, but for those that the commit has of its own: a copy over them would hide every edit."""
    if not order.repository or not order.settings.copies:
        return ()
    tracked = tracked_paths(place)
    names = [name for name in order.settings.copies if as_bytes(name) not in tracked]
    copied = copy_files(Path(order.repository), names, files)
    exclude(files, copied)
    return copied
