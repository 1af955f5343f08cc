"""The ledger's care: rebuilt, exported, backed up, read by an older program, and verified while it grows."""

from __future__ import annotations

import asyncio
import hashlib
import json
import random
import sqlite3
import subprocess
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from codeswarm.domain import events as ev
from codeswarm.domain.ids import SessionId, TicketId
from codeswarm.domain.results import Report
from codeswarm.engine.data import Data
from codeswarm.engine.project import Project
from codeswarm.engine.verify import verify_all
from codeswarm.errors import LedgerCorrupt, LedgerError, LedgerTooNew, LedgerUnavailable, UsageError
from codeswarm.home import Home
from codeswarm.ledger import views
from codeswarm.ledger.artifacts import Artifacts
from codeswarm.ledger.backup import backup
from codeswarm.ledger.base import GENESIS, Batch, Recorded, chain
from codeswarm.ledger.care import Code
from codeswarm.ledger.connection import migrate_file
from codeswarm.ledger.evidence import artifact_problems
from codeswarm.ledger.export import export
from codeswarm.ledger.log import is_canonical
from codeswarm.ledger.projection import rows_after
from codeswarm.ledger.rebuild import rebuild
from codeswarm.ledger.restore import restore
from codeswarm.ledger.sqlite import SqliteLedger
from codeswarm.ledger.tables import TABLES
from codeswarm.ledger.verify import inspect
from codeswarm.testing.ledger_contract import note, started
from codeswarm.wiring import WorkerPlan, open_engine
from tests.crash.damage import Patient
from tests.support.finished_session import SESSION, Finished, Teller, finish_session
from tests.support.histories import History

ONE = SessionId("one")


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Finished:
    return asyncio.run(finish_session(tmp_path_factory.mktemp("finished")))


@pytest.fixture
def patient(finished: Finished, tmp_path: Path) -> Patient:
    return Patient.copy_of(finished.data, tmp_path / "patient")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "ledger.sqlite3"


def fill(path: Path, count: int = 20) -> None:
    """A ledger with one session and a few remarks."""
    ledger = SqliteLedger(path)
    ledger.append(Batch.at(ONE, 0, 1000, [started(ONE), *(note(f"remark {i}") for i in range(count))])).result(10)
    ledger.close()


def files(folder: Path) -> dict[str, bytes]:
    """Every file with its bytes; SQLite's scratch left out."""
    found = {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}
    return {name: content for name, content in found.items() if not name.endswith("-shm") and content}


# ── verify ───────────────────────────────────────────────────────────────────────────────────────────────────


def test_the_same_story_gives_the_same_log_byte_for_byte(finished: Finished, tmp_path: Path) -> None:
    again = asyncio.run(finish_session(tmp_path))
    assert list(export(again.data.ledger)) == list(export(finished.data.ledger))


@pytest.mark.parametrize("seed", range(25))
def test_any_history_is_found_clean(seed: int, path: Path) -> None:
    """Whatever happens to a session, its log is canonical, its tables are what the log says, and it replays."""
    numbers, ledger = random.Random(seed), SqliteLedger(path)

    class Kept(History):
        def do(self, command: Any) -> Any:
            version, answer = self.session.version, super().do(command)
            if isinstance(answer, list) and answer:
                rows = rows_after(self.session, answer, self.now_ms)
                ledger.append(Batch.at(self.session.id, version, self.now_ms, answer, rows))
            return answer

    history = Kept(seed)
    for _ in range(80):
        history.play(numbers.randrange(2**20))
    ledger.close()
    found = inspect(path)
    assert found.problems == []
    assert found.sessions == {history.session.id: history.session}


CANONICAL = {
    "as it is written": ("Noted", '{"subject":"a","what":"b","next_step":"","ticket":null}', True),
    "before a field was there": ("Noted", '{"subject":"a","what":"b"}', True),
    "before a field within it was there": (
        "ChangesRequested",
        '{"ticket":"a","epoch":1,"findings":[{"file":"","line":null,"text":"no"}],"by":"reviewer"}',
        True,
    ),
    "with blanks": ("Noted", '{"subject": "a","what":"b"}', False),
    "with its keys in another order": ("Noted", '{"what":"b","subject":"a"}', False),
    "with a key twice": ("Noted", '{"subject":"a","what":"x","what":"b"}', False),
    "with what is dropped on reading": (
        "ChangesRequested",
        '{"ticket":"a","epoch":1,"findings":[{"text":"no","colour":"red"}],"by":"reviewer"}',
        False,
    ),
    "with a number as text": ("PlanAccepted", '{"plan":"1","by":"ada"}', False),
    "with a number written otherwise": ("PlanAccepted", '{"plan":1.0,"by":"ada"}', False),
}


@pytest.mark.parametrize(("kind", "body", "canonical"), CANONICAL.values(), ids=CANONICAL)
def test_an_event_is_canonical_only_as_some_version_of_us_wrote_it(kind: str, body: str, canonical: bool) -> None:
    assert is_canonical(ev.parse_event(kind, body), body) is canonical


async def test_verify_beside_a_live_router_finds_nothing_wrong(tmp_path: Path) -> None:
    teller = Teller(tmp_path)
    looks = 0

    async def look() -> None:
        nonlocal looks
        while True:
            assert await asyncio.to_thread(verify_all, teller.data, live=True) == []
            looks += 1

    looking = asyncio.create_task(look())
    await asyncio.wait({asyncio.create_task(teller.tell()), looking}, return_when=asyncio.FIRST_COMPLETED)
    assert not looking.done(), looking.exception()
    looking.cancel()
    await asyncio.gather(looking, return_exceptions=True)
    teller.engine.kernel.ledger.close()
    assert looks > 3
    assert verify_all(teller.data) == []


def test_a_session_that_is_just_starting_is_no_damage_and_a_dead_start_is_told(patient: Patient) -> None:
    base = f"refs/codeswarm/base/{SESSION}"
    for ref in ("refs/codeswarm/base/newcomer", "refs/heads/session/newcomer/integration"):
        patient.git("update-ref", ref, base)
    assert verify_all(patient.data, live=True) == []
    (problem,) = verify_all(patient.data)
    assert (problem.code, problem.where) == (Code.REF, "refs/heads/session/newcomer/integration")


def test_verify_makes_nothing_where_there_is_nothing(tmp_path: Path) -> None:
    problems = verify_all(Data(tmp_path / "nothing"))
    assert [problem.code for problem in problems] == [Code.FILE]
    assert list(tmp_path.iterdir()) == []


def test_a_transcript_that_was_never_written_is_missed_only_where_it_had_something_to_say(tmp_path: Path) -> None:
    empty = Report(transcript=hashlib.sha256().hexdigest())
    ended = ev.AttemptCancelled(ticket=TicketId("a"), epoch=1, reason="stop", report=empty, retry_at_ms=0)
    records = [Recorded(1, ONE, 1, 1000, ended)]
    assert list(artifact_problems(records, Artifacts(tmp_path))) == []


def test_a_ledger_in_which_nothing_has_happened_is_clean(path: Path) -> None:
    SqliteLedger(path).close()
    assert inspect(path).problems == []


def test_missing_objects_are_found_without_reading_every_object(patient: Patient) -> None:
    blob = patient.git("rev-parse", f"refs/codeswarm/base/{SESSION}:README.md")
    patient.loose(blob).unlink()
    assert blob in " ".join(map(str, verify_all(patient.data, deep=False)))


@pytest.mark.parametrize("ref", ["heads/session/harbour1/integration", "codeswarm/wip/harbour1/b/1", "tags/checkpoint"])
def test_the_next_step_of_what_is_repairable_repairs_it(patient: Patient, ref: str) -> None:
    (name,) = patient.git("for-each-ref", "--format=%(refname)", f"refs/{ref}").splitlines()
    patient.git("update-ref", "-d", name)
    (problem,) = verify_all(patient.data)
    assert problem.repairable
    subprocess.run(problem.next_step, shell=True, check=True)
    assert verify_all(patient.data) == []


def test_a_lagging_integration_ref_is_repairable(patient: Patient) -> None:
    ref = f"refs/heads/session/{SESSION}/integration"
    patient.git("update-ref", ref, f"{ref}~2")
    (problem,) = verify_all(patient.data)
    assert (problem.code, problem.where, problem.repairable) == (Code.REF, ref, True)


def test_an_old_history_with_bad_manners_is_no_damage(patient: Patient) -> None:
    """Fsck complains of how many an old commit was written; its bytes are what they were."""
    tree = patient.git("rev-parse", f"refs/codeswarm/base/{SESSION}^{{tree}}")
    text = f"tree {tree}\nauthor Ada <ada@example.invalid> 1700000000 +051800\ncommitter Ada <> 17 +0000\n\nold\n"
    old = patient.git("hash-object", "-t", "commit", "-w", "--literally", "--stdin", stdin=text)
    patient.git("update-ref", "refs/codeswarm/theirs/main", old)
    assert verify_all(patient.data) == []


# ── rebuild ──────────────────────────────────────────────────────────────────────────────────────────────────


def test_rebuild_makes_the_tables_say_what_the_log_says(patient: Patient) -> None:
    with patient.sql() as db:
        db.execute("UPDATE tickets SET status = 'ready'")
        db.execute("DELETE FROM attempts WHERE ticket = 'b'")
        db.execute("UPDATE receipts SET id = id || 'x' WHERE name = 'full'")
        db.execute("DELETE FROM sessions")
    damaged = verify_all(patient.data)
    assert {problem.code for problem in damaged} == {Code.TABLE}
    assert all(problem.repairable for problem in damaged)
    assert rebuild(patient.data.ledger) == {"sessions": 2, "tickets": 4, "attempts": 3, "receipts": 4}
    assert verify_all(patient.data) == []
    assert rebuild(patient.data.ledger) == {}


def test_rebuild_changes_nothing_but_rows_of_tables(patient: Patient) -> None:
    def rest() -> list[Any]:
        with closing(sqlite3.connect(patient.data.ledger)) as db:
            names = ("sqlite_master", "events", "head", "meta", "replies")
            return [db.execute(f"SELECT * FROM {name}").fetchall() for name in names]

    patient.do("DELETE FROM landings")
    before = rest()
    assert rebuild(patient.data.ledger) == {"landings": 6}
    assert rest() == before


BROKEN = {
    "an event is changed": "UPDATE events SET body = replace(body, 'mind', 'mend') WHERE kind = 'MessageSent'",
    "an event is gone": "DELETE FROM events WHERE seq = 60",
    "an event can't be read": "UPDATE events SET body = '{' WHERE seq = 60",
    "the head is wrong": "UPDATE head SET hash = 'x'",
}


@pytest.mark.parametrize("statement", BROKEN.values(), ids=BROKEN)
def test_rebuild_refuses_a_broken_log_and_changes_nothing(patient: Patient, statement: str) -> None:
    patient.do("UPDATE tickets SET status = 'ready'")
    patient.do(statement)
    before = patient.digest()
    with pytest.raises(LedgerCorrupt, match="the log itself is damaged"):
        rebuild(patient.data.ledger)
    assert patient.digest() == before


def test_rebuild_refuses_where_a_table_is_gone(patient: Patient) -> None:
    patient.bare("DROP TABLE gates")
    with pytest.raises(LedgerCorrupt, match="table gates: is missing"):
        rebuild(patient.data.ledger)


def test_rebuild_makes_no_ledger_where_there_is_none(path: Path) -> None:
    with pytest.raises(LedgerUnavailable):
        rebuild(path)
    assert not path.exists()


# ── export ───────────────────────────────────────────────────────────────────────────────────────────────────


def data_text(line: str) -> str:
    """What stands as `data` in a line, byte for byte."""
    return line.partition('"data":')[2].rpartition(',"hash":')[0]


def test_the_hashes_of_an_export_can_be_made_again(finished: Finished) -> None:
    previous, seq = GENESIS, 0
    for line in export(finished.data.ledger):
        told = json.loads(line)
        assert list(told) == ["seq", "session", "version", "at_ms", "kind", "data", "hash"]
        head = (told["seq"], told["session"], told["version"], told["at_ms"], told["kind"])
        previous, seq = chain(previous, *head, data_text(line)), told["seq"]
        assert told["hash"] == previous
        assert ev.parse_event(told["kind"], json.dumps(told["data"])).model_dump(mode="json") == told["data"]
    with closing(SqliteLedger(finished.data.ledger, read_only=True)) as ledger:
        assert ledger.head() == (seq, previous)


def test_an_export_is_a_stream_and_of_one_moment(path: Path) -> None:
    fill(path)
    lines = export(path)
    first = next(lines)
    ledger = SqliteLedger(path)
    ledger.append(Batch.at(ONE, 21, 1001, [note("too late for this export")])).result(10)
    rest = list(lines)
    ledger.close()
    assert len([first, *rest]) == 21
    assert len(list(export(path))) == 22


def test_a_damaged_event_is_exported_as_it_is(patient: Patient) -> None:
    patient.do("UPDATE events SET body = CAST(x'7b0aff7d' AS TEXT) WHERE seq = 48")
    lines = [json.loads(line) for line in export(patient.data.ledger)]
    assert lines[47]["damaged"] == "{\n\udcff}"
    assert "data" not in lines[47]
    assert sum("data" in line for line in lines) == len(lines) - 1


# ── backup ───────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_backup_beside_a_live_writer_is_whole_and_a_prefix(path: Path, tmp_path: Path) -> None:
    ledger, done = SqliteLedger(path), threading.Event()
    ledger.append(Batch.at(ONE, 0, 1000, [started(ONE)])).result(10)

    def write() -> None:
        version = 1
        while not done.is_set():
            ledger.append(Batch.at(ONE, version, 1000 + version, [note(f"remark {version}")])).result(10)
            version += 1

    writer = threading.Thread(target=write)
    writer.start()
    try:
        copies = [backup(path, tmp_path / f"copy-{i}") for i in range(5)]
    finally:
        done.set()
        writer.join()
        ledger.close()
    lines = list(export(path))
    assert copies[-1].seq > copies[0].seq
    for copy in copies:
        assert [p for p in inspect(copy.path).problems if p.code is not Code.TABLE] == []
        assert list(export(copy.path)) == lines[: copy.seq]
        assert json.loads(lines[copy.seq - 1])["hash"] == copy.hash
        assert copy.path.stat().st_size == copy.size_bytes


def test_a_backup_takes_in_what_is_in_the_wal_alone(finished: Finished, tmp_path: Path) -> None:
    killed = Patient.copy_of(finished.killed, tmp_path / "killed")
    copy = backup(killed.data.ledger, tmp_path / "copy")
    assert list(export(copy.path)) == list(export(finished.data.ledger))


def test_a_restored_backup_is_found_clean_and_can_be_written(patient: Patient, tmp_path: Path) -> None:
    copy = backup(patient.data.ledger, tmp_path / "copy")
    before = patient.data.ledger.read_bytes()
    done = restore(copy.path, patient.data.ledger)
    assert (done.seq, done.hash) == (copy.seq, copy.hash)
    assert done.kept is not None
    assert done.kept.read_bytes() == before, "nothing is written over"
    assert patient.data.ledger.stat().st_mode & 0o777 == 0o600
    assert verify_all(patient.data) == []
    ledger = SqliteLedger(patient.data.ledger)
    assert ledger.head() == (copy.seq, copy.hash)
    ledger.append(Batch.at(ONE, 0, 1000, [started(ONE)])).result(10)
    ledger.close()


def test_what_is_no_whole_backup_is_not_restored(patient: Patient, tmp_path: Path) -> None:
    torn = backup(patient.data.ledger, tmp_path / "torn").path
    torn.write_bytes(torn.read_bytes()[: torn.stat().st_size // 2])
    before = files(patient.data.root)
    for bad, error in ((torn, LedgerCorrupt), (Path("pyproject.toml"), LedgerCorrupt), (tmp_path / "none", UsageError)):
        with pytest.raises(error):
            restore(bad, patient.data.ledger)
    assert files(patient.data.root) == before


def test_a_backup_is_one_file_for_its_owner_alone(path: Path, tmp_path: Path) -> None:
    fill(path)
    (tmp_path / "there").mkdir()
    copy = backup(path, tmp_path / "there" / "copy")
    assert [entry.name for entry in (tmp_path / "there").iterdir()] == ["copy"]
    assert copy.path.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("what", ["file", "folder", "dangling link"])
def test_a_backup_never_writes_over_anything(path: Path, tmp_path: Path, what: str) -> None:
    fill(path)
    target = tmp_path / "copy"
    if what == "file":
        target.write_text("precious")
    elif what == "folder":
        target.mkdir()
    else:
        target.symlink_to(tmp_path / "elsewhere")
    before = files(tmp_path)
    with pytest.raises(UsageError, match="exists already"):
        backup(path, target)
    assert files(tmp_path) == before
    assert not (tmp_path / "elsewhere").exists()


def test_a_backup_in_a_folder_that_does_not_exist_is_refused(path: Path, tmp_path: Path) -> None:
    fill(path)
    with pytest.raises(UsageError, match="no backup can be made"):
        backup(path, tmp_path / "nowhere" / "copy")


def test_no_backup_is_made_of_a_damaged_ledger(path: Path, tmp_path: Path) -> None:
    fill(path, 2000)
    content = bytearray(path.read_bytes())
    content[20 * 4096 : 21 * 4096] = bytes(4096)
    path.write_bytes(content)
    with pytest.raises(LedgerCorrupt, match="damaged"):
        backup(path, tmp_path / "copy")
    assert sorted(files(tmp_path)) == [path.name]


def test_no_backup_is_made_of_a_ledger_that_lost_its_end(path: Path, tmp_path: Path) -> None:
    fill(path)
    with closing(sqlite3.connect(path)) as db, db:
        db.execute("UPDATE head SET seq = seq + 1")
    with pytest.raises(LedgerCorrupt, match="should end at"):
        backup(path, tmp_path / "copy")
    assert not (tmp_path / "copy").exists()


def test_no_backup_is_made_of_nothing(path: Path, tmp_path: Path) -> None:
    with pytest.raises(LedgerUnavailable):
        backup(path, tmp_path / "copy")
    assert list(tmp_path.iterdir()) == []


# ── a ledger that a newer program has written ────────────────────────────────────────────────────────────────


@pytest.fixture
def newer(patient: Patient) -> Iterator[Patient]:
    """It has a table more, a column more, and an event of a kind that this program does not know."""
    last = patient.log()[-1]
    body = '{"whale":"blue"}'
    hash_ = chain(last.hash, last.seq + 1, last.session, last.version + 1, last.at_ms, "WhaleSeen", body)
    values = (last.seq + 1, last.session, last.version + 1, last.at_ms, "WhaleSeen", body, hash_)
    patient.do("INSERT INTO events VALUES (?, ?, ?, ?, ?, ?, ?)", *values)
    patient.do("UPDATE head SET seq = ?, hash = ?", last.seq + 1, hash_)
    patient.bare("ALTER TABLE tickets ADD COLUMN whales INTEGER")
    patient.bare("CREATE TABLE whales (name TEXT)")
    patient.bare("PRAGMA user_version = 99")
    before = patient.digest()
    yield patient
    assert patient.digest() == before


def test_a_newer_ledger_is_read(newer: Patient, finished: Finished) -> None:
    with (
        closing(SqliteLedger(newer.data.ledger, read_only=True)) as ledger,
        closing(SqliteLedger(finished.data.ledger, read_only=True)) as old,
    ):
        for name in TABLES:
            assert ledger.table(name) == old.table(name)
        overview = views.overview(ledger, views.find_session(ledger, SESSION))
        assert overview["counts"] == {"complete": 3}
        assert ledger.sessions() == old.sessions()
        assert ledger.after(0, old.head()[0]) == old.after(0, 1000)
        assert ledger.reply(f"start-{SESSION}") == old.reply(f"start-{SESSION}")


def test_what_a_newer_ledger_says_in_new_words_is_news_and_not_damage(newer: Patient) -> None:
    with closing(SqliteLedger(newer.data.ledger, read_only=True)) as ledger:
        with pytest.raises(LedgerTooNew):
            ledger.after(0, 1000)
        with pytest.raises(LedgerTooNew):
            list(ledger.history(SESSION))


def test_a_newer_ledger_that_lacks_a_column_of_ours_is_news_and_not_damage(patient: Patient) -> None:
    patient.bare("ALTER TABLE tickets DROP COLUMN wave")
    patient.bare("PRAGMA user_version = 99")
    with closing(SqliteLedger(patient.data.ledger, read_only=True)) as ledger, pytest.raises(LedgerTooNew):
        ledger.table("tickets")


def test_a_newer_ledger_is_never_written(newer: Patient, finished: Finished) -> None:
    with pytest.raises(LedgerTooNew):
        SqliteLedger(newer.data.ledger)
    with pytest.raises(LedgerTooNew):
        rebuild(newer.data.ledger)
    home = Home(Project.find(finished.repository), newer.data, newer.data.root / "workspaces")
    with pytest.raises(LedgerTooNew):
        open_engine(home, WorkerPlan(1, newer.data.root))


def test_a_newer_ledger_is_exported_and_backed_up(newer: Patient, tmp_path: Path) -> None:
    lines = list(export(newer.data.ledger))
    assert json.loads(lines[-1])["data"] == {"whale": "blue"}
    copy = backup(newer.data.ledger, tmp_path / "copy")
    assert list(export(copy.path)) == lines


def test_of_a_newer_ledger_verify_checks_the_chain_and_says_so(newer: Patient, tmp_path: Path) -> None:
    (problem,) = verify_all(newer.data)
    assert problem.code is Code.NEWER
    harmed = Patient.copy_of(newer.data, tmp_path / "harmed")
    harmed.do("UPDATE events SET body = '{}' WHERE kind = 'WhaleSeen'")
    assert {problem.code for problem in verify_all(harmed.data)} == {Code.NEWER, Code.CHAIN}


# ── the ledger itself ────────────────────────────────────────────────────────────────────────────────────────


def test_closing_folds_the_log_into_the_one_file(path: Path) -> None:
    fill(path)
    assert [entry.name for entry in path.parent.iterdir()] == [path.name]


def test_an_event_that_can_not_be_written_down_fails_its_batch_and_hangs_nobody(path: Path) -> None:
    ledger = SqliteLedger(path)
    ledger.append(Batch.at(ONE, 0, 1000, [started(ONE)])).result(10)
    unspeakable = ev.Noted.model_construct(subject="file", what="a name that is no UTF-8: \udcff")
    bad = ledger.append(Batch.at(ONE, 1, 1001, [unspeakable]))
    with pytest.raises(LedgerError, match="can't be written down"):
        bad.result(10)
    ledger.forgive()
    ledger.append(Batch.at(ONE, 1, 1001, [note("all is well")])).result(10)
    assert ledger.head()[0] == 2
    ledger.close()
    assert [p for p in inspect(path).problems if p.code is not Code.TABLE] == []


def test_a_damaged_ledger_is_opened_for_reading_only(patient: Patient) -> None:
    patient.do("UPDATE head SET seq = seq - 1")
    with pytest.raises(LedgerCorrupt):
        SqliteLedger(patient.data.ledger)
    with closing(SqliteLedger(patient.data.ledger, read_only=True)) as ledger:
        assert ledger.sessions()[0] == SESSION


def test_an_older_ledger_is_read_as_it_is(patient: Patient) -> None:
    patient.bare("ALTER TABLE sessions DROP COLUMN until_ms")
    patient.bare("ALTER TABLE approvals DROP COLUMN risk")
    patient.bare("ALTER TABLE approvals DROP COLUMN reasons")
    patient.bare("ALTER TABLE approvals DROP COLUMN epoch")
    patient.bare("ALTER TABLE approvals DROP COLUMN command")
    patient.bare("ALTER TABLE approvals DROP COLUMN cwd")
    patient.bare("ALTER TABLE approvals DROP COLUMN answered_by")
    patient.bare("ALTER TABLE approvals DROP COLUMN reason")
    patient.bare("DROP TABLE parkings")
    patient.bare("ALTER TABLE sessions DROP COLUMN subscription_usd")
    patient.bare("PRAGMA user_version = 1")
    with closing(SqliteLedger(patient.data.ledger, read_only=True)) as ledger:
        assert {row["until_ms"] for row in ledger.table("sessions")} == {None}
        assert ledger.table("parkings") == []
    assert migrate_file(patient.data.ledger) == (1, 6)
    with closing(SqliteLedger(patient.data.ledger, read_only=True)) as ledger:
        assert {row["until_ms"] for row in ledger.table("sessions")} == {None}
