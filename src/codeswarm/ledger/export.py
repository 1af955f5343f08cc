"""The log as JSON Lines, for other programs and for people with other tools. The same log gives the same bytes."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from pathlib import Path

from codeswarm.ledger.care import reading
from codeswarm.ledger.connection import translate
from codeswarm.ledger.reader import SQL


def export(path: Path) -> Iterator[str]:
    """One line of JSON for each event, oldest first, as they were when the first line was read.

    The keys are seq, session, version, at_ms, kind, data, hash. `data` stands there byte for byte as in the ledger, so
    each hash can be made again (see `ledger.base.chain`). Where an event is damaged and is no JSON, a string `damaged`
    stands instead of `data`. Works beside a live router, and on a newer program's ledger too.
    Raises: LedgerError, also in the middle, where the file can't be read.
    """
    with reading(path) as db:
        try:
            for row in db.execute(SQL["everything"]):
                yield _line(*row)
        except sqlite3.DatabaseError as error:
            raise translate(error, path) from error


def _line(seq: int, session: str, version: int, at_ms: int, kind: str, body: str, hash_: str) -> str:
    data = f'"data":{body}' if _is_one_value(body) else f'"damaged":{json.dumps(body)}'
    head = _fields(seq=seq, session=session, version=version, at_ms=at_ms, kind=kind)
    return f"{{{head},{data},{_fields(hash=hash_)}}}\n"


def _fields(**fields: object) -> str:
    return json.dumps(fields, separators=(",", ":"))[1:-1]


def _is_one_value(body: str) -> bool:
    """Whether a body can stand in a line as it is."""
    try:
        body.encode()
        json.loads(body)
    except ValueError:
        return False
    return "\n" not in body and "\r" not in body
