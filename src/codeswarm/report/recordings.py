"""Attempts that were kept, written as recordings: whatever ran can be played again by `replay:DIR`.

A transcript tells what was said and when, the store what the files were at the end, the ledger what was answered. What
the files were in between is not kept: they are all written just before the answer.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from codeswarm.agents.replay.recording import content_of, recording_path
from codeswarm.domain import events as ev
from codeswarm.domain.ids import Commit, TicketId
from codeswarm.domain.results import Report
from codeswarm.git.store import Store
from codeswarm.ledger.artifacts import Artifacts
from codeswarm.ledger.base import Recorded

Step = dict[str, Any]


@dataclass(slots=True)
class Kept:
    """What is known of one attempt."""

    session: str
    ticket: TicketId
    epoch: int
    phase: str
    number: int
    agent: str
    start: Commit | None = None
    end: Commit | None = None
    """Its last files."""
    told: str = ""
    report: Report | None = None
    succeeded: bool = False


def kept_attempts(records: Iterable[Recorded], ticket: TicketId) -> list[Kept]:
    """The attempts of a ticket, in their order."""
    found: dict[int, Kept] = {}
    for record in records:
        event = record.event
        if getattr(event, "ticket", None) != ticket:
            continue
        if isinstance(event, ev.AttemptLeased):
            kept = Kept(record.session, ticket, event.epoch, event.phase, event.attempt, event.agent)
            found[event.epoch] = kept
        elif (attempt := found.get(getattr(event, "epoch", -1))) is not None:
            _learn(attempt, event)
    return list(found.values())


def _learn(attempt: Kept, event: ev.Event) -> None:
    if isinstance(event, ev.AttemptPrepared):
        attempt.start = event.start
    elif isinstance(event, ev.AttemptStarted):
        attempt.told = event.told
    elif isinstance(event, ev.SnapshotTaken):
        attempt.end = event.commit
    report = getattr(event, "report", None)
    if isinstance(report, Report):
        attempt.report, attempt.succeeded = report, isinstance(event, ev.AttemptSucceeded)
        attempt.end = report.work.commit if report.work is not None else attempt.end


def write_recording(attempt: Kept, store: Store, artifacts: Artifacts, folder: Path) -> Path | None:
    """Write an attempt as a recording; None where it never began. Raises: OSError, GitError."""
    if attempt.start is None:
        return None
    path = recording_path(folder, attempt.ticket, attempt.phase, attempt.number)
    path.parent.mkdir(parents=True, exist_ok=True)
    said = list(_said(attempt, artifacts))
    last = said[-1]["t"] if said else 0.0
    steps = [*said, *({"t": last, **step} for step in (*_files(attempt, store), *_end(attempt)))]
    path.write_text("".join(json.dumps(step) + "\n" for step in steps), encoding="utf-8")
    return path


def _said(attempt: Kept, artifacts: Artifacts) -> Iterator[Step]:
    """What it said, with the seconds since its first word."""
    file = artifacts.open_transcript(attempt.session, attempt.ticket, attempt.epoch)
    if file is None:
        return
    began = None
    with file:
        for line in file:
            row = _read(line)
            if row is not None:
                began = row["at_ms"] if began is None else began
                usage = row["data"] if row["type"] == "usage" and isinstance(row.get("data"), dict) else {}
                t = max(row["at_ms"] - began, 0) / 1000
                yield {**usage, "t": t, "type": row["type"], "text": str(row.get("text", ""))}


def _read(line: bytes) -> dict[str, Any] | None:
    """A line of a transcript; None for one that was cut off."""
    try:
        row = json.loads(line)
    except ValueError:
        return None
    whole = isinstance(row, dict) and isinstance(row.get("at_ms"), int) and isinstance(row.get("type"), str)
    return row if whole else None


def _files(attempt: Kept, store: Store) -> Iterator[Step]:
    """How its files differ from what it began with, as far as they are plain files or links."""
    assert attempt.start is not None
    if attempt.end is None:
        return
    changed = store.changed_files(attempt.start, attempt.end)
    entries = store.entries(attempt.end, changed)
    yield from ({"type": "delete", "path": path} for path in changed if path not in entries)
    for path, (mode, _) in entries.items():
        if mode in ("100644", "100755", "120000"):
            yield {"type": "write", "path": path, "mode": mode, **content_of(store.file(attempt.end, path) or b"")}


def _end(attempt: Kept) -> Iterator[Step]:
    report = attempt.report
    if report is None:  # lost: it was cut off in the middle
        yield {"type": "end", "signal": 9}
        return
    if answer := _answer(report):
        yield {"type": "result", "value": answer}
    yield {"type": "end", "exit": 1 if report.failure is not None else 0}


def _answer(report: Report) -> dict[str, Any]:
    """The structured answer that a report was made of."""
    told = report.model_dump(mode="json", exclude_defaults=True, exclude_none=True)
    keys = ("contract", "verdict", "findings", "plan", "tickets", "answer", "decisions", "proposed_tickets")
    answer = {key: told[key] for key in keys if told.get(key)}
    return answer | ({"dispute": {"reason": report.dispute}} if report.dispute else {})
