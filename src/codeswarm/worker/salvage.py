"""Brings home what a dead attempt left in its workspace: the worker that finds the folder sends it, then removes it.

An attempt whose lease is over may still be at work: its worker was stopped, or cut off, and has not heard of it. Such
a folder is left to that worker, which brings it home itself once it hears; if it dies instead, the next one does.
"""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

from codeswarm.domain.results import LeftOut
from codeswarm.errors import CodeswarmError
from codeswarm.protocol import SnapshotAnswer
from codeswarm.worker.commits import CREDENTIAL, keep_commits
from codeswarm.worker.locks import taken
from codeswarm.worker.places import Place
from codeswarm.worker.snapshots import Limits, Snapshotter
from codeswarm.worker.tools import Tools
from codeswarm.worker.view import View


async def salvage(tools: Tools, place: Place) -> bool:
    """Send a left-over workspace to its attempt's wip ref and remove it; whether there was one and it is safe now.

    A folder that was never finished (no facts, no manifest) holds nothing of an agent's and is only removed. What can't
    be sent stays, for the next one who comes by; so does a folder that someone else is at work in.
    """
    if not place.root.is_dir():
        return False
    with taken(place.held) as ours:
        return ours and await _salvage(tools, place)


async def _salvage(tools: Tools, place: Place) -> bool:
    facts = place.facts()
    if not facts or not place.manifest.is_file():
        await asyncio.to_thread(tools.maker.remove, place)
        return False
    try:
        view = await tools.maker.reopen(place, Path(facts["objects"]))
    except (CodeswarmError, OSError) as error:
        place.remember(salvage_failed=str(error))
        return False
    try:
        return await _bring_home(tools, place, view, facts)
    finally:
        view.close()


async def _bring_home(tools: Tools, place: Place, view: View, facts: dict[str, Any]) -> bool:
    limits = Limits(facts["max_file_bytes"], facts["max_ignored_bytes"])
    never, gitlinks = tuple(facts["never"]), tuple(facts["gitlinks"])
    secrets = await asyncio.to_thread(tools.known)
    secrets.add(*tools.secrets.values)
    snapshots = Snapshotter(place, tools.sandbox, limits, gitlinks=gitlinks, never=never, view=view, secrets=secrets)

    async def upload(spool: Path) -> SnapshotAnswer:
        return await tools.line.salvage(facts["session"], facts["ticket"], facts["epoch"], spool)

    async def upload_commits(bundle: Path) -> None:
        await tools.line.commits(facts["session"], facts["ticket"], facts["epoch"], bundle)

    try:
        answer: SnapshotAnswer = await snapshots.take("all", upload)
    except (CodeswarmError, OSError) as error:
        place.remember(salvage_failed=str(error))
        return False
    objects, start = Path(facts["objects"]), facts["start"]
    problem = await keep_commits(place, view, tools.sandbox, objects, start, upload_commits, never, secrets)
    left_out = answer.left_out
    if problem is not None:
        place.remember(salvage_failed=problem)
        if problem != CREDENTIAL:
            return False
        left_out = (*left_out, LeftOut(path=".git", reason=problem, size=0))  # for good: who is next may not know it
    if any(item.size is not None for item in left_out):
        place.remember(left_out=[item.model_dump() for item in left_out])
        return True
    view.close()
    await asyncio.to_thread(tools.maker.remove, place)
    return True
