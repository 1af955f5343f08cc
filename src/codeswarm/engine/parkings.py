"""What one session learns of an agent, all others are told: a quota that is spent is spent for all of them.

The log is one stream a session, and each decides by its own alone; so the word is carried from one to the others, as a
command. The newest word about an agent and an account counts. Carrying it twice changes nothing.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

from codeswarm.clock import Clock
from codeswarm.domain import commands as cmd, events as ev
from codeswarm.domain.ids import SessionId
from codeswarm.domain.parking import OF_THE_ACCOUNT
from codeswarm.domain.session import AgentKey, Session
from codeswarm.engine.kernel import Kernel
from codeswarm.engine.room import Room
from codeswarm.errors import Refused
from codeswarm.ledger.base import Recorded

_Row = dict[str, Any]
_NEWS = (ev.AgentParked, ev.AgentUnparked, ev.SessionResumed)
"""Who resumes may bring agents in that others know more of."""


class Parkings:
    def __init__(self, kernel: Kernel, clock: Clock, room: Room) -> None:
        self._kernel = kernel
        self._clock = clock
        self._room = room
        self._news = asyncio.Event()
        kernel.observe(self._observe)

    def _observe(self, records: list[Recorded]) -> None:
        if any(isinstance(record.event, _NEWS) for record in records):
            self._news.set()

    async def run(self) -> None:
        """Tell all what any of them knows: at the start, and when one learns something. Until cancelled."""
        while True:
            await self._room.patiently(self.spread)
            await self._news.wait()
            self._news.clear()

    async def spread(self) -> None:
        """Every open session that has not heard the newest word is told it. Idempotent."""
        words = self._newest()
        for session in self._kernel.open_sessions() if words else ():
            for key, row in words.items():
                if (command := self._to_be_told(session, key, row)) is not None:
                    with suppress(Refused):  # it has ended meanwhile, or the time has come
                        await self._kernel.execute(session.id, command)

    def holding(self) -> tuple[cmd.ParkAgent, ...]:
        """What a new session has to know from its first moment."""
        return tuple(_park(key, row) for key, row in self._newest().items() if row["state"] == "parked")

    def _newest(self) -> dict[AgentKey, _Row]:
        """The newest word about each agent and account that still matters."""
        words: dict[AgentKey, _Row] = {}
        for row in self._matter():
            key = (row["agent"], row["account"])
            if key not in words or _age(row) >= _age(words[key]):
                words[key] = row
        return words

    def _matter(self) -> Iterator[_Row]:
        """What time ended is no word any more; nor is a refused login in a session that is over: who began another
        one may have mended it.
        """
        rows = self._kernel.ledger.table("parkings")
        open_ = {session.id for session in self._kernel.open_sessions()} if rows else set()
        for row in rows:
            lasts = row["until_ms"] is None or row["until_ms"] > self._clock.now_ms()
            known = row["until_ms"] is not None or row["session"] in open_
            if row["why"] in OF_THE_ACCOUNT and lasts and known and (row["state"] == "parked" or row["given_by"]):
                yield row

    @staticmethod
    def _to_be_told(session: Session, key: AgentKey, row: _Row) -> cmd.Command | None:
        mine = session.parkings.get(key)
        if row["session"] == session.id or (mine is not None and (mine.changed_ms, mine.state) >= _age(row)):
            return None
        if row["state"] == "parked":
            return _park(key, row)
        if mine is None or mine.state != "parked":
            return None
        return cmd.UnparkAgent(agent=key[0], account=key[1], by=row["given_by"], told_by=_origin(row))


def _age(row: _Row) -> tuple[int, str]:
    """Of two words of the same moment that counts by which an agent can be used."""
    return row["changed_ms"], row["state"]


def _park(key: AgentKey, row: _Row) -> cmd.ParkAgent:
    return cmd.ParkAgent(
        agent=key[0],
        account=key[1],
        why=row["why"],
        detail=row["detail"],
        since_ms=row["since_ms"],
        until_ms=row["until_ms"],
        told_by=_origin(row),
    )


def _origin(row: _Row) -> SessionId:
    return SessionId(row["told_by"] or row["session"])
