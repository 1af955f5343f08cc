"""What every ledger does. Subclass `LedgerContract` and give it a fixture `ledger` that is empty and writable."""

from __future__ import annotations

import threading

import pytest

from codeswarm.domain import events as ev
from codeswarm.domain.evolve import evolve
from codeswarm.domain.ids import Commit, SessionId, TicketId, Tree
from codeswarm.domain.session import Session
from codeswarm.domain.settings import Settings
from codeswarm.domain.ticket import TicketSpec
from codeswarm.errors import VersionConflict
from codeswarm.ledger.base import GENESIS, Batch, Ledger, Recorded, Reply, chain
from codeswarm.ledger.projection import rows_after

ONE, TWO = SessionId("one"), SessionId("two")


def started(session: SessionId) -> ev.SessionStarted:
    """The first event of a session."""
    return ev.SessionStarted(
        session=session,
        name="",
        goal="a goal",
        base_branch="main",
        base=Commit("0" * 40),
        base_tree=Tree("1" * 40),
        settings=Settings(),
        by="ada",
    )


def note(text: str) -> ev.Noted:
    return ev.Noted(subject="test", what=text)


class LedgerContract:
    """Inherit it in a test module; every method is a test."""

    @pytest.fixture
    def ledger(self) -> Ledger:
        raise NotImplementedError("give the suite a fixture `ledger`")

    def append(self, ledger: Ledger, session: SessionId, version: int, *events: ev.Event) -> list[Recorded]:
        return ledger.append(Batch.at(session, version, 1000 + version, events)).result(10)

    def test_an_empty_ledger_has_no_history(self, ledger: Ledger) -> None:
        assert ledger.head() == (0, GENESIS)
        assert ledger.sessions() == []
        assert list(ledger.history(ONE)) == []
        assert ledger.after(0, 10) == []

    def test_what_was_appended_is_read_back_the_same_and_in_order(self, ledger: Ledger) -> None:
        first = self.append(ledger, ONE, 0, started(ONE), note("a"))
        other = self.append(ledger, TWO, 0, started(TWO))
        last = self.append(ledger, ONE, 2, note("ü → \n \u0000 \U0001f41d"))
        assert list(ledger.history(ONE)) == first + last
        assert list(ledger.history(TWO)) == other
        assert ledger.after(0, 10) == first + other + last
        assert ledger.sessions() == [ONE, TWO]

    def test_sequence_numbers_have_no_gap_and_versions_count_within_a_session(self, ledger: Ledger) -> None:
        self.append(ledger, ONE, 0, started(ONE))
        self.append(ledger, TWO, 0, started(TWO), note("x"))
        self.append(ledger, ONE, 1, note("y"))
        records = ledger.after(0, 10)
        assert [record.seq for record in records] == [1, 2, 3, 4]
        assert [record.version for record in records] == [1, 1, 2, 2]
        assert [record.at_ms for record in records] == [1000, 1000, 1000, 1001]

    def test_after_starts_behind_a_number_and_stops_at_the_limit(self, ledger: Ledger) -> None:
        self.append(ledger, ONE, 0, started(ONE), *(note(str(i)) for i in range(5)))
        assert [record.seq for record in ledger.after(2, 3)] == [3, 4, 5]
        assert [record.seq for record in ledger.after(6, 3)] == []
        self.append(ledger, TWO, 0, started(TWO))
        assert [record.seq for record in ledger.after(4, 9, ONE)] == [5, 6]
        assert [record.seq for record in ledger.after(0, 9, TWO)] == [7]

    def test_a_batch_on_an_old_version_is_refused_and_changes_nothing(self, ledger: Ledger) -> None:
        self.append(ledger, ONE, 0, started(ONE))
        for wrong in (0, 2):
            with pytest.raises(VersionConflict):
                self.append(ledger, ONE, wrong, note("never"))
            ledger.forgive()
        assert ledger.head()[0] == 1
        self.append(ledger, ONE, 1, note("goes on"))

    def test_what_is_queued_behind_a_refused_batch_of_its_session_is_refused_until_that_is_forgiven(
        self, ledger: Ledger
    ) -> None:
        """It was decided on top of what is not there, even where its version happens to fit."""
        self.append(ledger, ONE, 0, started(ONE), note("unseen by whoever decides next"))
        behind = [ledger.append(Batch.at(ONE, version, 0, [note("never")])) for version in (1, 2)]
        other = ledger.append(Batch.at(TWO, 0, 0, [started(TWO)]))
        for future in behind:
            with pytest.raises(VersionConflict):
                future.result(10)
        assert [record.seq for record in other.result(10)] == [3], "other sessions are not concerned"
        ledger.forgive()
        assert [record.version for record in self.append(ledger, ONE, 2, note("goes on"))] == [3]

    def test_events_are_chained_by_their_hashes(self, ledger: Ledger) -> None:
        self.append(ledger, ONE, 0, started(ONE), note("a"))
        previous = GENESIS
        for record in ledger.after(0, 10):
            body = record.event.model_dump_json()
            previous = chain(
                previous, record.seq, record.session, record.version, record.at_ms, record.event.kind, body
            )
        assert ledger.head() == (2, previous)

    def test_listeners_hear_every_event_once_and_in_order(self, ledger: Ledger) -> None:
        heard: list[int] = []
        ledger.listen(lambda records: heard.extend(record.seq for record in records))
        futures = [ledger.append(Batch.at(ONE, 0, 0, [started(ONE)]))]
        futures += [ledger.append(Batch.at(ONE, version, 0, [note(str(version))])) for version in range(1, 300)]
        for future in futures:
            future.result(10)
        assert heard == list(range(1, 301))

    def test_many_threads_append_without_losing_or_mixing_anything(self, ledger: Ledger) -> None:
        def write(session: SessionId) -> None:
            self.append(ledger, session, 0, started(session))
            for version in range(1, 50):
                self.append(ledger, session, version, note(str(version)))

        sessions = [SessionId(f"s{i}") for i in range(6)]
        threads = [threading.Thread(target=write, args=(session,)) for session in sessions]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert ledger.head()[0] == 300
        for session in sessions:
            assert [record.version for record in ledger.history(session)] == list(range(1, 51))

    def test_a_reply_is_there_once_its_events_are(self, ledger: Ledger) -> None:
        assert ledger.reply("key") is None
        ledger.append(Batch.at(ONE, 0, 0, [started(ONE)], replies=[Reply("key", '{"ok":true}')])).result(10)
        assert ledger.reply("key") == '{"ok":true}'

    def test_the_first_reply_under_a_key_stays(self, ledger: Ledger) -> None:
        ledger.append(Batch.at(ONE, 0, 0, [started(ONE)], replies=[Reply("key", "first")])).result(10)
        ledger.append(Batch.at(TWO, 0, 0, [started(TWO)], replies=[Reply("key", "second")])).result(10)
        assert ledger.reply("key") == "first"

    def test_a_refused_batch_leaves_no_reply_and_no_rows(self, ledger: Ledger) -> None:
        session, rows = self.planned(ONE)
        future = ledger.append(Batch.at(ONE, 5, 0, [note("never")], rows=rows, replies=[Reply("key", "{}")]))
        with pytest.raises(VersionConflict):
            future.result(10)
        assert session.version
        assert ledger.reply("key") is None
        assert ledger.table("tickets") == []

    def planned(self, id_: SessionId) -> tuple[Session, dict[str, list[tuple[object, ...]]]]:
        """A session with two tickets, and the rows of its start."""
        session = Session(id_)
        tickets = (
            TicketSpec(id=TicketId("b"), title="second", blocked_by=(TicketId("a"),)),
            TicketSpec(id=TicketId("a"), title="first"),
        )
        events = [started(id_), ev.PlanProposed(plan=1, tickets=tickets, by="ada"), ev.PlanAccepted(plan=1, by="ada")]
        for event in events:
            evolve(session, event, 7)
        return session, rows_after(session, events, 7)

    def test_rows_are_written_with_their_events_and_the_last_one_counts(self, ledger: Ledger) -> None:
        session, rows = self.planned(ONE)
        ledger.append(Batch.at(ONE, 0, 7, [started(ONE)], rows=rows)).result(10)
        assert [(row["id"], row["status"]) for row in ledger.table("tickets", session=ONE)] == [
            ("b", "pending"),
            ("a", "ready"),
        ]
        held = ev.TicketHeld(ticket=TicketId("a"), reason="because", by="ada")
        evolve(session, held, 8)
        ledger.append(Batch.at(ONE, 1, 8, [held], rows=rows_after(session, [held], 8))).result(10)
        found = ledger.table("tickets", session=ONE, id="a")
        assert [(row["status"], row["reason"]) for row in found] == [("on_hold", "because")]
        assert ledger.table("tickets", session=TWO) == []

    def test_a_row_has_the_columns_that_were_asked_for_in_that_order(self, ledger: Ledger) -> None:
        _, rows = self.planned(ONE)
        ledger.append(Batch.at(ONE, 0, 7, [started(ONE)], rows=rows)).result(10)
        found = ledger.table("tickets", only=("wave", "id"), session=ONE)
        assert [list(row.items()) for row in found] == [[("wave", 1), ("id", "b")], [("wave", 0), ("id", "a")]]

    def test_an_unknown_table_or_column_is_an_error(self, ledger: Ledger) -> None:
        with pytest.raises(KeyError):
            ledger.table("nothing")
        with pytest.raises(KeyError):
            ledger.table("tickets", colour="red")
        with pytest.raises(KeyError):
            ledger.table("tickets", only=("id", "colour"))
