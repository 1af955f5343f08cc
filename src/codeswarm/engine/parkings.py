"""What one session learns of an agent, all others are told: a quota that is spent is spent for all of them.

The log is one stream a session, and each decides by its own alone; so the word is carried from one to the others, as a
command. The newest word about an agent and an account counts, by its place in the ledger, since clocks are set.
Carrying it twice changes nothing, and only who found it out is a source: so no word goes round in circles.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress

from codeswarm.clock import Clock
from codeswarm.domain import commands as cmd, events as ev
from codeswarm.domain.ids import SessionId
from codeswarm.domain.parking import OF_THE_ACCOUNT, concerns, longer
from codeswarm.domain.session import AgentKey, Session
from codeswarm.engine.kernel import Kernel
from codeswarm.engine.room import Room
from codeswarm.errors import Refused
from codeswarm.ledger.base import Recorded

Word = cmd.ParkAgent | cmd.UnparkAgent
_NEWS = (ev.AgentParked, ev.AgentUnparked, ev.SessionResumed)
"""Who resumes may bring agents in that others know more of."""


class Parkings:
    def __init__(self, kernel: Kernel, clock: Clock, room: Room) -> None:
        self._kernel = kernel
        self._clock = clock
        self._room = room
        self._news = asyncio.Event()
        self._words: dict[AgentKey, Word] | None = None
        """The newest of each agent and account; None: not yet read from the ledger."""
        kernel.observe(self._observe)

    def _observe(self, records: list[Recorded]) -> None:
        news = [record for record in records if isinstance(record.event, _NEWS)]
        if not news:
            return
        words = self._newest()  # where they are read only now, these records are among what is read
        for record in news:
            _hear(words, record.session, record.event)
        self._news.set()

    async def run(self) -> None:
        """Tell all what any of them knows: at the start, and when one learns something. Until cancelled."""
        while True:
            await self._room.patiently(self.spread)
            await self._news.wait()
            self._news.clear()

    async def spread(self) -> None:
        """Every open session that has not heard the newest word is told it. Idempotent."""
        for key in list(self._newest()):
            for session in self._kernel.open_sessions():
                if (word := self._newest().get(key)) is not None and self._is_news(session, key, word):
                    with suppress(Refused):  # it has ended meanwhile
                        await self._kernel.execute(session.id, word)

    def holding(self) -> tuple[cmd.ParkAgent, ...]:
        """What a new session has to know from its first moment."""
        return tuple(word for word in self._newest().values() if isinstance(word, cmd.ParkAgent) and self._lasts(word))

    def _is_news(self, session: Session, key: AgentKey, word: Word) -> bool:
        known = session.parked.get(key)
        if isinstance(word, cmd.UnparkAgent):
            # What a session parks as its own matter the word was not about, however often it meets that.
            return known is not None and known.why in OF_THE_ACCOUNT
        new = known is None or longer(word.until_ms, known.until_ms)
        return new and concerns(session.settings, word.agent) and self._lasts(word)

    def _lasts(self, word: cmd.ParkAgent) -> bool:
        """What time has ended is no word any more; nor is a refused login of a session that is over: who began another
        one may have mended it.
        """
        if word.until_ms is not None:
            return word.until_ms > self._clock.now_ms()
        return any(session.id == word.told_by for session in self._kernel.open_sessions())

    def _newest(self) -> dict[AgentKey, Word]:
        if self._words is None:
            self._words = self._read()
        return self._words

    def _read(self) -> dict[AgentKey, Word]:
        """As an earlier life of the router left it: there is no order but that of the clock, which is right mostly."""
        words: dict[AgentKey, Word] = {}
        for row in self._kernel.ledger.table("parkings"):  # the oldest first
            key = {"agent": row["agent"], "account": row["account"]}
            told_by = SessionId(row["told_by"] or row["session"])
            if row["why"] not in OF_THE_ACCOUNT:
                continue
            if row["state"] == "parked":
                said = {name: row[name] for name in ("why", "detail", "since_ms", "until_ms")}
                words[row["agent"], row["account"]] = cmd.ParkAgent(**key, **said, told_by=told_by)
            elif row["given_by"]:
                words[row["agent"], row["account"]] = cmd.UnparkAgent(**key, by=row["given_by"], told_by=told_by)
        return words


def _hear(words: dict[AgentKey, Word], session: SessionId, event: ev.Event) -> None:
    """What a session has found out itself is a word. What it was told is none, and the end of a time ends one."""
    match event:
        case ev.AgentParked() if not event.told_by and event.why in OF_THE_ACCOUNT:
            said = event.model_dump(exclude={"times", "told_by"})
            words[event.agent, event.account] = cmd.ParkAgent(**said, told_by=session)
        case ev.AgentUnparked() if not event.by:
            words.pop((event.agent, event.account), None)
        case ev.AgentUnparked() if not event.told_by:
            words[event.agent, event.account] = cmd.UnparkAgent(
                agent=event.agent, account=event.account, by=event.by, told_by=session
            )
