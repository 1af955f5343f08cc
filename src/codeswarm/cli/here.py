"""Where a command runs: the folder, the project around it, its ledger, and whether someone hosts it live."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Coroutine, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from codeswarm.domain.rejection import no_session_yet
from codeswarm.environment import Environment, person
from codeswarm.errors import CodeswarmError, LedgerTooNew, Refused, UsageError, disk_full

if TYPE_CHECKING:
    from codeswarm.home import Home
    from codeswarm.ledger.reader import Reader
    from codeswarm.ledger.sqlite import SqliteLedger
    from codeswarm.router_client import RouterClient

T = TypeVar("T")
ASK_S = 300.0
"""Longer than any command takes; a large import does its share of work first."""


@dataclass
class Here:
    """Made once per command from the options that every command takes."""

    directory: Path
    json: bool = False
    data: Path | None = None
    typed: tuple[str, ...] = ()
    """The words of the command line, for saying how to type it again."""

    @cached_property
    def environment(self) -> Environment:
        return Environment.read()

    @property
    def by(self) -> str:
        return person()

    @cached_property
    def home(self) -> Home:
        """Raises: NotARepository, RepositoryUnfit."""
        from codeswarm.home import find_home

        return find_home(self.directory, self.environment, self.data)

    @property
    def live(self) -> bool:
        """Whether some process is the router here."""
        from codeswarm.home import router_is_live

        return router_is_live(self.home.data)

    @contextlib.contextmanager
    def tables(self) -> Iterator[Reader]:
        """The ledger's tables alone, for reading. Raises: Refused where there is no ledger yet."""
        from codeswarm.ledger.reader import Reader

        with contextlib.closing(Reader(self._ledger_file)) as reader:
            yield reader

    @contextlib.contextmanager
    def ledger(self) -> Iterator[SqliteLedger]:
        """The whole ledger, for reading. It takes a while to load: who needs no events takes `tables`.

        Raises: Refused where there is none yet.
        """
        from codeswarm.ledger.sqlite import SqliteLedger

        with contextlib.closing(SqliteLedger(self._ledger_file, read_only=True)) as ledger:
            yield ledger

    @property
    def _ledger_file(self) -> Path:
        if not _has_content(self.home.data.ledger):
            raise Refused(no_session_yet())
        return self.home.data.ledger

    @contextlib.asynccontextmanager
    async def client(self) -> AsyncIterator[RouterClient]:
        """A client of the live router."""
        from codeswarm.router_client import RouterClient

        async with RouterClient.open(self.home.data.socket) as client:
            yield client

    def session(self, wanted: str | None) -> dict[str, Any]:
        """The row of the session that is meant. Raises: Refused, UsageError."""
        from codeswarm.ledger import views

        with self.tables() as tables:
            return views.find_session(tables, wanted)

    def ticket(self, wanted: str) -> tuple[dict[str, Any], dict[str, Any]]:
        """Session and ticket rows for `[SESSION/]ID`."""
        from codeswarm.ledger import views

        session_part, slash, ticket = wanted.rpartition("/")
        with self.tables() as tables:
            session = views.find_session(tables, session_part if slash else None)
            return session, views.find_ticket(tables, session["id"], ticket)

    def ask(self, path: str, body: dict[str, Any], key: str | None = None) -> dict[str, Any]:
        """A command to the router: over its socket where one is live, else by being it for a moment."""
        return run_async(self._ask(path, body, key))

    async def _ask(self, path: str, body: dict[str, Any], key: str | None) -> dict[str, Any]:
        if self.live:
            async with self.client() as client:
                return dict(await client.post(path, body, key=key, timeout_s=ASK_S))
        from codeswarm.wiring import WorkerPlan, router

        async with router(self.home, WorkerPlan(0, self.directory), self.environment), self.client() as client:
            return dict(await client.post(path, body, key=key, timeout_s=ASK_S))


def _has_content(ledger: Path) -> bool:
    """Whether there is a ledger. An empty file holds none; what can't be seen, or is none, its opening tells."""
    try:
        found = ledger.stat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError:
        return True
    return found.st_size > 0


def run_async(work: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine to its end; of a group of errors the first of ours is what the person is told."""
    import asyncio

    try:
        return asyncio.run(work)
    except BaseExceptionGroup as group:
        found = first_error(group)
        raise disk_full(found) or found from group
    except (CodeswarmError, OSError) as error:
        full = disk_full(error)
        if full is None or full is error:
            raise
        raise full from error


def first_error(group: BaseExceptionGroup[BaseException]) -> BaseException:
    import asyncio

    for error in group.exceptions:
        found = first_error(error) if isinstance(error, BaseExceptionGroup) else error
        if not isinstance(found, asyncio.CancelledError):
            return found
    return group.exceptions[0]


def check_writable(here: Here) -> None:
    """Raises: LedgerTooNew before anything else is tried."""
    from codeswarm.ledger.connection import check_not_newer, connect

    path = here.home.data.ledger
    if path.is_file():
        db = connect(path, read_only=True)
        try:
            check_not_newer(db, path)
        finally:
            db.close()


def parse_pair(text: str, option: str) -> tuple[str, str]:
    """`KEY=VALUE`. Raises: UsageError."""
    key, equals, value = text.partition("=")
    if not equals or not key or not value:
        raise UsageError(
            f"{option} {text!r} is not KEY=VALUE", "it names a role and its agents", f"{option} implementer=claude"
        )
    return key, value


__all__ = ["Here", "LedgerTooNew", "check_writable", "parse_pair", "run_async"]
