"""Tools to do harm to a copy of a data directory, one thing at a time, and to tell whether anything changed."""

from __future__ import annotations

import hashlib
import os
import shutil
import sqlite3
import subprocess
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from codeswarm.domain.events import Event, parse_event
from codeswarm.engine.data import Data
from codeswarm.ledger.base import GENESIS, chain
from codeswarm.ledger.rebuild import rebuild
from tests.support.finished_session import SESSION


@dataclass(frozen=True, slots=True)
class Row:
    """An event as it lies in the file."""

    seq: int
    session: str
    version: int
    at_ms: int
    kind: str
    body: str
    hash: str

    @property
    def event(self) -> Event:
        return parse_event(self.kind, self.body)

    def saying(self, **fields: Any) -> Row:
        """The same event with other fields, written as the program would write it."""
        return replace(self, body=self.event.model_copy(update=fields).model_dump_json())


@dataclass(frozen=True, slots=True)
class Patient:
    data: Data

    @classmethod
    def copy_of(cls, data: Data, to: Path) -> Patient:
        shutil.copytree(data.root, to)
        return cls(Data(to))

    # ── the ledger ──

    @contextmanager
    def sql(self) -> Iterator[sqlite3.Connection]:
        """A connection on which nothing keeps the log from being changed; the triggers are back afterwards."""
        with closing(sqlite3.connect(self.data.ledger, isolation_level=None)) as db:
            triggers = db.execute("SELECT name, sql FROM sqlite_master WHERE type = 'trigger'").fetchall()
            for name, _ in triggers:
                db.execute(f"DROP TRIGGER {name}")
            yield db
            for _, sql in triggers:
                db.execute(sql)

    def do(self, statement: str, *values: object) -> None:
        with self.sql() as db:
            assert db.execute(statement, values).rowcount, "the harm touched nothing"

    def bare(self, statement: str) -> None:
        """A change of the schema itself."""
        with closing(sqlite3.connect(self.data.ledger, isolation_level=None)) as db:
            db.execute(statement)

    def log(self) -> list[Row]:
        with self.sql() as db:
            return [Row(*row) for row in db.execute("SELECT * FROM events ORDER BY seq")]

    def find(self, kind: type[Event], nth: int = 0, **fields: object) -> Row:
        """The nth event of a kind, in the finished session, with such fields."""
        rows = [row for row in self.log() if row.kind == kind.__name__ and row.session == SESSION]
        return [row for row in rows if all(getattr(row.event, k) == v for k, v in fields.items())][nth]

    def rewrite(self, change: Callable[[list[Row]], list[Row]], *, tables: bool = False) -> None:
        """Change the log and hide it well: numbers, chain and head agree. `tables`: they agree, too."""
        rows, versions, previous = change(self.log()), dict[str, int](), GENESIS
        made = []
        for seq, row in enumerate(rows, 1):
            version = versions[row.session] = versions.get(row.session, 0) + 1
            previous = chain(previous, seq, row.session, version, row.at_ms, row.kind, row.body)
            made.append((seq, row.session, version, row.at_ms, row.kind, row.body, previous))
        with self.sql() as db:
            db.execute("DELETE FROM events")
            db.executemany("INSERT INTO events VALUES (?, ?, ?, ?, ?, ?, ?)", made)
            db.execute("INSERT OR REPLACE INTO head VALUES (1, ?, ?)", (len(made), previous))
        if tables:
            rebuild(self.data.ledger)

    def instead(self, old: Row, new: Row, *, tables: bool = False) -> None:
        self.rewrite(lambda rows: [new if row == old else row for row in rows], tables=tables)

    def without(self, old: Row, *, tables: bool = False) -> None:
        self.rewrite(lambda rows: [row for row in rows if row != old], tables=tables)

    # ── the store ──

    def git(self, *args: str, stdin: str = "") -> str:
        who = {f"GIT_{role}_{what}": "mallory" for role in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
        env = {"PATH": os.environ["PATH"], "HOME": "/nonexistent", **who}
        argv = ["git", f"--git-dir={self.data.store}", *args]
        return subprocess.run(argv, check=True, capture_output=True, text=True, input=stdin, env=env).stdout.strip()

    def commit(self, tree: str, *parents: str) -> str:
        """A foreign commit."""
        return self.git("commit-tree", tree, *(word for parent in parents for word in ("-p", parent)), "-m", "mine")

    def ref(self, name: str) -> str:
        return self.git("rev-parse", "--verify", name)

    def loose(self, object_id: str) -> Path:
        path = self.data.store / "objects" / object_id[:2] / object_id[2:]
        path.chmod(0o644)
        return path

    def pack_of(self, object_id: str) -> Path:
        """The pack that holds an object."""
        for index in sorted((self.data.store / "objects" / "pack").glob("*.idx")):
            with index.open("rb") as file:
                listed = subprocess.run(["git", "show-index"], stdin=file, capture_output=True, check=True).stdout
            if object_id.encode() in listed:
                pack = index.with_suffix(".pack")
                pack.chmod(0o644)
                return pack
        raise LookupError(f"{object_id} is in no pack")

    def unpack(self, pack: Path) -> None:
        """Turn a pack into loose objects."""
        content = pack.read_bytes()
        pack.with_suffix(".idx").unlink()
        pack.unlink()
        argv = ["git", f"--git-dir={self.data.store}", "unpack-objects", "-q"]
        subprocess.run(argv, check=True, input=content)

    # ── everything ──

    def digest(self) -> dict[str, str]:
        """Every file's hash. SQLite's index of the WAL is scratch, and an empty WAL is no WAL."""
        found = {}
        for path in sorted(self.data.root.rglob("*")):
            if path.is_file() and not path.name.endswith("-shm"):
                content = path.read_bytes()
                if content or not path.name.endswith("-wal"):
                    found[str(path.relative_to(self.data.root))] = hashlib.sha256(content).hexdigest()
        return found


def flip(path: Path, at: int) -> None:
    """Turn one bit over."""
    content = bytearray(path.read_bytes())
    content[at] ^= 0x10
    path.write_bytes(content)


def cut(path: Path, size: int) -> None:
    os.truncate(path, size)
