"""The sessions that are worked on at the router which this process is, for whomever that may be."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any

from codeswarm.cli.follow import rest_of
from codeswarm.domain import events as ev
from codeswarm.domain.ids import SessionId
from codeswarm.domain.session import Session


class Guests:
    """Sessions that are begun or resumed here, are followed now, or were given to us; and whether they rest."""

    def __init__(self, kernel: Any, sessions: Iterable[SessionId] = (), *, wait: bool = False) -> None:
        """`wait`: what only waits for a person is at work, too."""
        self._kernel = kernel
        self._begun: set[SessionId] = set(sessions)
        self._wait = wait
        self._news = asyncio.Event()
        kernel.observe(self._observe)

    def _observe(self, records: list[Any]) -> None:
        self._begun.update(r.session for r in records if isinstance(r.event, ev.SessionStarted | ev.SessionResumed))
        self._news.set()

    @property
    def known(self) -> list[SessionId]:
        return sorted(self._begun)

    @property
    def at_work(self) -> list[SessionId]:
        wanted = self._begun | self._kernel.followed
        return [s.id for s in self._kernel.live_sessions() if s.id in wanted and self._goes_on(s)]

    @property
    def alone(self) -> list[SessionId]:
        """Of those the ones that nobody follows: there is no one who would become their router."""
        return [id_ for id_ in self.at_work if id_ not in self._kernel.followed]

    def _goes_on(self, session: Session) -> bool:
        rest = rest_of(session)
        return rest is None or (self._wait and rest.exit_code == 3)

    async def until_quiet(self) -> None:
        """Wait until none of them goes on any more."""
        while self.at_work:
            self._news.clear()
            await self._news.wait()
