"""A kernel on a ledger, with sessions to give commands to: what tests of the engine's rooms begin with."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path

from codeswarm.domain import commands as cmd
from codeswarm.domain.ids import SessionId, WorkerId
from codeswarm.domain.pipeline import Role
from codeswarm.domain.settings import Settings
from codeswarm.domain.ticket import TicketSpec
from codeswarm.engine.kernel import Kernel
from codeswarm.ledger.base import Ledger, Recorded
from codeswarm.ledger.sqlite import SqliteLedger
from codeswarm.testing.clock import VirtualClock
from tests.support.sessions import ALL_ROLES, commit, settings as least, spec, tree_of

ONE, TWO = SessionId("one"), SessionId("two")


def start_command(
    id_: SessionId, *tickets: str | TicketSpec, settings: Settings | None = None, name: str = ""
) -> cmd.StartSession:
    base = commit("base")
    return cmd.StartSession(
        session=id_,
        name=name,
        goal="a goal",
        base_branch="main",
        base=base,
        base_tree=tree_of(base),
        settings=settings or least(),
        tickets=tuple(spec(ticket) if isinstance(ticket, str) else ticket for ticket in tickets or ("a",)),
        by="ada",
    )


def note(text: str) -> cmd.Note:
    """A command that always comes to exactly one event."""
    return cmd.Note(subject="test", what=text)


def claim_command(
    worker: str = "w1", roles: frozenset[Role] = ALL_ROLES, labels: frozenset[str] = frozenset()
) -> cmd.Claim:
    return cmd.Claim(worker=WorkerId(worker), roles=roles, labels=labels)


def notes(records: list[Recorded]) -> list[str]:
    """What the remarks among some events say."""
    return [record.event.what for record in records if record.event.kind == "Noted"]  # type: ignore[attr-defined]


async def kernel_on(ledger: Ledger, *sessions: SessionId, clock: VirtualClock | None = None) -> Kernel:
    """A started kernel, with a session of one ticket for each id."""
    kernel = Kernel(ledger, clock or VirtualClock())
    kernel.start()
    for id_ in sessions:
        await kernel.execute(id_, start_command(id_))
    return kernel


# ── real trouble under a ledger on disk ──


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    """Someone else holds the write lock of the database: the ledger's next commit waits for it."""
    other = sqlite3.connect(path, isolation_level=None)
    try:
        other.execute("BEGIN IMMEDIATE")
        yield
        other.execute("ROLLBACK")
    finally:
        other.close()


@contextlib.contextmanager
def disk_full(ledger: SqliteLedger) -> Iterator[None]:
    """No page more can be written (SQLITE_FULL)."""
    pages = ledger._db.execute("PRAGMA page_count").fetchone()[0]
    with _pragma(ledger, "max_page_count", pages):
        yield


@contextlib.contextmanager
def write_protected(ledger: SqliteLedger) -> Iterator[None]:
    """The database can be read only (SQLITE_READONLY)."""
    with _pragma(ledger, "query_only", 1):
        yield


@contextlib.contextmanager
def taken(ledger: SqliteLedger) -> Iterator[None]:
    """Someone else holds the write lock and does not let go (SQLITE_BUSY)."""
    with _pragma(ledger, "busy_timeout", 0), locked(ledger.path):
        yield


@contextlib.contextmanager
def _pragma(ledger: SqliteLedger, name: str, value: int) -> Iterator[None]:
    """Set on the writer's own connection, while nothing is queued."""
    before = {"max_page_count": 1 << 30}.get(name) or ledger._db.execute(f"PRAGMA {name}").fetchone()[0]
    ledger._db.execute(f"PRAGMA {name} = {value}")
    try:
        yield
    finally:
        ledger._db.execute(f"PRAGMA {name} = {before}")


TROUBLES: dict[str, Callable[[SqliteLedger], contextlib.AbstractContextManager[None]]] = {
    "disk full": disk_full,
    "write-protected": write_protected,
    "locked by someone else": taken,
}
BIG = "x" * 100_000
"""A text that needs new pages."""
