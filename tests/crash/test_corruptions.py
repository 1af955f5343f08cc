"""A finished session, harmed in one place at a time: `verify` names each harm, survives it, and changes no byte."""

from __future__ import annotations

import asyncio
import shutil
import struct
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from codeswarm.domain import events as ev
from codeswarm.domain.results import GateOutcome
from codeswarm.engine import refs
from codeswarm.engine.receipts import Signer
from codeswarm.engine.verify import verify_all
from codeswarm.ledger.care import Code, Problem
from codeswarm.ledger.projection import TABLES
from tests.crash.damage import Patient, Row, cut, flip
from tests.support.finished_session import KEY, OTHER, SESSION, A, B, C, Finished, finish_session

INTEGRATION = refs.integration(SESSION)
Deed = Callable[[Patient], str]
"""Does the harm, and answers the words that a problem must name."""


@dataclass(frozen=True, slots=True)
class Harm:
    sentence: str
    code: Code
    deed: Deed
    killed: bool = False
    """Done to what a killed router left, its newest events still in the WAL."""


HARMS: list[Harm] = []


def harm(sentence: str, code: Code, *, killed: bool = False) -> Callable[[Deed], Deed]:
    def add(deed: Deed) -> Deed:
        HARMS.append(Harm(sentence, code, deed, killed))
        return deed

    return add


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Finished:
    return asyncio.run(finish_session(tmp_path_factory.mktemp("finished")))


@pytest.fixture
def patient(finished: Finished, tmp_path: Path) -> Patient:
    return Patient.copy_of(finished.data, tmp_path / "patient")


@pytest.mark.parametrize("killed", [False, True], ids=["closed", "killed"])
def test_an_unharmed_session_is_found_clean(finished: Finished, tmp_path: Path, killed: bool) -> None:
    patient = Patient.copy_of(finished.killed if killed else finished.data, tmp_path / "patient")
    before = patient.digest()
    assert verify_all(patient.data) == []
    assert patient.digest() == before


def test_hiding_a_change_well_leaves_no_trace_of_the_hiding(patient: Patient) -> None:
    """So that what is found after a `rewrite` is the harm, and not the tools."""
    patient.rewrite(lambda rows: rows, tables=True)
    assert verify_all(patient.data) == []


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


# ── receipts: the log is rewritten, and its chain and the tables with it ─────────────────────────────────────


def _landing_gate(patient: Patient) -> Row:
    """The gate that `b` landed on."""
    landed = patient.find(ev.TicketLanded, ticket=B).event
    return next(
        row
        for row in patient.log()
        if row.kind == "GateFinished" and any(receipt.id in landed.receipts for receipt in row.event.receipts)
    )


@harm("a receipt's signature is forged", Code.RECEIPT)
def _(patient: Patient) -> str:
    gate = _landing_gate(patient)
    (receipt,) = gate.event.receipts
    forged = receipt.model_copy(update={"signature": "ab" * 32})
    patient.instead(gate, gate.saying(receipts=(forged,)), tables=True)
    return f"event {gate.seq}: receipt {receipt.id}"


@harm("a red receipt is made green", Code.RECEIPT)
def _(patient: Patient) -> str:
    gate = patient.find(ev.GateFinished, green=False)
    (receipt,) = gate.event.receipts
    patient.instead(
        gate, gate.saying(receipts=(receipt.model_copy(update={"outcome": GateOutcome.GREEN}),)), tables=True
    )
    return f"event {gate.seq}: receipt {receipt.id}"


@harm("a receipt is exchanged for one that is genuine, but of another tree", Code.RECEIPT)
def _(patient: Patient) -> str:
    gate, base = _landing_gate(patient), patient.find(ev.SessionStarted).event.base_tree
    (receipt,) = gate.event.receipts
    other = Signer(KEY).sign(receipt.model_copy(update={"tree": base}))
    patient.instead(gate, gate.saying(receipts=(other,)), tables=True)
    return f"stands on receipt {receipt.id} for tree {base}"


@harm("a receipt is taken out of the log", Code.RECEIPT)
def _(patient: Patient) -> str:
    gate = _landing_gate(patient)
    (receipt,) = gate.event.receipts
    patient.instead(gate, gate.saying(receipts=()), tables=True)
    return f"stands on receipt {receipt.id}, which does not exist"


@harm("a landing names no receipt", Code.RECEIPT)
def _(patient: Patient) -> str:
    landed = patient.find(ev.TicketLanded, ticket=A)
    patient.instead(landed, landed.saying(receipts=()), tables=True)
    return f"event {landed.seq}: landing {landed.event.landing} names no receipt at all"


@harm("a landing stands on a genuine pass of another command", Code.RECEIPT)
def _(patient: Patient) -> str:
    gate = _landing_gate(patient)
    (receipt,) = gate.event.receipts
    other = Signer(KEY).sign(receipt.model_copy(update={"command": "true"}))
    patient.instead(gate, gate.saying(receipts=(other,)), tables=True)
    return "has no genuine receipt that `make check` passed"


@harm("a save names a receipt that does not exist", Code.RECEIPT)
def _(patient: Patient) -> str:
    save = patient.find(ev.SaveIntended)
    patient.instead(save, save.saying(receipts=("made-up",)), tables=True)
    return "stands on receipt made-up, which does not exist"


@harm("the key is another one", Code.KEY)
def _(patient: Patient) -> str:
    patient.data.key.write_bytes(bytes(32))
    return "not this data directory's key"


@harm("the key is missing", Code.KEY)
def _(patient: Patient) -> str:
    patient.data.key.unlink()
    return "receipts.key is missing"


# ── refs ─────────────────────────────────────────────────────────────────────────────────────────────────────


@harm("the integration ref is moved forward", Code.REF)
def _(patient: Patient) -> str:
    tip = patient.ref(INTEGRATION)
    patient.git("update-ref", INTEGRATION, patient.commit(f"{tip}^{{tree}}", tip))
    return f"{INTEGRATION}: stands at"


@harm("the integration ref is moved back", Code.REF)
def _(patient: Patient) -> str:
    patient.git("update-ref", INTEGRATION, f"{patient.ref(INTEGRATION)}^")
    return f"{INTEGRATION}: stands at"


@harm("the integration ref is moved to a foreign commit", Code.REF)
def _(patient: Patient) -> str:
    foreign = patient.commit(f"{INTEGRATION}^{{tree}}")
    patient.git("update-ref", INTEGRATION, foreign)
    return f"{INTEGRATION}: stands at {foreign}, where this session never was"


@harm("the integration ref is deleted", Code.REF)
def _(patient: Patient) -> str:
    patient.git("update-ref", "-d", INTEGRATION)
    return f"{INTEGRATION}: is missing"


@harm("the integration ref's file is full of rubbish", Code.REF)
def _(patient: Patient) -> str:
    (patient.data.store / INTEGRATION).write_text("rubbish\n")
    return INTEGRATION


def _deleted(ref: str) -> Deed:
    def deed(patient: Patient) -> str:
        patient.ref(ref)
        patient.git("update-ref", "-d", ref)
        return f"{ref}: is missing"

    return deed


def _moved(ref: str, to: str) -> Deed:
    def deed(patient: Patient) -> str:
        assert patient.ref(ref) != patient.ref(to)
        patient.git("update-ref", ref, to)
        return f"{ref}: stands at"

    return deed


BASE = refs.base(SESSION)
harm("a task branch is moved", Code.REF)(_moved(refs.task(SESSION, "b"), BASE))
harm("a task branch is moved back to the ticket's earlier work", Code.REF)(
    _moved(refs.task(SESSION, "b"), refs.work(SESSION, "b", 2))
)
harm("a task branch is deleted", Code.REF)(_deleted(refs.task(SESSION, "a")))
harm("a lost attempt's work in progress is deleted", Code.REF)(_deleted(refs.wip(SESSION, "b", 1)))
harm("a live attempt's work in progress is deleted", Code.REF)(_deleted(refs.wip(OTHER, "a", 1)))
harm("work in progress is set back to an earlier snapshot", Code.REF)(
    _moved(refs.wip(SESSION, "b", 1), refs.wip(SESSION, "b", 1) + "~1")
)
harm("what an attempt began with is deleted", Code.REF)(_deleted(refs.start(SESSION, "b", 3)))
harm("an attempt's work is deleted", Code.REF)(_deleted(refs.work(SESSION, "b", 2)))
harm("an attempt's work is exchanged", Code.REF)(_moved(refs.work(SESSION, "c", 1), BASE))
harm("a bounced landing's merge is deleted", Code.REF)(_deleted(refs.landing(SESSION, 3)))
harm("what a session began with is deleted", Code.REF)(_deleted(BASE))


def _tag(patient: Patient) -> str:
    return refs.checkpoint(patient.find(ev.CheckpointSaved).event.checkpoint)


@harm("a checkpoint's tag is moved", Code.REF)
def _(patient: Patient) -> str:
    return _moved(_tag(patient), BASE)(patient)


@harm("a checkpoint's tag is deleted", Code.REF)
def _(patient: Patient) -> str:
    return _deleted(_tag(patient))(patient)


def _added(ref: str) -> Deed:
    def deed(patient: Patient) -> str:
        patient.git("update-ref", ref, BASE)
        return f"{ref}: stands at"

    return deed


harm("there is a branch of a session that never was", Code.REF)(_added("refs/heads/session/ghost/integration"))
harm("there is a branch of a ticket that never was", Code.REF)(_added(refs.task(SESSION, "z")))
harm("there is a checkpoint that was never saved", Code.REF)(_added("refs/tags/checkpoint/2020-01-01-1"))


# ── commits: the log, the tables and the refs all agree on them ──────────────────────────────────────────────


def _land_instead(patient: Patient, make: Callable[[ev.CaughtUp], str]) -> str:
    """Let the last landing be of another commit, everywhere but in the commit itself."""
    caught_up: Any = patient.find(ev.CaughtUp).event
    old, new = caught_up.new, make(caught_up)

    def change(rows: list[Row]) -> list[Row]:
        return [replace(row, body=row.body.replace(old, new)) for row in rows]

    patient.rewrite(change, tables=True)
    for line in patient.git("for-each-ref", "--format=%(refname)", f"--points-at={old}").splitlines():
        patient.git("update-ref", line, new)
    return new


@harm("a landed commit is exchanged for one of another tree", Code.COMMIT)
def _(patient: Patient) -> str:
    new = _land_instead(patient, lambda event: patient.commit(f"{BASE}^{{tree}}", event.old, event.base))
    return f"commit {new}: has the tree"


@harm("a landed commit is exchanged for one of other parents", Code.COMMIT)
def _(patient: Patient) -> str:
    new = _land_instead(patient, lambda event: patient.commit(event.tree, event.old))
    return f"commit {new}: has the parents"


@harm("a ticket's landed commit has two parents", Code.COMMIT)
def _(patient: Patient) -> str:
    landed: Any = patient.find(ev.TicketLanded, -1).event
    other = patient.commit(landed.tree, landed.old, patient.ref(BASE))
    patient.rewrite(lambda rows: [replace(row, body=row.body.replace(landed.new, other)) for row in rows], tables=True)
    return f"commit {other}: has the parents"


@harm("a landing names a commit that does not exist", Code.COMMIT)
def _(patient: Patient) -> str:
    landed: Any = patient.find(ev.TicketLanded, ticket=A).event
    patient.rewrite(lambda rows: [replace(r, body=r.body.replace(landed.new, "12" * 20)) for r in rows], tables=True)
    return f"commit {'12' * 20}: is not in the store"


@harm("a landing is of another commit than was merged", Code.COMMIT)
def _(patient: Patient) -> str:
    landed = patient.find(ev.TicketLanded, -1)
    patient.instead(landed, landed.saying(new=patient.ref(BASE)), tables=True)
    return f"event {landed.seq}: landing"


# ── objects ──────────────────────────────────────────────────────────────────────────────────────────────────


def _landed_commit(patient: Patient) -> str:
    return str(patient.find(ev.TicketLanded, ticket=A).event.new)


def _packed_blob(patient: Patient) -> str:
    return patient.git("rev-parse", f"{refs.wip(SESSION, 'b', 1)}:src/ships.py")


@harm("a landed commit's object is deleted", Code.COMMIT)
def _(patient: Patient) -> str:
    commit = _landed_commit(patient)
    patient.loose(commit).unlink()
    return f"commit {commit}"


@harm("a landed commit's object is cut off", Code.COMMIT)
def _(patient: Patient) -> str:
    commit = _landed_commit(patient)
    cut(patient.loose(commit), 40)
    return f"commit {commit}"


@harm("a landed commit's object has a flipped bit", Code.COMMIT)
def _(patient: Patient) -> str:
    commit = _landed_commit(patient)
    flip(patient.loose(commit), 60)
    return f"commit {commit}"


@harm("a landed commit's object is empty", Code.COMMIT)
def _(patient: Patient) -> str:
    commit = _landed_commit(patient)
    cut(patient.loose(commit), 0)
    return f"commit {commit}"


@harm("a landed commit's object is another whole commit", Code.COMMIT)
def _(patient: Patient) -> str:
    commit, other = _landed_commit(patient), patient.commit(f"{BASE}^{{tree}}")
    shutil.copyfile(patient.loose(other), patient.loose(commit))
    return f"commit {commit}"


@harm("a file's object is deleted", Code.OBJECT)
def _(patient: Patient) -> str:
    blob = patient.git("rev-parse", f"{BASE}:README.md")
    patient.loose(blob).unlink()
    return f"object {blob}"


@harm("a file's object has a flipped bit", Code.OBJECT)
def _(patient: Patient) -> str:
    blob = patient.git("rev-parse", f"{BASE}:README.md")
    flip(patient.loose(blob), 20)
    return f"object {blob}"


@harm("a file's object is another file's", Code.OBJECT)
def _(patient: Patient) -> str:
    blob, other = (patient.git("rev-parse", f"{BASE}:{path}") for path in ("README.md", "src/shared.py"))
    shutil.copyfile(patient.loose(other), patient.loose(blob))
    return f"object {blob}"


@harm("a folder's object is deleted", Code.OBJECT)
def _(patient: Patient) -> str:
    tree = patient.git("rev-parse", f"{BASE}:src")
    patient.loose(tree).unlink()
    return f"object {tree}"


@harm("a file that only a deleted ref led to is deleted, too", Code.OBJECT)
def _(patient: Patient) -> str:
    blob, ref = _packed_blob(patient), refs.wip(SESSION, "b", 1)
    patient.unpack(patient.pack_of(blob))
    patient.loose(blob).unlink()
    patient.git("update-ref", "-d", ref)
    return f"object {blob}: it is missing, and a commit of the ledger needs it"


@harm("a pack is cut off", Code.OBJECT)
def _(patient: Patient) -> str:
    pack = patient.pack_of(_packed_blob(patient))
    cut(pack, pack.stat().st_size // 2)
    return pack.name


@harm("a pack has a flipped bit", Code.OBJECT)
def _(patient: Patient) -> str:
    pack = patient.pack_of(_packed_blob(patient))
    flip(pack, pack.stat().st_size // 2)
    return "pack"


@harm("a pack is deleted", Code.COMMIT)
def _(patient: Patient) -> str:
    commit = patient.ref(refs.wip(SESSION, "b", 1))
    pack = patient.pack_of(commit)
    pack.with_suffix(".idx").unlink()
    pack.unlink()
    return f"commit {commit}"


@harm("the store is gone", Code.OBJECT)
def _(patient: Patient) -> str:
    shutil.rmtree(patient.data.store)
    return "there is no store"


# ── transcripts and logs ─────────────────────────────────────────────────────────────────────────────────────


def _transcript(patient: Patient) -> Path:
    return patient.data.artifacts / "transcripts" / SESSION / "b" / "3.jsonl"


TRANSCRIPT = f"transcript {SESSION}:b:3"


@harm("a closed transcript is changed", Code.ARTIFACT)
def _(patient: Patient) -> str:
    path = _transcript(patient)
    path.write_text(path.read_text().replace("at work", "at rest"))
    return f"{TRANSCRIPT}: was changed"


@harm("a closed transcript is cut off", Code.ARTIFACT)
def _(patient: Patient) -> str:
    cut(_transcript(patient), 10)
    return f"{TRANSCRIPT}: has 10 bytes"


@harm("a closed transcript goes on", Code.ARTIFACT)
def _(patient: Patient) -> str:
    with _transcript(patient).open("a") as file:
        file.write("one more thing\n")
    return f"{TRANSCRIPT}: has"


@harm("a closed transcript is missing", Code.ARTIFACT)
def _(patient: Patient) -> str:
    _transcript(patient).unlink()
    return f"{TRANSCRIPT}: is missing"


def _gate_log(patient: Patient) -> tuple[str, Path]:
    digest = _landing_gate(patient).event.runs[0].log
    return digest, patient.data.artifacts / "objects" / digest[:2] / digest[2:]


@harm("a gate's log is changed", Code.ARTIFACT)
def _(patient: Patient) -> str:
    digest, path = _gate_log(patient)
    path.write_text("all green, honestly\n")
    return f"artifact {digest}: the log of gate fast"


@harm("a gate's log is missing", Code.ARTIFACT)
def _(patient: Patient) -> str:
    digest, path = _gate_log(patient)
    path.unlink()
    return f"artifact {digest}: the log of gate fast"


@harm("a gate's log is a folder", Code.ARTIFACT)
def _(patient: Patient) -> str:
    digest, path = _gate_log(patient)
    path.unlink()
    path.mkdir()
    return f"artifact {digest}"


@harm("all artifacts are gone", Code.ARTIFACT)
def _(patient: Patient) -> str:
    shutil.rmtree(patient.data.artifacts)
    return f"{TRANSCRIPT}: is missing"


# ── and each of them is found ────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("harm", HARMS, ids=[harm.sentence for harm in HARMS])
def test_harm_is_named_and_nothing_is_touched(harm: Harm, finished: Finished, tmp_path: Path) -> None:
    patient = Patient.copy_of(finished.killed if harm.killed else finished.data, tmp_path / "patient")
    named = harm.deed(patient)
    before = patient.digest()
    problems = verify_all(patient.data)
    assert any(problem.code is harm.code and named in str(problem) for problem in problems), _told(named, problems)
    assert all(problem.what and problem.next_step for problem in problems)
    assert not [problem for problem in problems if problem.code is Code.UNCHECKED], _told(named, problems)
    assert patient.digest() == before


def _told(named: str, problems: list[Problem]) -> str:
    found = "\n".join(f"  {problem.code} {problem}" for problem in problems) or "  nothing"
    return f"nothing names {named!r}; told was\n{found}"
