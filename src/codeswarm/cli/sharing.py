"""A live session is shared: one process is the router, others join it, and none of them is left alone.

The host stays until the sessions that others began or resumed at it rest, too: ending earlier would cut off their
agents. Where it goes away all the same (killed, or told to leave), whoever had joined becomes the router, or joins the
one that was quicker, and goes on where the ledger stands.
"""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Awaitable, Callable
from typing import Any

from codeswarm.cli.ending import finish
from codeswarm.cli.follow import Rest, rest_of
from codeswarm.cli.here import Here
from codeswarm.cli.host import Conversation, joined_or_hosting
from codeswarm.cli.output import progress
from codeswarm.domain import events as ev
from codeswarm.domain.ids import SessionId
from codeswarm.errors import RouterUnreachable
from codeswarm.router_client import RouterClient

Begin = Callable[[RouterClient, bool], Awaitable[Conversation]]
"""(client, whether we joined) → the conversation about what was begun. Safe to ask again at the next router."""
Conclude = Callable[[Here, RouterClient, Conversation, Rest | None], Awaitable[int]]
"""Tells how it ended; the exit code."""


async def converse(here: Here, make_plan: Callable[[], Any], begin: Begin, conclude: Conclude = finish) -> int:
    """Begin something at the router here and follow it to its end, whoever that router is; the exit code."""
    conversation: Conversation | None = None
    while True:
        async with joined_or_hosting(here, make_plan) as (client, hosted):
            guests = Guests(hosted.engine.kernel) if hosted else None
            try:
                if conversation is None:
                    conversation = await _begun(begin, client, hosted)
                else:
                    conversation.move_to(client)
                rest = await conversation.follow()
            except RouterUnreachable:
                if hosted is not None:
                    raise
                rest = None
            if conversation is not None and (rest is not None or hosted is not None):
                code = await conclude(here, client, conversation, rest)
                if guests is not None and conversation.interrupts.count <= 1:
                    await guests.until_rest()
                return code
        progress("the router that we had joined is gone; going on without it")


async def _begun(begin: Begin, client: RouterClient, hosted: Any) -> Conversation:
    """Begin it; where this process is the router and its disk is full, as soon as there is room."""
    if hosted is None:
        return await begin(client, True)
    begun: Conversation = await hosted.engine.room.patiently(begin, client, False)
    return begun


class Guests:
    """The sessions that others work on at the router which this process is: begun or resumed here, or followed now."""

    def __init__(self, kernel: Any) -> None:
        self._kernel = kernel
        self._begun: set[SessionId] = set()
        self._news = asyncio.Event()
        self._leave = False
        kernel.observe(self._observe)

    def _observe(self, records: list[Any]) -> None:
        self._begun.update(r.session for r in records if isinstance(r.event, ev.SessionStarted | ev.SessionResumed))
        self._news.set()

    @property
    def at_work(self) -> list[SessionId]:
        wanted = self._begun | self._kernel.followed
        return [s.id for s in self._kernel.live_sessions() if s.id in wanted and rest_of(s) is None]

    async def until_rest(self) -> None:
        """Stay until none of them goes on any more, or until told to leave."""
        if not self.at_work:
            return
        names = ", ".join(self.at_work)
        loop = asyncio.get_running_loop()
        numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
        for number in numbers:
            loop.add_signal_handler(number, self._told_to_leave)
        progress(f"still at work here: {names}; this process hosts until that rests too, Ctrl+C hands it over")
        try:
            while self.at_work and not self._leave:
                self._news.clear()
                await self._news.wait()
        finally:
            for number in numbers:
                loop.remove_signal_handler(number)

    def _told_to_leave(self) -> None:
        self._leave = True
        self._news.set()
