"""Writes the tables anew from the log: rows only, in one transaction, and only from a log that is whole."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

from codeswarm.errors import LedgerCorrupt, LedgerUnavailable
from codeswarm.ledger.care import Code, Problem
from codeswarm.ledger.connection import check_not_newer, connect, translate
from codeswarm.ledger.log import read_log
from codeswarm.ledger.replay import Replay, differences, replay
from codeswarm.ledger.schema import schema_problems
from codeswarm.ledger.sqlite import UPSERT
from codeswarm.ledger.tables import TABLES


def rebuild(path: Path) -> dict[str, int]:
    """Make every table say what the log says. The caller holds the router's lock. Idempotent.

    Returns: table → how many of its rows were wrong, missing or too many; only tables where there were any.
    Raises: LedgerCorrupt where the log itself is broken or a table is gone (nothing is changed then), LedgerTooNew,
    LedgerUnavailable where there is no ledger.
    """
    if not path.is_file():
        raise LedgerUnavailable(
            f"there is no ledger at {path}", "there was no session here yet", "codeswarm session list"
        )
    with closing(connect(path)) as db:
        try:
            check_not_newer(db, path)
            db.execute("BEGIN IMMEDIATE")
            replayed = _replayed(db, path)
            mended = {name: count for name in TABLES if (count := _mend(db, replayed, name))}
            db.execute("COMMIT")
        except sqlite3.DatabaseError as error:
            raise translate(error, path) from error
    return mended


def _replayed(db: sqlite3.Connection, path: Path) -> Replay:
    """What the log adds up to. Raises: LedgerCorrupt where it does not, or where there is no table to write it to."""
    gone = [problem for problem in schema_problems(db) if problem.where.startswith("table ")]
    log = read_log(db)
    replayed = replay(log)
    if problems := gone + log.problems + [problem for problem in replayed.problems if problem.code is Code.REPLAY]:
        raise _refusal(path, problems)
    return replayed


def _refusal(path: Path, problems: list[Problem]) -> LedgerCorrupt:
    more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
    return LedgerCorrupt(
        f"the tables of {path} can't be rebuilt: the log itself is damaged",
        f"{problems[0]}{more}",
        "codeswarm ledger verify",
    )


def _mend(db: sqlite3.Connection, replayed: Replay, name: str) -> int:
    wrong = sum(1 for _ in differences(db, replayed, name))
    db.execute(f"DELETE FROM {name}")  # noqa: S608 - our names
    db.executemany(UPSERT[name], replayed.rows[name].values())
    return wrong
