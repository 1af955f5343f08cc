"""The engine's side of an attempt, on a real store and a real ledger, with a worker that is played."""

from __future__ import annotations

from pathlib import Path

import pytest

from codeswarm.domain.ids import SessionId, TicketId
from codeswarm.domain.results import GateOutcome, Report
from codeswarm.domain.settings import Gates, Settings
from codeswarm.domain.ticket import TicketSpec
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
