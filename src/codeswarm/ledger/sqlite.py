"""The ledger on SQLite: one writer thread, group commit, WAL with `synchronous=FULL`.

All batches that wait when the writer is free become one transaction and one sync; so a sync costs little under
load and nothing is ever acknowledged before it is on disk. This module never decides anything, and it never
changes an event that is written.

When a commit fails, that group fails and so does every batch behind it until `forgive` is called: they were decided
on top of what is not on disk.
"""

from __future__ import annotations

import queue
import sqlite3
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import Any

from codeswarm.domain.events import Event, parse_event
from codeswarm.domain.ids import SessionId
from codeswarm.errors import (
    CodeswarmError,
    LedgerBroken,
    LedgerCorrupt,
    LedgerError,
    VersionConflict,
)
from codeswarm.failpoints import reach
from codeswarm.ledger.base import GENESIS, Batch, Listener, Recorded, chain
from codeswarm.ledger.connection import connect, migrate, translate
from codeswarm.ledger.reader import SQL, Reader
from codeswarm.ledger.tables import TABLES, Row

GROUP = 1024
"""At most this many batches share a transaction."""
PAGE = 1000
"""So many events of a history are read at a time: what is read stays within the processor's caches."""

UPSERT = {
    name: f"INSERT OR REPLACE INTO {name} VALUES ({', '.join('?' * len(table.columns))})"  # noqa: S608 - our names
    for name, table in TABLES.items()
}

_Item = tuple[Batch, "Future[list[Recorded]]"]


_END = object()


class _Forgive:
    """Queued by `forgive`: all that was queued before it was decided on lost ground and fails."""


class SqliteLedger:
    """The `Ledger` port on one SQLite file. Opening migrates it unless `read_only`.

    A newer program's ledger opens `read_only` alone; what of it this program does not understand raises LedgerTooNew.
    """

    def __init__(self, path: Path, *, read_only: bool = False) -> None:
        self.path = path
        self._listeners: list[Listener] = []
        self._queue: queue.SimpleQueue[_Item | _Forgive | None] = queue.SimpleQueue()
        self._failed: LedgerError | None = None
        self._conflicts: dict[str, VersionConflict] = {}
        """Sessions of which a batch was refused: those behind it were decided on top of it."""
        self._writer: threading.Thread | None = None
        if not read_only:
            self._db = connect(path)
            try:
                migrate(self._db, path)
                self._last_seq, self._last_hash = self._find_head()
                self._versions: dict[str, int] = dict(self._db.execute(SQL["versions"]))
            except sqlite3.DatabaseError as error:
                self._db.close()
                raise translate(error, path) from error
            except CodeswarmError:
                self._db.close()
                raise
            self._writer = threading.Thread(target=self._write_loop, name="ledger-writer", daemon=True)
        self._reader = Reader(path)
        if self._writer is not None:
            self._writer.start()

    def _find_head(self) -> tuple[int, str]:
        head = self._db.execute(SQL["head"]).fetchone()
        last = self._db.execute(SQL["last_event"]).fetchone()
        if head != last:
            raise LedgerCorrupt(
                f"the ledger {self.path} ends at {last}, but should end at {head}",
                "events were lost or added behind its back",
                "codeswarm ledger verify",
            )
        return (0, GENESIS) if last is None else (last[0], last[1])

    # ── writing ──

    def append(self, batch: Batch) -> Future[list[Recorded]]:
        future: Future[list[Recorded]] = Future()
        future.set_running_or_notify_cancel()  # what is queued is written, whether its caller still waits or not
        self._queue.put((batch, future))
        return future

    def forgive(self) -> None:
        self._queue.put(_Forgive())

    def listen(self, listener: Listener) -> None:
        self._listeners.append(listener)

    def _write_loop(self) -> None:
        group: list[_Item] = []
        while True:
            item = self._next(wait=not group)
            if isinstance(item, tuple):
                group.append(item)
                if len(group) < GROUP:
                    continue
            if group:
                self._commit(group)
                group = []
            if item is _END:
                return
            if isinstance(item, _Forgive):
                self._failed = None
                self._conflicts.clear()

    def _next(self, *, wait: bool) -> _Item | _Forgive | object | None:
        """The next thing in the queue; None where it is empty and we don't wait."""
        try:
            item = self._queue.get() if wait else self._queue.get_nowait()
        except queue.Empty:
            return None
        return _END if item is None else item

    def _commit(self, group: list[_Item]) -> None:
        """Write a group as one transaction, then tell listeners, then the callers."""
        if self._failed is not None:
            for _, future in group:
                future.set_exception(self._failed)
            return
        saved = self._last_seq, self._last_hash, dict(self._versions)
        outcomes: list[tuple[Future[list[Recorded]], list[Recorded] | VersionConflict]] = []
        try:
            self._db.execute("BEGIN IMMEDIATE")
            events: list[Row] = []
            outcomes = [(future, self._write(batch, events)) for batch, future in group]
            self._db.executemany(SQL["append"], events)
            self._upsert(
                [batch for (batch, _), (_, outcome) in zip(group, outcomes, strict=True) if isinstance(outcome, list)]
            )
            self._db.execute(SQL["set_head"], (self._last_seq, self._last_hash))
            reach("ledger.before_commit")
            self._db.execute("COMMIT")
            reach("ledger.after_commit")
        except (sqlite3.Error, ValueError, OverflowError) as error:
            self._last_seq, self._last_hash, self._versions = saved
            self._fail(group, self._failure(error))
            return
        recorded = [record for _, outcome in outcomes if isinstance(outcome, list) for record in outcome]
        if recorded:
            for listener in self._listeners:
                listener(recorded)
        for future, outcome in outcomes:
            if isinstance(outcome, VersionConflict):
                future.set_exception(outcome)
            else:
                future.set_result(outcome)

    def _failure(self, error: Exception) -> LedgerError:
        if isinstance(error, sqlite3.Error):
            return translate(error, self.path)
        # Text that is no UTF-8, a number beyond 64 bits: the fault of whoever made the event. Nobody may hang on it.
        return LedgerError("an event can't be written down", str(error), "report it as a bug of Codeswarm")

    def _fail(self, group: list[_Item], error: LedgerError) -> None:
        self._failed = error
        if self._db.in_transaction:
            try:
                self._db.execute("ROLLBACK")
            except sqlite3.Error as second:
                self._failed = error = LedgerBroken("the ledger could not roll back", str(second), "codeswarm resume")
        for _, future in group:
            future.set_exception(error)

    def _write(self, batch: Batch, events: list[Row]) -> list[Recorded] | VersionConflict:
        """Number and chain a batch, onto the rows that its group appends."""
        version = self._versions.get(batch.session, 0)
        if batch.session in self._conflicts:
            return self._conflicts[batch.session]
        if version != batch.expected_version:
            conflict = VersionConflict(
                f"session {batch.session} is at version {version}, not {batch.expected_version}",
                "someone else has changed it meanwhile",
                "read it again and decide anew",
            )
            self._conflicts[batch.session] = conflict
            return conflict
        for reply in batch.replies:
            self._db.execute(SQL["add_reply"], (reply.key, batch.moments[-1], reply.body))
        recorded: list[Recorded] = []
        for at_ms, event in zip(batch.moments, batch.events, strict=True):
            version += 1
            seq, kind, body = self._last_seq + 1, event.kind, event.written()
            hash_ = chain(self._last_hash, seq, batch.session, version, at_ms, kind, body)
            events.append((seq, batch.session, version, at_ms, kind, body, hash_))
            recorded.append(Recorded(seq, batch.session, version, at_ms, event))
            self._last_seq, self._last_hash = seq, hash_
        self._versions[batch.session] = version
        return recorded

    def _upsert(self, batches: Sequence[Batch]) -> None:
        """Write each projected row once, however many batches of the group changed it."""
        rows = batches[0].rows if len(batches) == 1 else _newest(batches)
        for name, found in rows.items():
            self._db.executemany(UPSERT[name], found)

    # ── reading ──

    def history(self, session: SessionId) -> Iterator[Recorded]:
        version = 0
        while rows := self._reader.all(SQL["history"], session, version, PAGE):
            for seq, version, at_ms, kind, body in rows:
                yield Recorded(seq, session, version, at_ms, self._parsed(seq, kind, body))

    def after(self, seq: int, limit: int, session: SessionId | None = None) -> list[Recorded]:
        if session is None:
            rows = self._reader.all(SQL["after"], seq, limit)
        else:
            rows = self._reader.all(SQL["after_in_session"], session, seq, limit)
        return [
            Recorded(seq, SessionId(session), version, at_ms, self._parsed(seq, kind, body))
            for seq, session, version, at_ms, kind, body in rows
        ]

    def head(self) -> tuple[int, str]:
        return self._reader.head()

    def sessions(self) -> list[SessionId]:
        return self._reader.sessions()

    def reply(self, key: str) -> str | None:
        return self._reader.reply(key)

    def table(self, name: str, /, *, only: Sequence[str] = (), **where: object) -> list[dict[str, Any]]:
        return self._reader.table(name, only=only, **where)

    def _parsed(self, seq: int, kind: str, body: str) -> Event:
        try:
            return parse_event(kind, body)
        except (KeyError, ValueError) as error:
            self._reader.check_understood()
            raise LedgerCorrupt(
                f"event {seq} of the ledger can't be read (kind {kind})", str(error), "codeswarm ledger verify"
            ) from error

    def close(self) -> None:
        if self._writer is not None and self._writer.is_alive():
            self._queue.put(None)
            self._writer.join()
        # The writer's connection goes last: only the last one out that may write folds the log (WAL) into the file.
        self._reader.close()
        if self._writer is not None:
            self._db.close()


def _newest(batches: Sequence[Batch]) -> dict[str, list[Row]]:
    """Table → its rows, each as the last of the batches has it."""
    newest: dict[str, dict[Row, Row]] = {}
    for batch in batches:
        for name, rows in batch.rows.items():
            newest.setdefault(name, {}).update((TABLES[name].key_of(row), row) for row in rows)
    return {name: list(found.values()) for name, found in newest.items()}
