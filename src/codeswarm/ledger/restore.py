"""A backup at the ledger's place, and what stood there kept beside it."""

from __future__ import annotations

import contextlib
import os
import shlex
import shutil
import sqlite3
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from codeswarm.errors import LedgerCorrupt, LedgerError, UsageError
from codeswarm.ledger.backup import check_whole, sync
from codeswarm.ledger.care import reading

SCRATCH = ("-wal", "-shm")
"""What SQLite keeps beside a ledger; with another one they would be taken for its own."""


@dataclass(frozen=True, slots=True)
class Restored:
    """A ledger that stands at its place again: its last event, and where the one before it is kept now."""

    seq: int
    hash: str
    kept: Path | None


def restore(backup: Path, ledger: Path) -> Restored:
    """Put a backup at the ledger's place. The caller holds the router's lock.

    The backup is read whole before anything moves. The ledger that was there, and what SQLite keeps beside it, get
    names of their own next to it: nothing is written over. Killed in between, the same command does it again.
    Raises: UsageError where the backup can't be read; LedgerCorrupt where it is damaged itself; LedgerError.
    """
    seq, hash_ = _check(backup)
    new = ledger.with_name(f"{ledger.name}.restored")
    shutil.copyfile(backup, new)
    new.chmod(0o600)
    sync(new, os.O_RDONLY)
    kept = _put_aside(ledger)
    new.replace(ledger)
    sync(ledger.parent, os.O_RDONLY | os.O_DIRECTORY)
    return Restored(seq, hash_, kept)


def _check(backup: Path) -> tuple[int, str]:
    """The head of a backup that is whole."""
    if not backup.is_file():
        raise UsageError(f"there is no backup {backup}", "no such file", f"ls {shlex.quote(str(backup.parent))}")
    try:
        with reading(backup) as db, closing(db):
            return check_whole(db, backup)
    except (LedgerError, sqlite3.DatabaseError) as error:
        why = getattr(error, "why", "") or str(error)
        step = f"ls {shlex.quote(str(backup.parent))}   # for another one"
        raise LedgerCorrupt(f"the backup {backup} can't be restored, and nothing was changed", why, step) from error


def _put_aside(ledger: Path) -> Path | None:
    """The first of them moves last: as long as it stands, the others are its own."""
    number = 1
    while (kept := ledger.with_name(f"{ledger.name}.before-{number}")).exists():
        number += 1
    for suffix in SCRATCH:
        with contextlib.suppress(FileNotFoundError):
            ledger.with_name(ledger.name + suffix).rename(kept.with_name(kept.name + suffix))
    if not ledger.exists():
        return None
    ledger.rename(kept)
    return kept
