"""Everything about a ledger that can be told from its own file. Reads only, beside a live router or in ruins.

What the file says of things outside it (receipts, transcripts, logs, commits, refs) is checked by `evidence` and by
`engine.verify`, from the records that are found here.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from codeswarm.domain.ids import SessionId
from codeswarm.domain.session import Session
from codeswarm.errors import LedgerError
from codeswarm.ledger.base import Recorded
from codeswarm.ledger.care import LATEST_MS, RESTORE, Code, Problem, checked, reading, shown
from codeswarm.ledger.log import read_log
from codeswarm.ledger.replay import Replay, differences, replay
from codeswarm.ledger.schema import age, objects, schema_problems
from codeswarm.ledger.tables import TABLES


@dataclass(slots=True)
class Inspection:
    """What was found, and what could be read on the way."""

    problems: list[Problem] = field(default_factory=list)
    records: list[Recorded] = field(default_factory=list)
    sessions: dict[SessionId, Session] = field(default_factory=dict)
    """Those whose events could all be added up."""
    complete: bool = False
    """Whether the log could be read and understood to its end: else there may be more than `records` tell."""


def inspect(path: Path) -> Inspection:
    """Look at the whole of a ledger. Never raises for damage, and never changes a byte of the ledger.

    SQLite itself may leave an empty `-wal` and a `-shm` beside a file that nobody else has open.
    """
    found, where = Inspection(), f"ledger {path}"
    try:
        with reading(path) as db:
            objects(db)
            found.problems += checked("ledger", partial(_integrity, db))
            found.problems += checked("schema", partial(schema_problems, db))
            found.problems += checked("ledger", partial(_contents, db, found))
    except LedgerError as error:
        found.problems.append(Problem(Code.FILE, where, f"can't be opened: {error.why or error.what}", RESTORE))
    except (sqlite3.DatabaseError, UnicodeDecodeError) as error:
        found.problems.append(Problem(Code.FILE, where, f"can't be read: {error}", RESTORE))
    return found


def _integrity(db: sqlite3.Connection) -> Iterator[Problem]:
    """SQLite's own check of its pages, indexes and types; of each table by itself where that breaks down."""
    try:
        yield from _complaints(db, "PRAGMA integrity_check", "ledger")
    except sqlite3.DatabaseError as error:
        yield Problem(Code.FILE, "ledger", f"SQLite can't check the whole file: {error}")
        for type_, name in objects(db):
            if type_ == "table":
                yield from _integrity_of(db, name)


def _integrity_of(db: sqlite3.Connection, table: str) -> Iterator[Problem]:
    try:
        yield from _complaints(db, f'PRAGMA integrity_check("{table}")', f"table {table}")
    except sqlite3.DatabaseError as error:
        yield Problem(Code.FILE, f"table {table}", f"SQLite can't check it or its indexes: {error}")


def _complaints(db: sqlite3.Connection, statement: str, where: str) -> Iterator[Problem]:
    for (line,) in db.execute(statement):
        if line != "ok":
            yield Problem(Code.FILE, where, f"SQLite finds its file damaged: {' '.join(line.split())}")


def _contents(db: sqlite3.Connection, found: Inspection) -> Iterator[Problem]:
    there = {name for type_, name in objects(db) if type_ == "table"}
    if "events" not in there:
        return
    log = read_log(db, numbers_only=age(db) > 0)
    found.records, found.complete = log.records, log.complete and age(db) <= 0
    yield from log.problems
    if age(db) > 0:
        return
    replayed = replay(log)
    found.sessions = replayed.sessions
    yield from replayed.problems
    if age(db) < 0 or not log.complete:
        return
    for name in (name for name in TABLES if name in there):
        yield from checked(f"table {name}", partial(_table, db, replayed, name))
    if "replies" in there:
        yield from checked("table replies", partial(_replies, db, log.records))


def _table(db: sqlite3.Connection, replayed: Replay, name: str) -> Iterator[Problem]:
    try:
        for difference in differences(db, replayed, name):
            yield difference.problem()
    except sqlite3.DatabaseError as error:
        yield Problem(Code.FILE, f"table {name}", f"can't be read: {error}")


def _replies(db: sqlite3.Connection, records: Iterable[Recorded]) -> Iterator[Problem]:
    """A reply is committed with the events that it tells of: it has their time, and names what exists."""
    times = {record.at_ms for record in records}
    sessions = {record.session for record in records}
    try:
        rows = db.execute("SELECT key, at_ms, body FROM replies ORDER BY key").fetchall()
    except sqlite3.DatabaseError as error:
        yield Problem(Code.FILE, "table replies", f"can't be read: {error}")
        return
    for key, at_ms, body in rows:
        where = f"table replies, row {key}"
        if not 0 < at_ms < LATEST_MS or at_ms not in times:
            yield Problem(Code.REPLY, where, f"was given at {shown(at_ms)} ms, when nothing happened")
        try:
            session = json.loads(body).get("session")
        except (ValueError, AttributeError):
            yield Problem(Code.REPLY, where, f"is no JSON object: {shown(body)}")
            continue
        if session is not None and session not in sessions:
            yield Problem(Code.REPLY, where, f"tells of session {shown(session)}, which does not exist")
