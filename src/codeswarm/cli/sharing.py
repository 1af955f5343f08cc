"""A live session is shared: one process is the router, others join it, and none of them is left alone.

The host stays until the sessions that others began or resumed at it rest, too: ending earlier would cut off their
agents. Where it goes away all the same (killed, or told to leave), whoever had joined becomes the router, or joins the
one that was quicker, and goes on where the ledger stands. A person who leaves what goes on hands it over to a
background host.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections.abc import Awaitable, Callable, Iterator
from functools import cache
from typing import Any

from codeswarm.cli.departure import Departure
from codeswarm.cli.detach import Background, tell_detached
from codeswarm.cli.ending import finish
from codeswarm.cli.follow import Rest
from codeswarm.cli.guests import Guests
from codeswarm.cli.here import Here
from codeswarm.cli.host import Conversation, joined_or_hosting
from codeswarm.cli.output import progress, report_error
from codeswarm.errors import CodeswarmError, RouterUnreachable
from codeswarm.failpoints import reach
from codeswarm.router_client import RouterClient
from codeswarm.waiting import first_of

Begin = Callable[[RouterClient, bool], Awaitable[Conversation]]
"""(client, whether we joined) → the conversation about what was begun. Safe to ask again at the next router."""
Conclude = Callable[[Here, RouterClient, Conversation, Rest | None], Awaitable[int]]
"""Tells how it ended; the exit code."""


async def converse(here: Here, make_plan: Callable[[], Any], begin: Begin, conclude: Conclude = finish) -> int:
    """Begin something at the router here and follow it to its end, whoever that router is; the exit code."""
    departure = Departure()
    with departure.listening():
        return await _Sharing(here, cache(make_plan), departure).converse(begin, conclude)


class _Sharing:
    def __init__(self, here: Here, make_plan: Callable[[], Any], departure: Departure) -> None:
        self._here = here
        self._make_plan = make_plan
        self._departure = departure
        self._conversation: Conversation | None = None

    async def converse(self, begin: Begin, conclude: Conclude) -> int:
        while True:
            background = None
            async with joined_or_hosting(self._here, self._make_plan) as (client, hosted):
                guests = Guests(hosted.engine.kernel) if hosted else None
                rest, background = await self._follow(begin, client, hosted, guests)
                code = None
                if self._conversation is not None and not self._left and (rest is not None or hosted is not None):
                    code = await conclude(self._here, client, self._conversation, rest)
                    if guests is not None:
                        background = await self._stay(hosted, guests)
            if background is not None:
                reach("leaving.left")
                await background.host()
                background.let_go()
            if code is not None:
                return code
            if self._conversation is not None and self._left:
                tell_detached(self._here, self._conversation, background)
                return 0
            progress("the router that we had joined is gone; going on without it")

    @property
    def _left(self) -> bool:
        return self._departure.wanted

    async def _follow(
        self, begin: Begin, client: RouterClient, hosted: Any, guests: Guests | None
    ) -> tuple[Rest | None, Background | None]:
        """Follow it here, to its rest, to the end of the router that we joined (None), or until the person leaves."""
        try:
            if self._conversation is None:
                self._conversation = await _begun(begin, client, hosted)
            else:
                self._conversation.move_to(client)
            while True:
                rest = await self._conversation.follow(self._departure)
                if rest is not None and hosted is not None:
                    await self._conversation.let_agents_rest()
                if not self._left or hosted is None or guests is None:
                    return rest, None
                if (background := await self._hand_over(hosted, guests)) is not None:
                    return None, background
        except RouterUnreachable:
            if hosted is not None:
                raise
            return None, None

    async def _hand_over(self, hosted: Any, guests: Guests) -> Background | None:
        """Let a background host inherit the router's post. None: that failed, and we stay what we are."""
        conversation = self._conversation
        assert conversation is not None
        sessions = {*guests.at_work, conversation.follower.session.id}
        background = Background(
            self._here, self._make_plan(), sorted(sessions), wait=conversation.waits, post=hosted.post
        )
        try:
            await background.ready()
        except CodeswarmError as error:
            await background.abandon()
            report_error(error, as_json=False)
            self._departure.wanted = False
            if self._departure.hung_up:
                conversation.end_now()  # nobody can be asked: as Ctrl+C twice, and `resume` goes on
            return None
        reach("leaving.ready")
        hosted.hand_over()
        return background

    async def _stay(self, hosted: Any, guests: Guests) -> Background | None:
        """Host what others began here until it rests. Told to leave: who follows it takes over, else a background."""
        assert self._conversation is not None
        if self._conversation.interrupts.count <= 1 and guests.at_work:
            with _told_to_leave(self._departure) as told:  # before anybody reads that Ctrl+C does that
                progress(
                    f"still at work here: {', '.join(guests.at_work)}; this process hosts until that rests too, "
                    "Ctrl+C hands it over"
                )
                await first_of(guests.until_quiet(), told.wait())
        if guests.alone or (self._left and guests.at_work):
            return await self._hand_over(hosted, guests)
        return None


async def _begun(begin: Begin, client: RouterClient, hosted: Any) -> Conversation:
    """Begin it; where this process is the router and its disk is full, as soon as there is room."""
    if hosted is None:
        return await begin(client, True)
    begun: Conversation = await hosted.engine.room.patiently(begin, client, False)
    return begun


@contextlib.contextmanager
def _told_to_leave(departure: Departure) -> Iterator[asyncio.Event]:
    told, loop = asyncio.Event(), asyncio.get_running_loop()
    numbers = (signal.SIGINT, signal.SIGTERM)
    for number in numbers:
        loop.add_signal_handler(number, told.set)
    try:
        with departure.heeded_by(told.set):
            yield told
    finally:
        for number in numbers:
            loop.remove_signal_handler(number)
