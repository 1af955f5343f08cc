"""The log read as it lies in the file, trusting nothing: its numbers, its chain, and whether each event can be read."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from pydantic import ValidationError
from pydantic_core import from_json, to_json

from codeswarm.domain.events import Event, SessionStarted, parse_event
from codeswarm.domain.ids import SessionId
from codeswarm.ledger.base import GENESIS, Recorded, chain
from codeswarm.ledger.care import LATEST_MS, RESTORE, UPGRADE, Code, Problem, shown
from codeswarm.ledger.reader import SQL

RawEvent = tuple[Any, ...]
"""(seq, session, version, at_ms, kind, body, hash), as they stand in the file."""

_TYPES = (int, str, int, int, str, str, str)


@dataclass(slots=True)
class Log:
    """What could be read. The problems are of the log alone: without any, everything else can be made from it."""

    records: list[Recorded] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    complete: bool = True
    """Whether the file could be read to the end of the log."""
    cut: dict[SessionId, int] = field(default_factory=dict)
    """Session → its first event that can't be understood: what follows can't be added up."""
    seq: int = 0
    hash: str = GENESIS
    versions: dict[SessionId, int] = field(default_factory=dict)

    def add(self, code: Code, where: str, what: str) -> None:
        self.problems.append(Problem(code, where, what))


def read_log(db: sqlite3.Connection, *, numbers_only: bool = False) -> Log:
    """Read and check all events and the head.

    `numbers_only`: a newer program wrote them, so they are not understood; numbers and hashes still are.
    """
    log = Log()
    for row in _rows(db, log):
        _check_numbers(log, row)
        _check_hash(log, row)
        if not numbers_only:
            _check_content(log, row)
    _check_head(db, log)
    return log


def _rows(db: sqlite3.Connection, log: Log) -> Iterator[RawEvent]:
    """All events as far as they can be read."""
    try:
        for row in db.execute(SQL["everything"]):
            if tuple(map(type, row)) != _TYPES:
                _break_off(log, f"what follows is {shown(row)}")
                return
            yield row
    except sqlite3.DatabaseError as error:
        _break_off(log, str(error))


def _break_off(log: Log, why: str) -> None:
    what = f"no event after {log.seq} can be read ({why}), so little is known of what should be in the tables"
    log.add(Code.FILE, "table events", what)
    log.complete = False


def _check_numbers(log: Log, row: RawEvent) -> None:
    seq, session, version, at_ms = row[:4]
    if seq != log.seq + 1:
        gap = f"event {log.seq + 1} is" if seq == log.seq + 2 else f"events {log.seq + 1} to {seq - 1} are"
        log.add(Code.SEQUENCE, f"event {seq}", f"{gap} missing before it")
    expected = log.versions.get(session, 0) + 1
    if version != expected:
        what = f"is version {version} of session {session}, where version {expected} should follow"
        log.add(Code.SEQUENCE, f"event {seq}", what)
    if not 0 < at_ms < LATEST_MS:
        log.add(Code.EVENT, f"event {seq}", f"happened at {shown(at_ms)} ms, which is no time that could be")
    log.seq = seq
    log.versions[session] = version


def _check_hash(log: Log, row: RawEvent) -> None:
    """Each event is checked on the hash that is written before it, so one changed event is one problem."""
    seq, session, version, at_ms, kind, body, found = row
    try:
        made = chain(log.hash, seq, session, version, at_ms, kind, body)
    except UnicodeEncodeError:
        made = "no hash: it holds bytes that are no text"
    if made != found:
        what = f"its hash does not fit: it, or what stood before it, was changed ({kind} of session {session})"
        log.add(Code.CHAIN, f"event {seq}", what)
    log.hash = found


def _check_content(log: Log, row: RawEvent) -> None:
    seq, session, version, at_ms, kind, body, _ = row
    try:
        event = parse_event(kind, body)
    except KeyError:
        what = f"is of the kind {shown(kind)}, which is not known"
        log.problems.append(Problem(Code.EVENT, f"event {seq}", what, f"{UPGRADE}; or {RESTORE}"))
        log.cut.setdefault(SessionId(session), seq)
        return
    except ValueError as error:
        log.add(Code.EVENT, f"event {seq}", f"can't be read as {kind}: {_why(error)}")
        log.cut.setdefault(SessionId(session), seq)
        return
    if not is_canonical(event, body):
        log.add(Code.EVENT, f"event {seq}", f"{kind} is not written as the program writes it: someone else has")
    starts = isinstance(event, SessionStarted)
    if starts != (version == 1) or (isinstance(event, SessionStarted) and event.session != session):
        log.add(Code.EVENT, f"event {seq}", f"{kind} can't be version {version} of session {session}")
    log.records.append(Recorded(seq, SessionId(session), version, at_ms, event))


def _why(error: ValueError) -> str:
    if not isinstance(error, ValidationError):
        return str(error)
    wrong = error.errors(include_url=False, include_context=False, include_input=False)
    return "; ".join(f"{'.'.join(map(str, item['loc'])) or 'its body'}: {item['msg']}" for item in wrong)


def is_canonical(event: Event, body: str) -> bool:
    """Whether `body` is how `event` is written. Fields that are younger than it may be missing."""
    if event.written() == body:
        return True
    told = from_json(body)
    return to_json(told).decode() == body and _tells(event.model_dump(mode="json"), told)


def _tells(whole: Any, told: Any) -> bool:
    """Whether `told` is `whole` with nothing but keys left out."""
    if isinstance(whole, dict) and isinstance(told, dict):
        same_order = [key for key in whole if key in told] == list(told)
        return same_order and all(_tells(whole[key], value) for key, value in told.items())
    if isinstance(whole, list) and isinstance(told, list):
        return len(whole) == len(told) and all(map(_tells, whole, told))
    return type(whole) is type(told) and bool(whole == told)


def _check_head(db: sqlite3.Connection, log: Log) -> None:
    try:
        row = db.execute(SQL["head"]).fetchone()
    except sqlite3.DatabaseError as error:
        log.add(Code.FILE, "table head", f"can't be read: {error}")
        return
    head = (0, GENESIS) if row is None else row
    if head == (log.seq, log.hash):
        return
    if head[0] != log.seq:
        what = (
            f"the log ends at event {log.seq}, but its head says {head[0]}: events were lost or added behind its back"
        )
    else:
        what = f"the hash of the last event ({log.seq}) is not the one that the head tells"
    log.add(Code.SEQUENCE, "head", what)
