"""Harm to the ledger itself: its events, its tables, its file."""

from __future__ import annotations

import struct
from dataclasses import replace
from pathlib import Path
from typing import Any

from codeswarm.domain import events as ev
from codeswarm.engine import refs
from codeswarm.ledger.care import Code
from codeswarm.ledger.tables import TABLES
from tests.crash.damage import Patient, cut, flip
from tests.crash.harm import Deed, harm
from tests.support.finished_session import OTHER, SESSION, C

INTEGRATION = refs.integration(SESSION)

# ── events ───────────────────────────────────────────────────────────────────────────────────────────────────


@harm("one character of an event is changed", Code.CHAIN)
def _(patient: Patient) -> str:
    row = patient.find(ev.MessageSent)
    patient.do("UPDATE events SET body = replace(body, 'mind', 'mend') WHERE seq = ?", row.seq)
    return f"event {row.seq}"


@harm("an event's time is moved by a millisecond", Code.CHAIN)
def _(patient: Patient) -> str:
    patient.do("UPDATE events SET at_ms = at_ms + 1 WHERE seq = 40")
    return "event 40"


@harm("an event is given another kind that has the same fields", Code.CHAIN)
def _(patient: Patient) -> str:
    row = patient.find(ev.ApprovalGranted)
    patient.do("UPDATE events SET kind = 'ApprovalExpired' WHERE seq = ?", row.seq)
    return f"event {row.seq}"


@harm("an event is given a kind that is not known", Code.EVENT)
def _(patient: Patient) -> str:
    patient.do("UPDATE events SET kind = 'TicketEaten' WHERE seq = 48")
    return "TicketEaten"


@harm("an event's body is cut off", Code.EVENT)
def _(patient: Patient) -> str:
    patient.do("UPDATE events SET body = substr(body, 1, 30) WHERE seq = 48")
    return "event 48"


@harm("an event's body holds bytes that are no text", Code.CHAIN)
def _(patient: Patient) -> str:
    patient.do("UPDATE events SET body = CAST(x'7bff7d' AS TEXT) WHERE seq = 48")
    return "event 48"


@harm("an event's body is empty", Code.EVENT)
def _(patient: Patient) -> str:
    patient.do("UPDATE events SET body = '' WHERE seq = 3")
    return "event 3"


@harm("an event is taken from the middle", Code.SEQUENCE)
def _(patient: Patient) -> str:
    patient.do("DELETE FROM events WHERE seq = 50")
    return "event 50 is missing"


@harm("many events are taken from the middle", Code.SEQUENCE)
def _(patient: Patient) -> str:
    patient.do("DELETE FROM events WHERE seq BETWEEN 50 AND 60")
    return "events 50 to 60 are missing"


@harm("the first event is taken", Code.SEQUENCE)
def _(patient: Patient) -> str:
    patient.do("DELETE FROM events WHERE seq = 1")
    return "event 1 is missing"


@harm("the last event is taken", Code.SEQUENCE)
def _(patient: Patient) -> str:
    patient.do("DELETE FROM events WHERE seq = (SELECT max(seq) FROM events)")
    return "head"


@harm("the last event is taken and the head set back", Code.TABLE)
def _(patient: Patient) -> str:
    patient.rewrite(lambda rows: rows[:-1])
    return f"table sessions, row {SESSION}"


@harm("the last events are taken without a trace in the ledger", Code.REF)
def _(patient: Patient) -> str:
    landed = patient.find(ev.TicketLanded, -1)
    patient.rewrite(lambda rows: rows[: landed.seq - 1], tables=True)
    return f"{INTEGRATION}: stands at"


@harm("two events change places", Code.CHAIN)
def _(patient: Patient) -> str:
    with patient.sql() as db:
        db.execute("UPDATE events SET seq = -1, version = -1 WHERE seq = 61")
        db.execute("UPDATE events SET seq = 61, version = version - 1 WHERE seq = 62")
        db.execute(
            "UPDATE events SET seq = 62, version = (SELECT version + 1 FROM events WHERE seq = 61) WHERE seq = -1"
        )
    return "event 61"


@harm("an event is written a second time at the end, with a chain that fits", Code.TABLE)
def _(patient: Patient) -> str:
    patient.rewrite(lambda rows: [*rows, patient.find(ev.CommandRejected)])
    return f"table sessions, row {SESSION}"


@harm("an event is written a second time at the end, with the next number alone", Code.CHAIN)
def _(patient: Patient) -> str:
    last = patient.log()[-1]
    values = (last.seq + 1, last.session, last.version + 1, last.at_ms, last.kind, last.body, last.hash)
    patient.do("INSERT INTO events VALUES (?, ?, ?, ?, ?, ?, ?)", *values)
    return f"event {last.seq + 1}"


@harm("a version is left out", Code.SEQUENCE)
def _(patient: Patient) -> str:
    last = patient.log()[-1]
    patient.do("UPDATE events SET version = version + 1 WHERE seq = ?", last.seq)
    return f"version {last.version + 1} of session {SESSION}"


@harm("an event is moved to another session", Code.SEQUENCE)
def _(patient: Patient) -> str:
    patient.do("UPDATE events SET session = 'elsewhere' WHERE seq = 70")
    return "event 70"


@harm("a whole session is given another name, with a chain that fits", Code.EVENT)
def _(patient: Patient) -> str:
    patient.rewrite(lambda rows: [replace(row, session="lantern3") if row.session == OTHER else row for row in rows])
    return "version 1 of session lantern3"


@harm("a hash is set to zeros", Code.CHAIN)
def _(patient: Patient) -> str:
    patient.do("UPDATE events SET hash = ? WHERE seq = 33", "0" * 64)
    return "event 33"


@harm("an event is changed with a chain that fits, but the tables are forgotten", Code.TABLE)
def _(patient: Patient) -> str:
    row = patient.find(ev.PlanProposed)
    first, *rest = row.event.tickets
    patient.instead(row, row.saying(tickets=(first.model_copy(update={"title": "Say nothing"}), *rest)))
    return f"table tickets, row {SESSION}, a: differs from the log: title is 'Say hello', not 'Say nothing'"


@harm("an event is written in another way, with a chain that fits", Code.EVENT)
def _(patient: Patient) -> str:
    row = patient.find(ev.MessageSent)
    patient.instead(row, replace(row, body=row.body.replace(":", ": ")))
    return f"event {row.seq}"


@harm("an event is set before all time, with a chain that fits", Code.EVENT)
def _(patient: Patient) -> str:
    row = patient.find(ev.MessageSent)
    patient.instead(row, replace(row, at_ms=-5))
    return f"event {row.seq}: happened at -5 ms"


@harm("a lease is taken out of the log, with a chain that fits", Code.REPLAY)
def _(patient: Patient) -> str:
    row = patient.find(ev.AttemptLeased, ticket=C)
    patient.without(row)
    return "does not fit what came before"


@harm("a ticket lands a second time, with a chain that fits", Code.INVARIANT)
def _(patient: Patient) -> str:
    row = patient.find(ev.TicketLanded, ticket=C)
    patient.rewrite(lambda rows: [*rows, row])
    return "ticket c landed twice"


@harm("a lease is given out twice, with a chain that fits", Code.INVARIANT)
def _(patient: Patient) -> str:
    row = patient.find(ev.AttemptLeased, ticket=C)
    patient.rewrite(lambda rows: [*rows, row])
    return "c was leased twice at epoch 1"


@harm("the head is missing", Code.SEQUENCE)
def _(patient: Patient) -> str:
    patient.do("DELETE FROM head")
    return "head"


@harm("the head tells another number", Code.SEQUENCE)
def _(patient: Patient) -> str:
    patient.do("UPDATE head SET seq = seq - 1")
    return "head"


@harm("the head tells another hash", Code.SEQUENCE)
def _(patient: Patient) -> str:
    patient.do("UPDATE head SET hash = ?", "f" * 64)
    return "head"


# ── tables ───────────────────────────────────────────────────────────────────────────────────────────────────

CHANGES = {
    "sessions": ("outcome", "partial"),
    "tickets": ("status", "ready"),
    "attempts": ("cost_usd", 99.5),
    "gates": ("state", "green, surely"),
    "receipts": ("outcome", "waived"),
    "landings": ("new", "0" * 40),
    "approvals": ("given_by", '["mallory"]'),
    "checkpoints": ("state", "refused"),
    "parkings": ("state", "parked"),
}


def _pick(patient: Patient, table: str) -> tuple[str, tuple[Any, ...]]:
    """The finished session's last row of a table: a condition that only it meets, and its key."""
    key = TABLES[table].columns[: TABLES[table].key]
    with patient.sql() as db:
        rows = db.execute(f"SELECT {', '.join(key)} FROM {table} WHERE {key[0]} = ?", (SESSION,)).fetchall()
    return " AND ".join(f"{column} = ?" for column in key), rows[-1]


def _named(table: str, key: tuple[Any, ...]) -> str:
    return f"table {table}, row {', '.join(map(str, key))}"


def _change(table: str) -> Deed:
    def deed(patient: Patient) -> str:
        column, value = CHANGES[table]
        condition, key = _pick(patient, table)
        patient.do(f"UPDATE {table} SET {column} = ? WHERE {condition}", value, *key)
        return f"{_named(table, key)}: differs from the log: {column} is {value!r}"

    return deed


def _remove(table: str) -> Deed:
    def deed(patient: Patient) -> str:
        condition, key = _pick(patient, table)
        patient.do(f"DELETE FROM {table} WHERE {condition}", *key)
        return f"{_named(table, key)}: is missing"

    return deed


def _invent(table: str) -> Deed:
    def deed(patient: Patient) -> str:
        condition, key = _pick(patient, table)
        last = TABLES[table].key - 1
        made = (*key[:last], 777 if isinstance(key[last], int) else "made-up")
        columns = TABLES[table].columns
        chosen = ", ".join("?" if column == columns[last] else column for column in columns)
        patient.do(f"INSERT INTO {table} SELECT {chosen} FROM {table} WHERE {condition}", made[last], *key)
        return f"{_named(table, made)}: is there, though"

    return deed


for name in TABLES:
    harm(f"a row of {name} is changed", Code.TABLE)(_change(name))
    harm(f"a row of {name} is missing", Code.TABLE)(_remove(name))
    harm(f"a row of {name} is made up", Code.TABLE)(_invent(name))


@harm("a reply is no JSON", Code.REPLY)
def _(patient: Patient) -> str:
    patient.do("UPDATE replies SET body = 'yes' WHERE key = ?", f"start-{SESSION}")
    return f"start-{SESSION}"


@harm("a reply tells of a session that never was", Code.REPLY)
def _(patient: Patient) -> str:
    patient.do("UPDATE replies SET body = replace(body, 'harbour1', 'harbour9')")
    return "harbour9"


@harm("a reply was given when nothing happened", Code.REPLY)
def _(patient: Patient) -> str:
    patient.do("UPDATE replies SET at_ms = at_ms + 1 WHERE key = ?", f"start-{OTHER}")
    return f"start-{OTHER}"


# ── schema and file ──────────────────────────────────────────────────────────────────────────────────────────


@harm("a trigger that keeps the log append-only is dropped", Code.SCHEMA)
def _(patient: Patient) -> str:
    patient.bare("DROP TRIGGER events_are_never_changed")
    return "trigger events_are_never_changed: is missing"


@harm("a trigger is made harmless", Code.SCHEMA)
def _(patient: Patient) -> str:
    patient.bare("DROP TRIGGER events_are_never_deleted")
    patient.bare("CREATE TRIGGER events_are_never_deleted BEFORE DELETE ON events BEGIN SELECT 1; END")
    return "trigger events_are_never_deleted: is not defined as it should be"


@harm("a foreign trigger is added", Code.SCHEMA)
def _(patient: Patient) -> str:
    patient.bare("CREATE TRIGGER spy AFTER INSERT ON events BEGIN DELETE FROM replies; END")
    return "trigger spy"


@harm("a table is dropped", Code.SCHEMA)
def _(patient: Patient) -> str:
    patient.bare("DROP TABLE landings")
    return "table landings: is missing"


@harm("the table of replies is dropped", Code.SCHEMA)
def _(patient: Patient) -> str:
    patient.bare("DROP TABLE replies")
    return "table replies: is missing"


@harm("the table of events is dropped", Code.SCHEMA)
def _(patient: Patient) -> str:
    patient.bare("DROP TABLE events")
    return "table events: is missing"


@harm("a foreign table is added", Code.SCHEMA)
def _(patient: Patient) -> str:
    patient.bare("CREATE TABLE secrets (secret TEXT)")
    return "table secrets"


@harm("the schema's number is raised", Code.NEWER)
def _(patient: Patient) -> str:
    patient.bare("PRAGMA user_version = 99")
    return "schema 99"


@harm("the schema's number is lowered", Code.SCHEMA)
def _(patient: Patient) -> str:
    patient.bare("PRAGMA user_version = 0")
    return "schema: its number is 0"


def _root_page(patient: Patient, table: str) -> int:
    with patient.sql() as db:
        return int(db.execute("SELECT rootpage FROM sqlite_master WHERE name = ?", (table,)).fetchone()[0])


def _page_size(ledger: Path) -> int:
    return int(struct.unpack(">H", ledger.read_bytes()[16:18])[0])


def _zero(patient: Patient, page: int) -> None:
    size, content = _page_size(patient.data.ledger), bytearray(patient.data.ledger.read_bytes())
    content[(page - 1) * size : page * size] = bytes(size)
    patient.data.ledger.write_bytes(content)


@harm("a page of the events is set to zeros", Code.FILE)
def _(patient: Patient) -> str:
    _zero(patient, _root_page(patient, "events"))
    return "table events"


@harm("a page of a table is set to zeros", Code.FILE)
def _(patient: Patient) -> str:
    _zero(patient, _root_page(patient, "attempts"))
    return "table attempts: SQLite can't check it"


@harm("a page of an index is set to zeros", Code.FILE)
def _(patient: Patient) -> str:
    _zero(patient, _root_page(patient, "sqlite_autoindex_events_1"))
    return "table events: SQLite can't check it or its indexes"


@harm("the ledger's first page is set to zeros", Code.FILE)
def _(patient: Patient) -> str:
    _zero(patient, 1)
    return "ledger"


@harm("the ledger is cut off in the middle", Code.FILE)
def _(patient: Patient) -> str:
    cut(patient.data.ledger, patient.data.ledger.stat().st_size // 2)
    return "ledger"


@harm("the ledger is empty", Code.SCHEMA)
def _(patient: Patient) -> str:
    cut(patient.data.ledger, 0)
    return "table events: is missing"


@harm("the ledger is another file altogether", Code.FILE)
def _(patient: Patient) -> str:
    patient.data.ledger.write_bytes(b"Dear diary, today nothing landed.\n" * 200)
    return "can't be opened"


@harm("a table's definition is no SQL any more", Code.FILE)
def _(patient: Patient) -> str:
    with patient.sql() as db:
        db.execute("PRAGMA writable_schema = ON")
        db.execute("UPDATE sqlite_master SET sql = 'CREATE TABLE gates (' WHERE name = 'gates'")
    return "can't be read: malformed database schema"


@harm("an event's row is of another make", Code.FILE)
def _(patient: Patient) -> str:
    with patient.sql() as db:
        db.execute("PRAGMA writable_schema = ON")
        db.execute("UPDATE sqlite_master SET sql = replace(sql, ') STRICT', ')') WHERE name = 'events'")
    with patient.sql() as db:
        db.execute("UPDATE events SET body = x'00ff' WHERE seq = 90")
    return "table events: no event after 89 can be read"


@harm("the ledger is gone", Code.FILE)
def _(patient: Patient) -> str:
    patient.data.ledger.unlink()
    return "can't be opened"


@harm("the WAL is removed with the newest events in it", Code.REF, killed=True)
def _(patient: Patient) -> str:
    for suffix in ("-wal", "-shm"):
        patient.data.ledger.with_name(patient.data.ledger.name + suffix).unlink()
    return f"{INTEGRATION}: stands at"


@harm("the WAL is cut off", Code.REF, killed=True)
def _(patient: Patient) -> str:
    wal = patient.data.ledger.with_name(patient.data.ledger.name + "-wal")
    cut(wal, wal.stat().st_size // 3)
    return f"{INTEGRATION}: stands at"


@harm("a bit of the WAL is flipped", Code.REF, killed=True)
def _(patient: Patient) -> str:
    wal = patient.data.ledger.with_name(patient.data.ledger.name + "-wal")
    flip(wal, wal.stat().st_size // 3)
    return f"{INTEGRATION}: stands at"
