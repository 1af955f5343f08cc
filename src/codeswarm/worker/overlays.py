"""Workspaces as overlays: a checkout that many share below, and above it what one attempt changed.

Source: docs/design/overlay.md
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path

from codeswarm.domain.ids import Commit
from codeswarm.git.checkout import lay_over, prepare_over
from codeswarm.git.command import Git
from codeswarm.git.identity import Identity
from codeswarm.sandbox.base import Probe, Sandbox
from codeswarm.worker.lowers import Lower, Lowers
from codeswarm.worker.mounting import Mounter, OverlayFailed, probe
from codeswarm.worker.places import Place, Places
from codeswarm.worker.snapshots import baseline_over
from codeswarm.worker.view import View


class Overlays:
    def __init__(self, places: Places, sandbox: Sandbox) -> None:
        self._places = places
        self._sandbox = sandbox
        self._lowers = Lowers(places.lower, sandbox.as_agent)
        self._mounter = Mounter()
        self._trying = asyncio.Lock()
        self._tried: Probe | None = None

    async def probe(self) -> Probe:
        """Whether they work here. It is tried once."""
        async with self._trying:
            if self._tried is None:
                self._tried = await asyncio.to_thread(probe, self._places, self._sandbox)
        return self._tried

    async def lay_out(self, place: Place, objects: Path, start: Commit, branch: str, author: Identity) -> View:
        """Make a new place a workspace at `start`. Raises: OverlayFailed, GitError, OSError."""
        async with self._lowers.lock(place.session):
            lower, changes = await asyncio.to_thread(self._lowers.under, place, objects, start)
        return await asyncio.to_thread(open_over, self._mounter, place, lower, changes, objects, start, branch, author)

    async def reopen(self, place: Place, objects: Path) -> View:
        """What someone left behind, as they left it. Raises: OverlayFailed, GitError, OSError."""
        tried = await self.probe()
        if not tried.works:
            raise OverlayFailed("a workspace that is an overlay can't be looked at here", tried.why, "codeswarm doctor")
        async with self._lowers.lock(place.session):
            lower = await asyncio.to_thread(self._lowers.again, place, objects)
        return await asyncio.to_thread(self._mounter.mount, place, lower.files)

    def close(self) -> None:
        """End what mounts for them; what is mounted stays. Idempotent."""
        self._mounter.close()


def open_over(
    mounter: Mounter,
    place: Place,
    lower: Lower,
    changes: Mapping[bytes, bool],
    objects: Path,
    start: Commit,
    branch: str,
    author: Identity,
) -> View:
    """Mount a place over its lower, and make of what it shows a workspace at `start`."""
    prepare_over(place.upper, objects, start, branch, author)
    view = mounter.mount(place, lower.files)
    try:
        assert view.namespaces is not None
        git = Git(view.source / ".git", work_tree=view.source, entering=view.namespaces.entering)
        lay_over(git, lower.commit, start)
        baseline_over(view.files, lower.manifest, place.manifest, changes)
    except BaseException:
        view.close()
        raise
    return view
