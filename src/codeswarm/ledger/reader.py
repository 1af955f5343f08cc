"""What is committed, read from the ledger's file: its tables and its end, without knowing what an event is.

Commands that only look use this alone: it needs none of the domain, and so is there at once.
"""

from __future__ import annotations

import contextlib
import sqlite3
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from codeswarm.domain.ids import SessionId
from codeswarm.ledger.base import GENESIS
from codeswarm.ledger.connection import check_not_newer, connect, translate
from codeswarm.ledger.sql import migrations, queries
from codeswarm.ledger.tables import TABLES

SQL = queries("sqlite")


class Reader:
    """A read-only connection; any thread may use it. Raises: LedgerError, also at opening."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = threading.Lock()
        self._db = connect(path, read_only=True)

    def all(self, statement: str, *values: object) -> list[tuple[Any, ...]]:
        with self._lock:
            try:
                return self._db.execute(statement, values).fetchall()
            except sqlite3.DatabaseError as error:
                self._check_understood()
                raise translate(error, self.path) from error

    def check_understood(self) -> None:
        """Called where something can't be read. Raises: LedgerTooNew where that is no damage, but news."""
        with self._lock:
            self._check_understood()

    def _check_understood(self) -> None:
        with contextlib.suppress(sqlite3.Error):
            check_not_newer(self._db, self.path)

    def head(self) -> tuple[int, str]:
        rows = self.all(SQL["head"])
        return (rows[0][0], rows[0][1]) if rows else (0, GENESIS)

    def sessions(self) -> list[SessionId]:
        return [SessionId(row[0]) for row in self.all(SQL["sessions"])]

    def reply(self, key: str) -> str | None:
        rows = self.all(SQL["reply"], key)
        return rows[0][0] if rows else None

    def table(self, name: str, /, *, only: Sequence[str] = (), **where: object) -> list[dict[str, Any]]:
        table = TABLES[name]
        columns = tuple(only) or table.columns
        if unknown := {*where, *only} - set(table.columns):
            raise KeyError(f"table {name} has no column {', '.join(sorted(unknown))}")
        if not self._columns(name):
            return []  # an older program's ledger, which has no such table yet
        condition = " AND ".join(f"{column} = ?" for column in where)
        # The columns are named, not `*`: a newer program's tables may have more.
        statement = f"SELECT {', '.join(self._readable(name, columns))} FROM {name}"  # noqa: S608 - our names
        statement += (f" WHERE {condition}" if where else "") + f" ORDER BY {table.order}"
        return [dict(zip(columns, row, strict=True)) for row in self.all(statement, *where.values())]

    def _readable(self, name: str, columns: tuple[str, ...]) -> list[str]:
        """The columns of a table; those that an older program's ledger lacks are empty until it is migrated."""
        if self.all("PRAGMA user_version")[0][0] >= migrations("sqlite")[-1][0]:
            return list(columns)
        there = self._columns(name)
        return [column if column in there else f"NULL AS {column}" for column in columns]

    def _columns(self, name: str) -> set[str]:
        return {row[1] for row in self.all(f"PRAGMA table_info({name})")}

    def close(self) -> None:
        self._db.close()
