"""Whether the file has exactly the tables and triggers that the migrations make."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

from codeswarm.ledger.care import RESTORE, UPGRADE, Code, Problem
from codeswarm.ledger.connection import migrate, schema_version
from codeswarm.ledger.sql import migrations

_OBJECTS = "SELECT type, name, sql FROM sqlite_master WHERE substr(name, 1, 7) <> 'sqlite_'"


def age(db: sqlite3.Connection) -> int:
    """0: of this program's schema, or of none; more: a newer program has written here; less: an older one."""
    version = schema_version(db)
    return version - migrations("sqlite")[-1][0] if version else 0


def schema_problems(db: sqlite3.Connection) -> Iterator[Problem]:
    version, newest = schema_version(db), migrations("sqlite")[-1][0]
    if version > newest:
        what = f"a newer codeswarm wrote it (schema {version}; this one knows {newest}): only its chain is checked"
        yield Problem(Code.NEWER, "schema", what, UPGRADE)
    elif 0 < version < newest:
        what = f"an older codeswarm wrote it (schema {version}; this one has {newest}): its tables are not checked"
        yield Problem(Code.SCHEMA, "schema", what, "codeswarm ledger migrate", repairable=True)
    else:
        if not version:
            yield Problem(Code.SCHEMA, "schema", "its number is 0, which no ledger has", RESTORE)
        yield from _compared(objects(db))


def _compared(found: dict[tuple[str, str], str]) -> Iterator[Problem]:
    wanted = _wanted()
    for key in sorted(wanted.keys() | found.keys()):
        where = " ".join(key)
        if key not in found:
            yield Problem(Code.SCHEMA, where, "is missing", RESTORE)
        elif key not in wanted:
            yield Problem(Code.SCHEMA, where, "is not ours: something else has written into the ledger", RESTORE)
        elif wanted[key] != found[key]:
            yield Problem(Code.SCHEMA, where, "is not defined as it should be", RESTORE)


def objects(db: sqlite3.Connection) -> dict[tuple[str, str], str]:
    """(type, name) → definition. What SQLite makes by itself is left out."""
    return {(type_, name): sql for type_, name, sql in db.execute(_OBJECTS)}


def _wanted() -> dict[tuple[str, str], str]:
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as fresh:
        migrate(fresh, Path(":memory:"))
        return objects(fresh)
