"""Tells the router which hosts an attempt asked for in vain. The agent goes on meanwhile, and never waits for it."""

from __future__ import annotations

import asyncio
import contextlib

from codeswarm.egress.base import Denied
from codeswarm.errors import RouterUnreachable
from codeswarm.protocol import DeniedRequest, Offer
from codeswarm.router_client import RouterRefused
from codeswarm.worker.line import Line


class Denials:
    """Those of one attempt. How many they are is bounded where they arise."""

    def __init__(self, line: Line, offer: Offer) -> None:
        self._line = line
        self._offer = offer
        self._telling: set[asyncio.Task[None]] = set()

    def tell(self, denied: Denied) -> None:
        task = asyncio.ensure_future(self._tell(denied))
        self._telling.add(task)
        task.add_done_callback(self._telling.discard)

    async def _tell(self, denied: Denied) -> None:
        body = DeniedRequest(epoch=self._offer.epoch, host=denied.host, why=denied.why, hint=denied.hint)
        # A lease that is over tells nothing more; a router that stays away ends the attempt by its heartbeats.
        with contextlib.suppress(RouterRefused, RouterUnreachable):
            await self._line.denied(self._offer.id, body)

    async def told(self) -> None:
        """Wait until the router knows of all so far."""
        await asyncio.gather(*self._telling)
