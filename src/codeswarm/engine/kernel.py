"""Commands in, events out. The kernel is the only writer of the ledger and the only holder of live state.

It may run ahead of the disk by one group of commits, but never says so: callers are answered, and subscribers
told, only what is committed. When a commit fails, every session with undurable events is dropped from memory and
read again from the ledger. It never does I/O of its own and never decides: `domain.brain` does.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable
from concurrent.futures import wait
from dataclasses import dataclass, field
from functools import partial

from codeswarm.clock import Clock
from codeswarm.domain import commands as cmd, events as ev
from codeswarm.domain.brain import handle
from codeswarm.domain.evolve import evolve
from codeswarm.domain.ids import SessionId
from codeswarm.domain.rejection import Rejection, unknown
from codeswarm.domain.session import Session
from codeswarm.domain.states import FINAL_SESSION
from codeswarm.engine.gathering import Arrivals, Gathered, Submitted
from codeswarm.errors import LedgerBroken, LedgerCorrupt, Refused, VersionConflict
from codeswarm.ledger.base import Ledger, Recorded, Reply

PAGE = 500
"""Events read from the ledger at once by a subscriber that has fallen behind."""

BACKLOG = 10_000
"""A subscriber further behind than this reads from the ledger again instead of from memory."""


@dataclass(slots=True, eq=False)
class _Subscriber:
    session: SessionId | None
    queue: deque[Recorded] = field(default_factory=deque)
    news: asyncio.Event = field(default_factory=asyncio.Event)
    overflown: bool = False


class Kernel:
    """Use it from one event loop. `start` binds it there; nothing else of it may be called before."""

    def __init__(self, ledger: Ledger, clock: Clock) -> None:
        self.ledger = ledger
        self.clock = clock
        self._sessions: dict[SessionId, Session | None] = {}
        """None: dropped from memory, and read again when it is next looked at."""
        self._open: dict[SessionId, Gathered] = {}
        """What this turn of the loop has gathered."""
        self._last: dict[SessionId, Gathered] = {}
        """What was handed over last, of each session."""
        self._generation = 0
        self._subscribers: list[_Subscriber] = []
        self._observers: list[Callable[[list[Recorded]], None]] = []
        self._loop: asyncio.AbstractEventLoop | None = None
        self._arrivals: Arrivals | None = None

    def start(self) -> None:
        """Bind to the running loop and load every session that is not over."""
        self._loop = asyncio.get_running_loop()
        self._arrivals = Arrivals(self._loop)
        self.ledger.listen(self._committed)
        for row in self.ledger.table("sessions"):
            if row["status"] not in ("finalized", "cancelled"):
                self.session(SessionId(row["id"]))

    # ── state ──

    def session(self, id_: SessionId) -> Session:
        """The live state of a session. Raises: Refused (unknown) where it has no history."""
        session = self._sessions.get(id_) or self._load(id_)
        if not session.version:
            raise Refused(
                unknown(f"there is no session {id_!r}", "codeswarm session list", "the ledger has no event of it")
            )
        return session

    def live_sessions(self) -> list[Session]:
        """Every session that was looked at since the start or was not over then, oldest first."""
        found = [session or self._load(id_) for id_, session in list(self._sessions.items())]
        return [session for session in found if session.version]

    def open_sessions(self) -> list[Session]:
        """Those of them in which something can still move, oldest first."""
        return [session for session in self.live_sessions() if session.status not in FINAL_SESSION]

    def _load(self, id_: SessionId) -> Session:
        """Read a session from the ledger; version 0 where it has no history.

        What is still on its way to the disk must arrive first, or a state without it would be decided on.
        """
        on_its_way = self._last.pop(id_, None)
        if on_its_way is not None and on_its_way.future is not None:
            wait((on_its_way.future,))
        session = replay(self.ledger, id_)
        if session.version:
            self._sessions[id_] = session
        else:
            self._sessions.pop(id_, None)
        return session

    # ── commands ──

    async def execute(self, id_: SessionId, command: cmd.Command, *, reply: Reply | None = None) -> list[Recorded]:
        """Decide, record, and answer once it is on disk.

        Returns: the events, none where the command asked for what is so already.
        Raises: Refused; LedgerError, after which nothing of the command has happened.
        """
        submitted = self.submit(id_, command, reply=reply)
        return await self.durable(submitted)

    def submit(self, id_: SessionId, command: cmd.Command, *, reply: Reply | None = None) -> Submitted:
        """Decide and queue for recording, without waiting. Raises: Refused."""
        if isinstance(command, cmd.StartSession):
            session = self._sessions.get(id_) or self._load(id_)
        else:
            session = self.session(id_)
        batch, now_ms = self._batch(session), self.clock.now_ms()
        try:
            answer = handle(session, command, now_ms)
        except Exception:
            self._read_again(batch)
            raise
        if isinstance(answer, Rejection):
            raise Refused(answer)
        self._sessions[id_] = session
        if not answer:
            return Submitted([], self._open.get(id_) or self._last.get(id_))
        if reply is not None:
            batch.replies.append(reply)
        return self._add(batch, session, answer, now_ms)

    def record(self, id_: SessionId, *events: ev.Event) -> Submitted:
        """Record facts that nothing is decided about (a refused command, a remark)."""
        session = self.session(id_)
        batch, now_ms = self._batch(session), self.clock.now_ms()
        for event in events:
            evolve(session, event, now_ms)
        return self._add(batch, session, list(events), now_ms)

    async def durable(self, submitted: Submitted) -> list[Recorded]:
        """Wait until a submitted command is on disk. Raises: LedgerError."""
        batch, begin = submitted.batch, submitted.begin
        return [] if batch is None else await batch.wait(begin, begin + len(submitted.events))

    # ── batches ──

    def _batch(self, session: Session) -> Gathered:
        """What the next command's events go into."""
        return self._open.get(session.id) or Gathered(session.id, session.version)

    def _add(self, batch: Gathered, session: Session, events: list[ev.Event], now_ms: int) -> Submitted:
        if not self._open:
            assert self._loop is not None
            self._loop.call_soon(self.flush)
        self._open[session.id] = batch
        begin = len(batch.events)
        batch.events += events
        for event in events:
            batch.moments.append(now_ms)
            batch.touched.see(session, event, now_ms)
        return Submitted(events, batch, begin)

    def flush(self) -> None:
        """Hand over all that was gathered, as the end of each turn of the loop does."""
        for batch in list(self._open.values()):
            self._hand_over(batch)

    def _hand_over(self, batch: Gathered) -> None:
        del self._open[batch.session]
        session = self._sessions[batch.session]
        assert session is not None, "what is dropped has no open batch"
        batch.generation = self._generation
        self._last[batch.session] = batch
        future = self.ledger.append(batch.packed(session))
        batch.future = future
        future.add_done_callback(lambda _: self._post(partial(self._arrived, batch)))

    def _post(self, call: Callable[[], None]) -> None:
        """From the ledger's thread into the loop."""
        assert self._arrivals is not None
        self._arrivals.post(call)

    def _read_again(self, batch: Gathered) -> None:
        """A session that a contradiction has left half changed; what its open batch holds is true and stays."""
        self._sessions[batch.session] = None
        if self._open.get(batch.session) is not batch:
            return
        session = self._load(batch.session)
        if session.version != batch.version:  # what it was decided on is lost, and so is it
            self._give_up(
                batch.session,
                VersionConflict(
                    "what came before it was not recorded",
                    "its commit failed, and all that rests on it",
                    "codeswarm status",
                ),
            )
            return
        for at_ms, event in zip(batch.moments, batch.events, strict=True):
            evolve(session, event, at_ms)
        self._sessions[batch.session] = session

    def _give_up(self, id_: SessionId, error: BaseException) -> None:
        """Drop a session from memory, and with it what was decided on top of what is lost."""
        self._sessions[id_] = None
        if (batch := self._open.pop(id_, None)) is not None:
            batch.give_up(error)

    def _arrived(self, batch: Gathered) -> None:
        """A batch is settled. What failed is made good first, whether anybody waits for it or not."""
        assert batch.future is not None
        if (error := batch.future.exception()) is not None:
            self._forget(batch.session, batch.generation, error)
        batch.tell()

    def _forget(self, id_: SessionId, generation: int, error: BaseException) -> None:
        """Drop all that ran ahead of the disk, once per failure, and let the ledger try again.

        Not after an I/O error: what the disk holds is uncertain then, and nothing more is written by this process.
        """
        if isinstance(error, VersionConflict):
            self._give_up(id_, error)
        elif generation == self._generation:
            self._generation += 1
            for lost, batch in self._last.items():
                if not batch.settled or batch.failed:
                    self._give_up(lost, error)
        else:
            return
        if not isinstance(error, LedgerBroken | LedgerCorrupt):
            self.ledger.forgive()

    # ── subscribers ──

    def observe(self, observer: Callable[[list[Recorded]], None]) -> None:
        """Call `observer` in the loop with each group of committed events. It must not block."""
        self._observers.append(observer)

    def _committed(self, recorded: list[Recorded]) -> None:
        """Called in the ledger's thread, before its batches are settled: who observes hears of it first."""
        for tell in (self._publish, *self._observers):
            self._post(partial(tell, recorded))

    def _publish(self, recorded: list[Recorded]) -> None:
        for subscriber in self._subscribers:
            if not subscriber.overflown:
                subscriber.queue.extend(record for record in recorded if subscriber.session in (None, record.session))
                subscriber.overflown = len(subscriber.queue) > BACKLOG
            subscriber.news.set()

    @property
    def followed(self) -> set[SessionId]:
        """Sessions that somebody follows just now."""
        return {subscriber.session for subscriber in self._subscribers if subscriber.session is not None}

    async def subscribe(self, after: int, session: SessionId | None = None) -> AsyncIterator[Recorded]:
        """All committed events with a number greater than `after`, then each new one: no gap, no repeat.

        A slow reader is never dropped and never slows the others: beyond `BACKLOG` it reads from the ledger.
        """
        subscriber = _Subscriber(session)
        self._subscribers.append(subscriber)
        last = after
        try:
            while True:
                subscriber.queue.clear()
                subscriber.overflown = False
                while page := self.ledger.after(last, PAGE, session):
                    for record in page:
                        last = record.seq
                        yield record
                while not subscriber.overflown:
                    while subscriber.queue:
                        record = subscriber.queue.popleft()
                        if record.seq > last:
                            last = record.seq
                            yield record
                    subscriber.news.clear()
                    if not subscriber.overflown:
                        await subscriber.news.wait()
        finally:
            self._subscribers.remove(subscriber)


def replay(ledger: Ledger, id_: SessionId) -> Session:
    """The state that a session's recorded events add up to; version 0 where there are none."""
    session = Session(id_)
    for record in ledger.history(id_):
        evolve(session, record.event, record.at_ms)
    return session
