"""The ledger's file: how it is opened, what its schema is, and SQLite's failures as ours."""

from __future__ import annotations

import errno
import os
import shlex
import sqlite3
from contextlib import closing
from pathlib import Path

from codeswarm.access import way_out, writer_of
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
from codeswarm.plain import visible


def connect(path: Path, *, read_only: bool = False) -> sqlite3.Connection:
    """A connection with the settings that the promises rest on. Raises: LedgerUnavailable, LedgerCorrupt."""
    try:
        return _connect(path, "mode=ro" if read_only else "mode=rwc", read_only=read_only)
    except sqlite3.DatabaseError as error:
        if not read_only or not _rests(path):
            raise translate(error, path) from error
    try:  # on a full or read-only disk no index of the WAL can be made; nobody writes, so none is needed
        return _connect(path, "mode=ro&immutable=1", read_only=True)
    except sqlite3.DatabaseError as error:
        raise translate(error, path) from error


def _connect(path: Path, how: str, *, read_only: bool) -> sqlite3.Connection:
    db = sqlite3.connect(
        f"{path.absolute().as_uri()}?{how}",
        uri=True,
        isolation_level=None,
        check_same_thread=False,
        timeout=30,
    )
    try:
        db.execute("PRAGMA foreign_keys = ON")
        if not read_only:
            db.execute("PRAGMA journal_mode = WAL")
            db.execute("PRAGMA synchronous = FULL")
        db.execute("PRAGMA schema_version").fetchone()  # reads, as the number of our own schema need not
        db.execute("PRAGMA user_version").fetchone()
    except sqlite3.DatabaseError:
        db.close()
        raise
    return db


def _rests(path: Path) -> bool:
    """Whether all that was committed stands in the file itself, and nothing in the WAL beside it."""
    log = path.with_name(f"{path.name}-wal")
    try:
        return not log.exists() or log.stat().st_size == 0
    except OSError:
        return False


def translate(error: sqlite3.Error, path: Path | None = None) -> LedgerError:
    """SQLite's failures as ours. Source: sqlite.org/rescode.html."""
    code = getattr(error, "sqlite_errorcode", None) or 0
    primary, where = code & 0xFF, f" ({path})" if path else ""
    if primary == sqlite3.SQLITE_FULL or (primary in _MAYBE_FULL and path is not None and not _has_room(path)):
        return LedgerFull(f"the ledger can't be written: the disk is full{where}", str(error), FREE_SOME)
    if primary in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
        return LedgerCorrupt(f"the ledger is damaged{where}", str(error), "codeswarm ledger verify")
    if primary == sqlite3.SQLITE_IOERR and not (path and path.is_dir()):
        return LedgerBroken(f"the disk failed under the ledger{where}", str(error), "check the disk, then resume")
    hint = (_let_go(path) if path and primary == sqlite3.SQLITE_BUSY else _way_out(path)) or "codeswarm doctor"
    return LedgerUnavailable(f"the ledger can't be used just now{where}", str(error), hint)


def holder(path: Path) -> tuple[int, str] | None:
    """The process that keeps others from writing to a ledger: its number and name."""
    return writer_of(path.with_name(f"{path.name}-shm")) or writer_of(path)


def _let_go(path: Path) -> str | None:
    found = holder(path)
    return f"kill {found[0]}   # {visible(found[1])}, which holds it; or let go of it there" if found else None


def _way_out(path: Path | None) -> str | None:
    """What mends it where SQLite can't open or write a file, of which it does not say why."""
    if path is None:
        return None
    if path.is_dir():
        return way_out(IsADirectoryError(errno.EISDIR, ""), path)
    beside = sorted(path.parent.glob(f"{path.name}-*"))
    try:
        for needed in (path.parent, path, *beside):
            os.close(os.open(needed, os.O_RDONLY if needed.is_dir() else os.O_RDWR))
            if not os.access(needed, os.W_OK):
                raise PermissionError(errno.EACCES, "not writable", str(needed))
    except OSError as error:
        step = way_out(error, Path(error.filename or path))
        return f"chmod u+rw {shlex.quote(str(path))}*" if beside and step and step.startswith("chmod u+rw ") else step
    return None


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
