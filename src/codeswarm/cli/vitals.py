"""What agents are at, on the board: asked of the router again and again while somebody looks."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

from codeswarm.cli.board import Board
from codeswarm.cli.follow import Show
from codeswarm.domain.ids import SessionId
from codeswarm.errors import CodeswarmError
from codeswarm.router_client import RouterClient

EVERY_S = 3.0


@contextlib.asynccontextmanager
async def vitals_on(show: Show, client: RouterClient, session: SessionId) -> AsyncIterator[None]:
    """Keep a board's agents up to date meanwhile. Whoever reads lines is told of facts alone."""
    if not isinstance(show, Board):
        yield
        return
    asking = asyncio.create_task(_ask(show, client, session))
    try:
        yield
    finally:
        asking.cancel()
        await asyncio.gather(asking, return_exceptions=True)


async def _ask(board: Board, client: RouterClient, session: SessionId) -> None:
    while True:
        with contextlib.suppress(CodeswarmError):  # the session may not be there yet, or the router not any more
            board.agents(await client.get(f"/sessions/{session}/agents"))
        await asyncio.sleep(EVERY_S)
