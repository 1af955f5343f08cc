"""The ledger in memory: for tests and simulations. It passes the same contract suite as the durable ones."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from typing import Any

from codeswarm.domain.events import parse_event
from codeswarm.domain.ids import SessionId
from codeswarm.errors import LedgerError, VersionConflict
from codeswarm.ledger.base import GENESIS, Batch, Listener, Recorded, chain
from codeswarm.ledger.tables import TABLES, Row


class MemoryLedger:
    """The `Ledger` port in plain lists. `fail_next` makes the next append fail, as a full disk would."""

    def __init__(self) -> None:
        self._events: list[tuple[int, SessionId, int, int, str, str, str]] = []
        self._versions: dict[SessionId, int] = {}
        self._tables: dict[str, dict[Row, Row]] = {name: {} for name in TABLES}
        self._replies: dict[str, str] = {}
        self._listeners: list[Listener] = []
        self._failed: LedgerError | None = None
        self._conflicts: dict[SessionId, VersionConflict] = {}
        self.fail_next: LedgerError | None = None

    def append(self, batch: Batch) -> Future[list[Recorded]]:
        future: Future[list[Recorded]] = Future()
        future.set_running_or_notify_cancel()
        try:
            future.set_result(self._take(batch))
        except LedgerError as error:
            future.set_exception(error)
        return future

    def _take(self, batch: Batch) -> list[Recorded]:
        """Raises: LedgerError."""
        if self.fail_next is not None:
            self._failed, self.fail_next = self.fail_next, None
        version = self._versions.get(batch.session, 0)
        if version != batch.expected_version:
            what = f"session {batch.session} is at version {version}, not {batch.expected_version}"
            self._conflicts.setdefault(
                batch.session, VersionConflict(what, "someone else has written to it meanwhile", "codeswarm status")
            )
        if (error := self._failed or self._conflicts.get(batch.session)) is not None:
            raise error
        recorded = self._write(batch, version)
        for listener in self._listeners:
            listener(recorded)
        return recorded

    def _write(self, batch: Batch, version: int) -> list[Recorded]:
        recorded = []
        for at_ms, event in zip(batch.moments, batch.events, strict=True):
            version += 1
            previous = self._events[-1][-1] if self._events else GENESIS
            seq, kind, body = len(self._events) + 1, event.kind, event.written()
            hash_ = chain(previous, seq, batch.session, version, at_ms, kind, body)
            self._events.append((seq, batch.session, version, at_ms, kind, body, hash_))
            recorded.append(Recorded(seq, batch.session, version, at_ms, event))
        self._versions[batch.session] = version
        for name, rows in batch.rows.items():
            for row in rows:
                self._tables[name][TABLES[name].key_of(row)] = row
        for reply in batch.replies:
            self._replies.setdefault(reply.key, reply.body)
        return recorded

    def forgive(self) -> None:
        self._failed = None
        self._conflicts.clear()

    def listen(self, listener: Listener) -> None:
        self._listeners.append(listener)

    def history(self, session: SessionId) -> Iterator[Recorded]:
        return (_recorded(row) for row in list(self._events) if row[1] == session)

    def after(self, seq: int, limit: int, session: SessionId | None = None) -> list[Recorded]:
        found = (row for row in self._events[seq:] if session is None or row[1] == session)
        return [_recorded(row) for row, _ in zip(found, range(limit), strict=False)]

    def head(self) -> tuple[int, str]:
        return (self._events[-1][0], self._events[-1][-1]) if self._events else (0, GENESIS)

    def sessions(self) -> list[SessionId]:
        return list(self._versions)

    def reply(self, key: str) -> str | None:
        return self._replies.get(key)

    def table(self, name: str, /, *, only: Sequence[str] = (), **where: object) -> list[dict[str, Any]]:
        table = TABLES[name]
        if unknown := {*where, *only} - set(table.columns):
            raise KeyError(f"table {name} has no column {', '.join(sorted(unknown))}")
        rows = [dict(zip(table.columns, row, strict=True)) for row in self._tables[name].values()]
        rows = [row for row in rows if all(row[column] == value for column, value in where.items())]
        rows.sort(key=lambda row: tuple(row[column] for column in table.order.split(", ")))
        return [{column: row[column] for column in only or table.columns} for row in rows]

    def close(self) -> None:
        """Nothing is held."""


def _recorded(row: tuple[int, SessionId, int, int, str, str, str]) -> Recorded:
    seq, session, version, at_ms, kind, body, _ = row
    return Recorded(seq, session, version, at_ms, parse_event(kind, body))
