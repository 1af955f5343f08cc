"""A copy of the ledger while it is in use."""

from __future__ import annotations

import os
import shlex
import sqlite3
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from codeswarm.errors import LedgerCorrupt, LedgerError, UsageError
from codeswarm.ledger.base import GENESIS
from codeswarm.ledger.care import reading
from codeswarm.ledger.connection import translate
from codeswarm.ledger.reader import SQL


@dataclass(frozen=True, slots=True)
class Backup:
    """A finished copy: its last event, and that event's hash. Keep the hash elsewhere to know the copy again."""

    path: Path
    seq: int
    hash: str
    size_bytes: int


def backup(source: Path, target: Path) -> Backup:
    """Copy a ledger to `target`, as it is at one moment, while a router may go on writing to it.

    The copy is one file that needs no other, readable by its owner alone. It gets its name only once it is whole,
    checked and on disk; a failure leaves nothing.

    It is the ledger and no more. To have everything, copy the store, the artifacts and the key too, the ledger first:
    it never names what is not there yet, so what is copied after it holds all that it names. The key is left out on
    purpose: whoever has it can sign receipts. Without it a restored ledger works, but `verify` can't tell its receipts
    from forged ones.

    `ledger.restore` puts such a copy at the ledger's place.
    Raises: UsageError where `target` exists or can't be made; LedgerCorrupt where the ledger is damaged; LedgerError.
    """
    unfinished = _reserve(target)
    try:
        copied = _copy(source, unfinished, target)
        _name(unfinished, target)
    finally:
        unfinished.unlink(missing_ok=True)
    return copied


def _reserve(target: Path) -> Path:
    """A new, empty file beside the target, for its owner alone."""
    if target.exists() or target.is_symlink():
        raise _taken(target)
    unfinished = target.with_name(f"{target.name}.{os.getpid()}.new")
    try:
        os.close(os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
    except OSError as error:
        raise UsageError(
            f"no backup can be made at {target}",
            str(error),
            f"mkdir -p {shlex.quote(str(target.parent))} && {_command(target)}",
        ) from error
    return unfinished


def _command(target: Path) -> str:
    return f"codeswarm ledger backup {shlex.quote(str(target))}"


def _taken(target: Path) -> UsageError:
    return UsageError(
        f"{target} exists already",
        "a backup never writes over anything",
        _command(target.with_name(f"{target.name}-2")),
    )


def _copy(source: Path, unfinished: Path, target: Path) -> Backup:
    try:
        with reading(source) as db, closing(sqlite3.connect(unfinished, isolation_level=None)) as copy:
            db.backup(copy)
            copy.execute("PRAGMA journal_mode = DELETE")
            seq, hash_ = check_whole(copy, source)
    except sqlite3.DatabaseError as error:
        raise translate(error) from error
    return Backup(target, seq, hash_, unfinished.stat().st_size)


def check_whole(copy: sqlite3.Connection, source: Path) -> tuple[int, str]:
    """The head of a copy that is whole. Raises: LedgerCorrupt."""
    said = [line for (line,) in copy.execute("PRAGMA integrity_check")]
    if said != ["ok"]:
        raise _damaged(source, "; ".join(said[:3]))
    head, last = copy.execute(SQL["head"]).fetchone(), copy.execute(SQL["last_event"]).fetchone()
    if head != last:
        raise _damaged(source, f"it ends at {last}, but should end at {head}")
    return last or (0, GENESIS)


def _damaged(source: Path, why: str) -> LedgerError:
    return LedgerCorrupt(f"the ledger {source} is damaged, so no backup was made of it", why, "codeswarm ledger verify")


def _name(unfinished: Path, target: Path) -> None:
    """Give the finished copy its name, unless someone has taken it meanwhile. Both are durable then."""
    sync(unfinished, os.O_RDONLY)
    try:
        os.link(unfinished, target)
    except FileExistsError as error:
        raise _taken(target) from error
    sync(target.absolute().parent, os.O_RDONLY | os.O_DIRECTORY)


def sync(path: Path, flags: int) -> None:
    fd = os.open(path, flags)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
