"""The care of a ledger: what is wrong with one is told as values, all of it at once, each with what to do next.

    verify    reads everything and changes nothing        `engine.verify.verify_all`, on top of `ledger.verify.inspect`
    rebuild   writes the tables anew from the log          `ledger.rebuild`
    export    the log as JSON Lines                        `ledger.export`
    backup    a copy of the ledger while it is in use      `ledger.backup`
    restore   a backup at the ledger's place               `ledger.restore`

Damage must never surprise whoever looks for it: a part that can't be read is a finding, not a crash.
"""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from codeswarm.ledger.connection import connect

RESTORE = "codeswarm ledger restore BACKUP   # without one: `codeswarm ledger export` tells what can still be read"
REBUILD = "codeswarm ledger rebuild"
UPGRADE = "pip install --upgrade codeswarm"

LATEST_MS = 253_402_300_800_000
"""The end of the year 9999: no event happened later, and no calendar shows it."""


class Code(StrEnum):
    """What kind of thing is wrong. The words are stable: programs may rely on them."""

    FILE = "file"
    """SQLite can't read the file, or finds it damaged."""
    NEWER = "newer"
    """A newer program has written here."""
    SCHEMA = "schema"
    """Tables or triggers are missing, changed or foreign."""
    SEQUENCE = "sequence"
    """Events or the head are missing, doubled or out of order."""
    CHAIN = "chain"
    """An event is not what its hash was made of."""
    EVENT = "event"
    """An event can't be read, or is not written as its kind would be."""
    REPLAY = "replay"
    """An event does not fit what came before."""
    INVARIANT = "invariant"
    """The events add up to something that must never be."""
    TABLE = "table"
    """A row of a projection is not what the log says."""
    REPLY = "reply"
    RECEIPT = "receipt"
    KEY = "key"
    ARTIFACT = "artifact"
    """A transcript or a gate's log is missing or not what its digest was made of."""
    REF = "ref"
    COMMIT = "commit"
    OBJECT = "object"
    """git finds the store's objects damaged or incomplete."""
    UNCHECKED = "unchecked"
    """A part could not be looked at to its end, so that nothing is known of the rest of it."""


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong: `where` names it, `what` says how, `next_step` what a person can do about it."""

    code: Code
    where: str
    what: str
    next_step: str = RESTORE
    repairable: bool = False
    """Nothing is lost: the ledger itself tells how it should be, and `next_step` puts it right."""

    def __str__(self) -> str:
        return f"{self.where}: {self.what}"


def checked(part: str, check: Callable[[], Iterable[Problem]]) -> list[Problem]:
    """What a check finds; where it breaks down, what it found so far and that it broke down."""
    found: list[Problem] = []
    try:
        found.extend(check())
    except Exception as error:  # noqa: BLE001 - whatever damage does to its reader is a finding, never a crash
        what = f"could not be checked to its end: {type(error).__name__}: {error}"
        found.append(Problem(Code.UNCHECKED, part, what))
    return found


@contextlib.contextmanager
def reading(path: Path) -> Iterator[sqlite3.Connection]:
    """One consistent look at a ledger, beside a live writer or not. Text that is no UTF-8 comes with surrogates.

    Raises: LedgerError where there is no ledger that SQLite could open.
    """
    db = connect(path, read_only=True)
    try:
        db.text_factory = _text
        db.execute("BEGIN")
        yield db
    finally:
        db.close()


def _text(data: bytes) -> str:
    return data.decode(errors="surrogateescape")


def shown(value: object) -> str:
    """A value in a sentence, at most a line of it."""
    text = repr(str(value) if isinstance(value, str) else value)
    return text if len(text) <= 90 else text[:60] + " … " + text[-20:]
