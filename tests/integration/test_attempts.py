"""The engine's side of an attempt, on a real store and a real ledger, with a worker that is played."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from codeswarm.domain import commands as cmd, events as ev
from codeswarm.domain.ids import SessionId, TicketId
from codeswarm.domain.results import GateOutcome, Report
from codeswarm.domain.settings import Gates, Settings
from codeswarm.domain.ticket import TicketSpec
from codeswarm.engine import refs
from codeswarm.protocol import CompleteRequest
from tests.support.finished_session import FAST, Teller, snapshot
from tests.support.repositories import own_home

S, T = SessionId("harbour1"), TicketId("t")


@pytest.fixture
async def teller(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Teller:
    """One ticket, at work on its first attempt."""
    own_home(tmp_path / "person", monkeypatch)
    teller = Teller(tmp_path / "swarm")
    teller.engine.kernel.start()
    settings = Settings(roles={"*": ("command:agent",)}, gates=Gates(fast=FAST), default_pipeline="single")
    await teller.start(S, settings, (TicketSpec(id=T, title="Do it"),))
    await teller.gate(S, GateOutcome.GREEN)
    await teller.claim(S)
    await teller.prepare_attempt(T, 1, S)
    return teller


async def test_more_changed_files_than_an_event_can_name_are_kept_and_not_taken(teller: Teller) -> None:
    attempts, kernel = teller.engine.attempts, teller.engine.kernel
    files = {f"dump/{number:05}-{'n' * 200}": "x" for number in range(25_000)}
    await attempts.snapshot(S, T, 1, snapshot(files))
    work = (await attempts.work(S, T, 1, snapshot({}))).work
    assert work.unnamed
    assert await attempts.complete(S, T, 1, CompleteRequest(epoch=1, report=Report(work=work)))
    session = kernel.session(S)
    attempt = session.tickets[T].attempts[1]
    assert str(attempt.status) == "failed"
    assert attempt.start is not None
    store = teller.engine.store
    assert len(store.changed_files(attempt.start, f"refs/codeswarm/wip/{S}/{T}/1")) == 25_000
    assert session.tickets[T].files == ()
    sizes = [len(record.event.model_dump_json()) for record in kernel.ledger.history(S)]
    assert max(sizes) < 6 << 20


async def test_snapshots_of_one_attempt_that_come_at_once_are_taken_one_after_the_other(teller: Teller) -> None:
    """A request that timed out at the worker is sent again while the router is still at work on it."""
    attempts, store = teller.engine.attempts, teller.engine.store
    files = {f"f{number}": "x" for number in range(200)}
    answers = await asyncio.gather(*(attempts.snapshot(S, T, 1, snapshot({**files, f"n{n}": "x"})) for n in range(4)))
    assert len({answer.commit for answer in answers}) == 4
    attempt = teller.engine.kernel.session(S).tickets[T].attempts[1]
    wip = f"refs/codeswarm/wip/{S}/{T}/1"
    assert store.commit(wip) == attempt.snapshot
    assert attempt.start is not None
    assert len(store.changed_files(attempt.start, wip)) == 204
    work, again = await asyncio.gather(*(attempts.work(S, T, 1, snapshot(files)) for _ in range(2)))
    assert work.work.tree == again.work.tree == store.tree(wip)
    await teller.do(cmd.LoseLease(subject=T, epoch=1, reason="its worker died"), S)
    await asyncio.gather(*(attempts.salvage(S, T, 1, snapshot({f"s{n}": "x"})) for n in range(4)))
    assert len(store.changed_files(attempt.start, wip)) == 208
    assert store.refs("refs/codeswarm/incoming") == {}


async def test_a_task_branch_that_cannot_be_moved_fails_no_report_and_hinders_no_other(teller: Teller) -> None:
    """The lock of an `update-ref` that was killed stands in its way."""
    other, store = TicketId("u"), teller.engine.store
    more = TicketSpec(id=other, title="Do that", blocked_by=())
    await teller.do(cmd.AddTickets(tickets=(more,), by="ada"), S)
    await teller.claim(S)
    lock = store.path / f"{refs.task(S, T)}.lock"
    lock.parent.mkdir(parents=True, exist_ok=True)
    lock.touch()
    await teller.finish_writing(T, 1, {"t.py": "1\n"}, GateOutcome.GREEN)
    await teller.write(other, 1, {"u.py": "1\n"}, GateOutcome.GREEN)
    assert store.refs(refs.task(S, "")) == {refs.task(S, other): teller.engine.kernel.session(S).tickets[other].work}

    branches, seen = teller.engine.branches, teller.engine.kernel.ledger.head()[0]
    moving = asyncio.create_task(branches.run())
    note = (await anext(teller.engine.kernel.subscribe(seen, S))).event
    assert isinstance(note, ev.Noted)
    assert refs.task(S, T) in note.what
    lock.unlink()
    await branches.show(S, other)
    assert store.commit(refs.task(S, T)) == teller.engine.kernel.session(S).tickets[T].work
    moving.cancel()
