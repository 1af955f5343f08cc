"""What the log adds up to: each session's state, and every row that the tables should hold."""

from __future__ import annotations

import sqlite3
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial

from codeswarm.domain.evolve import evolve
from codeswarm.domain.ids import SessionId
from codeswarm.domain.invariants import Audit, broken
from codeswarm.domain.session import Session
from codeswarm.ledger.base import Recorded
from codeswarm.ledger.care import REBUILD, RESTORE, Code, Problem, checked, shown
from codeswarm.ledger.log import Log
from codeswarm.ledger.projection import rows_after
from codeswarm.ledger.tables import TABLES, Row

BUG = "report it as a bug of Codeswarm, with what `codeswarm ledger export` writes"


@dataclass(slots=True)
class Replay:
    sessions: dict[SessionId, Session] = field(default_factory=dict)
    """Those that could be replayed to their end."""
    rows: dict[str, dict[Row, Row]] = field(default_factory=lambda: {name: {} for name in TABLES})
    """Table → key → row, of these sessions."""
    stopped: set[SessionId] = field(default_factory=set)
    """Those that could not: nothing can be said of their rows."""
    problems: list[Problem] = field(default_factory=list)


def replay(log: Log) -> Replay:
    """Add up every session as far as it goes, and hold it against what must always be so."""
    done = Replay(stopped=set(log.cut))
    audits: defaultdict[SessionId, Audit] = defaultdict(Audit)
    for record in log.records:
        if record.seq < log.cut.get(record.session, log.seq + 1):
            done.problems += _audited(audits[record.session], record)
        if record.session not in done.stopped:
            _apply(done, record)
    for id_ in done.stopped:
        done.sessions.pop(id_, None)
    for session in done.sessions.values():
        done.problems += checked(f"session {session.id}", partial(_invariants, session))
    return done


def _audited(audit: Audit, record: Recorded) -> Iterator[Problem]:
    before = len(audit.problems)
    audit.see(record.event)
    for what in audit.problems[before:]:
        yield Problem(Code.INVARIANT, f"event {record.seq}", f"{what} (session {record.session})", BUG)


def _apply(done: Replay, record: Recorded) -> None:
    if record.session not in done.sessions:
        done.sessions[record.session] = Session(record.session)
    session = done.sessions[record.session]
    try:
        evolve(session, record.event, record.at_ms)
        rows = rows_after(session, [record.event], record.at_ms)
    except Exception as error:  # noqa: BLE001 - a history that makes no sense breaks its reader in any way it likes
        why = f"{type(error).__name__}: {error}".rstrip(": ")
        what = f"{record.event.kind} does not fit what came before in session {record.session} ({why})"
        done.problems.append(Problem(Code.REPLAY, f"event {record.seq}", what, RESTORE))
        done.stopped.add(record.session)
        return
    for name, found in rows.items():
        done.rows[name].update((TABLES[name].key_of(row), row) for row in found)


def _invariants(session: Session) -> Iterator[Problem]:
    for what in broken(session):
        yield Problem(Code.INVARIANT, f"session {session.id}", what, BUG)


# ── the tables ───────────────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class Difference:
    """A row that is not what the log says. `found` None: it is missing; `wanted` None: it should not be there."""

    table: str
    key: Row
    found: Row | None
    wanted: Row | None

    def problem(self) -> Problem:
        where = f"table {self.table}, row {', '.join(map(str, self.key))}"
        return Problem(Code.TABLE, where, self._what(), REBUILD, repairable=True)

    def _what(self) -> str:
        if self.found is None:
            return "is missing, though the log tells of it"
        if self.wanted is None:
            return "is there, though the log does not tell of it"
        columns = zip(TABLES[self.table].columns, self.found, self.wanted, strict=True)
        wrong = (f"{name} is {shown(a)}, not {shown(b)}" for name, a, b in columns if a != b)
        return "differs from the log: " + "; ".join(wrong)


def differences(db: sqlite3.Connection, done: Replay, name: str) -> Iterator[Difference]:
    """Every row of one table that is not what the log says, of all sessions that could be replayed."""
    table, wanted = TABLES[name], dict(done.rows[name])
    statement = f"SELECT {', '.join(table.columns)} FROM {name}"  # noqa: S608 - our names
    for row in db.execute(statement):
        key = table.key_of(row)
        should = wanted.pop(key, None)
        if row[0] not in done.stopped and row != should:
            yield Difference(name, key, row, should)
    for key, row in wanted.items():
        if key[0] not in done.stopped:
            yield Difference(name, key, None, row)
