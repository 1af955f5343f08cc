"""The ledger's file: how it is opened, what its schema is, and SQLite's failures as ours."""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing
from pathlib import Path

from codeswarm.errors import (
    FREE_SOME,
    LedgerBroken,
    LedgerCorrupt,
    LedgerError,
    LedgerFull,
    LedgerTooNew,
    LedgerUnavailable,
)
from codeswarm.ledger.sql import migrations


def connect(path: Path, *, read_only: bool = False) -> sqlite3.Connection:
    """A connection with the settings that the promises rest on. Raises: LedgerUnavailable, LedgerCorrupt."""
    mode = "ro" if read_only else "rwc"
    try:
        db = sqlite3.connect(
            f"{path.absolute().as_uri()}?mode={mode}",
            uri=True,
            isolation_level=None,
            check_same_thread=False,
            timeout=30,
        )
    except sqlite3.DatabaseError as error:
        raise translate(error, path) from error
    try:
        db.execute("PRAGMA foreign_keys = ON")
        if not read_only:
            db.execute("PRAGMA journal_mode = WAL")
            db.execute("PRAGMA synchronous = FULL")
        db.execute("PRAGMA user_version").fetchone()
    except sqlite3.DatabaseError as error:
        db.close()
        raise translate(error, path) from error
    return db


def translate(error: sqlite3.Error, path: Path | None = None) -> LedgerError:
    """SQLite's failures as ours. Source: sqlite.org/rescode.html."""
    code = getattr(error, "sqlite_errorcode", None) or 0
    primary, where = code & 0xFF, f" ({path})" if path else ""
    if primary == sqlite3.SQLITE_FULL or (primary in _MAYBE_FULL and path is not None and not _has_room(path)):
        return LedgerFull(f"the ledger can't be written: the disk is full{where}", str(error), FREE_SOME)
    if primary in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
        return LedgerCorrupt(f"the ledger is damaged{where}", str(error), "codeswarm ledger verify")
    if primary == sqlite3.SQLITE_IOERR:
        return LedgerBroken(f"the disk failed under the ledger{where}", str(error), "check the disk, then resume")
    return LedgerUnavailable(f"the ledger can't be used just now{where}", str(error), "try again")


_MAYBE_FULL = (sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CANTOPEN)
"""What SQLite says of a full disk where it is not the ledger's file that finds no room, but one beside it."""
LEAST_ROOM = 64 << 10


def _has_room(path: Path) -> bool:
    try:
        found = os.statvfs(path.parent)
    except OSError:
        return True
    return found.f_bavail * found.f_frsize >= LEAST_ROOM


def migrate(db: sqlite3.Connection, path: Path) -> int:
    """Bring the schema up to date, one transaction a step. Returns the number of steps taken. Idempotent.

    Raises: LedgerTooNew where a newer program has written here; nothing is touched then.
    """
    version = schema_version(db)
    known = migrations("sqlite")
    check_not_newer(db, path)
    taken = 0
    for number, script in known:
        if number > version:
            db.executescript(f"BEGIN IMMEDIATE;\n{script}\nPRAGMA user_version = {number};\nCOMMIT;")
            taken += 1
    return taken


def migrate_file(path: Path) -> tuple[int, int]:
    """Bring a ledger's file up to date: its schema before and after. The caller holds the router's lock. Idempotent.

    Raises: LedgerTooNew, LedgerError.
    """
    with closing(connect(path)) as db:
        try:
            before = schema_version(db)
            migrate(db, path)
            return before, schema_version(db)
        except sqlite3.Error as error:
            raise translate(error, path) from error


def schema_version(db: sqlite3.Connection) -> int:
    return int(db.execute("PRAGMA user_version").fetchone()[0])


def check_not_newer(db: sqlite3.Connection, path: Path) -> None:
    version, newest = schema_version(db), migrations("sqlite")[-1][0]
    if version > newest:
        raise LedgerTooNew(
            f"the ledger {path} was written by a newer codeswarm (schema {version}; this one knows {newest})",
            "an older program could damage it, so it is opened for reading only",
            "pip install --upgrade codeswarm",
        )
