"""What the ledger rests on beside itself: signed receipts, gates' logs and closed transcripts."""

from __future__ import annotations

import hashlib
import re
import zlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from gzip import BadGzipFile
from typing import BinaryIO

from codeswarm.domain import events as ev
from codeswarm.domain.ids import SessionId, Tree
from codeswarm.domain.results import Receipt, Report
from codeswarm.ledger.artifacts import CHUNK, Artifacts
from codeswarm.ledger.base import Recorded
from codeswarm.ledger.care import RESTORE, Code, Problem

Genuine = Callable[[Receipt], bool]
"""Whether a receipt bears this data directory's own signature."""

BRING_BACK = "bring the file back from a copy of the data directory; nothing else depends on it"
LOOK_ASIDE = f"look in the data directory's outbox for what could not be delivered; else {BRING_BACK}"
KEY_BACK = "bring keys/receipts.key back from your copy of it"
_DIGEST = re.compile(r"[0-9a-f]{64}")


# ── receipts ─────────────────────────────────────────────────────────────────────────────────────────────────


@dataclass(slots=True)
class _Seen:
    """One session's receipts and merges so far."""

    passing: dict[str, Receipt] = field(default_factory=dict)
    """By id; only those that pass and are genuine."""
    gates: dict[str, ev.GateRequested] = field(default_factory=dict)
    merges: dict[int, ev.LandingMerged] = field(default_factory=dict)


def receipt_problems(records: Iterable[Recorded], genuine: Genuine | None) -> Iterator[Problem]:
    """Forged receipts, and landings and saves that stand on none. `genuine` None: there is no key to tell by."""
    all_records = list(records)
    receipts = [receipt for record in all_records for receipt in _receipts(record.event)]
    if genuine is not None and len(receipts) > 1 and not any(map(genuine, receipts)):
        what = f"none of the {len(receipts)} receipts was signed with it: it is not this data directory's key"
        yield Problem(Code.KEY, "key", what, KEY_BACK)
        genuine = None
    sessions: dict[SessionId, _Seen] = {}
    for record in all_records:
        yield from _receipt_step(sessions.setdefault(record.session, _Seen()), record, genuine)


def _receipts(event: ev.Event) -> tuple[Receipt, ...]:
    return event.receipts if isinstance(event, ev.GateFinished | ev.ReceiptsRecorded) else ()


def _receipt_step(seen: _Seen, record: Recorded, genuine: Genuine | None) -> Iterator[Problem]:
    event, where = record.event, f"event {record.seq}"
    for receipt in _receipts(event):
        if genuine is not None and not genuine(receipt):
            what = f"receipt {receipt.id} of `{receipt.command}` on tree {receipt.tree} is not signed by this router"
            yield Problem(Code.RECEIPT, where, what)
        elif receipt.passes:
            seen.passing[receipt.id] = receipt
    match event:
        case ev.GateRequested():
            seen.gates[event.gate] = event
        case ev.GateFinished():
            gate = seen.gates.get(event.gate)
            for receipt in event.receipts:
                if gate is not None and receipt.tree != gate.tree:
                    what = f"receipt {receipt.id} is for tree {receipt.tree}, but gate {gate.gate} ran on {gate.tree}"
                    yield Problem(Code.RECEIPT, where, what)
        case ev.LandingMerged():
            seen.merges[event.landing] = event
        case ev.TicketLanded() | ev.CaughtUp():
            yield from _landed(seen, event, where)
        case ev.SaveIntended():
            yield from _stands_on(seen, event.receipts, event.tree, where, f"the save {event.checkpoint}")


def _landed(seen: _Seen, event: ev.TicketLanded | ev.CaughtUp, where: str) -> Iterator[Problem]:
    landing = f"landing {event.landing}"
    yield from _stands_on(seen, event.receipts, event.tree, where, landing)
    merged = seen.merges.get(event.landing)
    if merged is None:
        yield Problem(Code.COMMIT, where, f"{landing} was never merged")
        return
    if (merged.old, merged.commit, merged.tree) != (event.old, event.new, event.tree):
        yield Problem(Code.COMMIT, where, f"{landing} merged {merged.commit} on {merged.old}, but landed {event.new}")
    shown_green = {seen.passing[id_].command for id_ in event.receipts if id_ in seen.passing}
    for command in merged.commands:
        if command.command not in shown_green:
            what = f"{landing} has no genuine receipt that `{command.command}` passed on tree {event.tree}"
            yield Problem(Code.RECEIPT, where, what)


def _stands_on(seen: _Seen, ids: tuple[str, ...], tree: Tree, where: str, what: str) -> Iterator[Problem]:
    if not ids:
        yield Problem(Code.RECEIPT, where, f"{what} names no receipt at all")
    for id_ in ids:
        receipt = seen.passing.get(id_)
        if receipt is None:
            yield Problem(Code.RECEIPT, where, f"{what} stands on receipt {id_}, which does not exist or is no pass")
        elif receipt.tree != tree:
            yield Problem(Code.RECEIPT, where, f"{what} of tree {tree} stands on receipt {id_} for tree {receipt.tree}")


# ── transcripts and logs ─────────────────────────────────────────────────────────────────────────────────────


def artifact_problems(records: Iterable[Recorded], artifacts: Artifacts) -> Iterator[Problem]:
    """Gates' logs, tickets' sources and closed transcripts that are missing or not what their digests were made of."""
    logs: dict[str, str] = {}
    records = list(records)
    forgotten = {record.session for record in records if isinstance(record.event, ev.TranscriptsForgotten)}
    for record in records:
        for name, digest in _logs(record.event):
            logs.setdefault(digest, f"the log of gate {name} (event {record.seq})")
        if isinstance(record.event, ev.SourceKept):
            logs.setdefault(record.event.source.digest, f"the file that tickets came from (event {record.seq})")
        report = getattr(record.event, "report", None)
        if isinstance(report, Report) and report.transcript and record.session not in forgotten:
            yield from _transcript(record, report, artifacts)
    for digest, what in logs.items():
        yield from _log(digest, what, artifacts)


def _logs(event: ev.Event) -> Iterator[tuple[str, str]]:
    report = getattr(event, "report", None)
    runs = report.gate_runs if isinstance(report, Report) else event.runs if isinstance(event, ev.GateFinished) else ()
    yield from ((run.name, run.log) for run in runs if run.log)
    yield from ((receipt.name, receipt.log) for receipt in _receipts(event) if receipt.log)


def _log(digest: str, what: str, artifacts: Artifacts) -> Iterator[Problem]:
    if not _DIGEST.fullmatch(digest):
        yield Problem(Code.ARTIFACT, f"artifact {digest[:80]!r}", f"{what} is named by what is no digest", RESTORE)
        return
    found = _measured(artifacts.open(digest))[0]
    if found is None:
        yield Problem(Code.ARTIFACT, f"artifact {digest}", f"{what} is missing", BRING_BACK)
    elif found != digest:
        yield Problem(Code.ARTIFACT, f"artifact {digest}", f"{what} was changed: its digest is {found} now", BRING_BACK)


def _transcript(record: Recorded, report: Report, artifacts: Artifacts) -> Iterator[Problem]:
    ticket, epoch = getattr(record.event, "ticket", ""), getattr(record.event, "epoch", 0)
    digest, size = _measured(artifacts.open_transcript(record.session, ticket, epoch))
    where = f"transcript {record.session}:{ticket}:{epoch}"
    wanted = (report.transcript_size, report.transcript)
    found = (size, digest or hashlib.sha256().hexdigest())
    if found == wanted:
        return
    if digest is None:
        yield Problem(Code.ARTIFACT, where, f"is missing; it had {wanted[0]} bytes", LOOK_ASIDE)
    elif size != wanted[0]:
        yield Problem(Code.ARTIFACT, where, f"has {size} bytes; it was closed with {wanted[0]}", LOOK_ASIDE)
    else:
        yield Problem(Code.ARTIFACT, where, f"was changed after it was closed: its digest is {found[1]}", BRING_BACK)


def _measured(file: BinaryIO | None) -> tuple[str | None, int]:
    """The SHA-256 of a file's bytes, and how many there are; None where there is no such file. Raises: OSError.

    What is damaged so that it can't be unpacked has a digest, too, and that of nothing kept.
    """
    if file is None:
        return None, 0
    digest, size = hashlib.sha256(), 0
    with file:
        try:
            while data := file.read(CHUNK):
                digest.update(data)
                size += len(data)
        except (EOFError, BadGzipFile, zlib.error):
            digest.update(b"[damaged]")
    return digest.hexdigest(), size
