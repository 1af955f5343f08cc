"""Starting a run so that nothing is left of it when whoever asked for it goes away in the middle."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence

from codeswarm.sandbox.base import Box, Running, Sandbox


async def start(
    sandbox: Sandbox,
    box: Box,
    argv: Sequence[str],
    env: Mapping[str, str],
    *,
    stdin: int | None = None,
    stderr: int | None = None,
) -> Running:
    """As `Sandbox.start`. A caller that is cancelled before it has the run in hand leaves no process behind."""
    starting = asyncio.ensure_future(sandbox.start(box, argv, env, stdin=stdin, stderr=stderr))
    try:
        return await asyncio.shield(starting)
    except asyncio.CancelledError:
        await asyncio.wait({starting})
        if not starting.cancelled() and starting.exception() is None:
            await starting.result().end()
        raise
