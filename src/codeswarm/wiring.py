"""Puts the rooms together: the only place that names concrete ledgers, stores, clocks and servers.

One process at a time is the router of a data directory; a lock file says which. Everyone else joins it at its socket,
or, where nothing is live, reads the ledger itself.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import secrets
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from codeswarm.clock import SystemClock
from codeswarm.engine.engine import Data, Engine
from codeswarm.engine.project import Project
from codeswarm.engine.room import Tell
from codeswarm.engine.sessions import Sessions
from codeswarm.environment import Environment
from codeswarm.errors import CodeswarmError
from codeswarm.git.store import Store
from codeswarm.ledger.sqlite import SqliteLedger

ALPHABET = "0123456789abcdefghijklmnopqrstuvwxyz"
ID_LENGTH = 8


class RouterLive(CodeswarmError):
    """Another process is the router of this data directory already."""


@dataclass(frozen=True, slots=True)
class Home:
    """Where a project's things are."""

    project: Project
    data: Data
    workspaces: Path


def find_home(directory: Path, environment: Environment, data: Path | None = None) -> Home:
    """The data of the repository around a folder. Raises: NotARepository, RepositoryUnfit."""
    project = Project.find(directory)
    root = (data or environment.data or project.git_dir / "codeswarm").absolute()
    return Home(project, Data(root), environment.workspaces / _project_key(root))


def _project_key(root: Path) -> str:
    """A short name for a data directory among others in the cache."""
    return hashlib.sha256(os.fsencode(root)).hexdigest()[:16]


def new_session_id() -> str:
    """Eight random letters and digits, the first a letter: fit for refs, URLs and typing."""
    first = secrets.choice(ALPHABET[10:])
    return first + "".join(secrets.choice(ALPHABET) for _ in range(ID_LENGTH - 1))


# ── the lock ─────────────────────────────────────────────────────────────────────────────────────────────────


@contextlib.contextmanager
def router_lock(data: Data) -> Iterator[None]:
    """Be the router. Raises: RouterLive where someone is already. The kernel lets go of it whatever kills us."""
    data.root.mkdir(parents=True, exist_ok=True)
    data.root.chmod(0o700)
    fd = os.open(data.lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise RouterLive("a router is live here already", f"its process is {_holder(data)}") from error
        with contextlib.suppress(OSError):  # who it is only makes for a better message; a full disk is told elsewhere
            os.ftruncate(fd, 0)
            os.pwrite(fd, json.dumps({"pid": os.getpid()}).encode(), 0)
        yield
    finally:
        os.close(fd)


def _holder(data: Data) -> str:
    try:
        return str(json.loads(data.lock.read_text())["pid"])
    except (OSError, ValueError, KeyError):
        return "unknown"


def router_is_live(data: Data) -> bool:
    """Whether some process holds the router's lock."""
    if not data.lock.exists():
        return False
    fd = os.open(data.lock, os.O_RDONLY | os.O_CLOEXEC)
    try:
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(fd)
    return False


# ── the router ───────────────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class WorkerPlan:
    """What workers of this process are like."""

    slots: int
    directory: Path
    labels: tuple[str, ...] = ()
    record: Path | None = None


@dataclass(frozen=True, slots=True)
class Router:
    engine: Engine
    sessions: Sessions


def open_engine(home: Home, plan: WorkerPlan, tell: Tell = lambda problem: None) -> Engine:
    """Ledger, store and engine of a home. The caller holds the router's lock. Raises: LedgerError, LedgerTooNew."""

    def order(worker: str, slots: int) -> dict[str, object]:
        return {
            "worker": worker,
            "socket": str(home.data.socket),
            "workspaces": str(home.workspaces),
            "outbox": str(home.data.outbox),
            "slots": slots,
            "directory": str(plan.directory),
            "labels": list(plan.labels),
            "record": str(plan.record) if plan.record else None,
        }

    store = Store.open(home.data.store, object_format=home.project.object_format)
    ledger = SqliteLedger(home.data.ledger)
    return Engine(home.data, ledger, store, home.project, SystemClock(), order, tell)


@contextlib.asynccontextmanager
async def router(
    home: Home, plan: WorkerPlan, environment: Environment, tell: Tell = lambda problem: None
) -> AsyncIterator[Router]:
    """Be the router of a home for as long as the context lasts: engine, workers, socket. `tell`: see `Engine`.

    Raises: RouterLive, LedgerError, StoreDiverged.
    """
    # FastAPI takes a quarter of a second to import, and only routers need it.
    from codeswarm.router.app import create_app  # noqa: PLC0415
    from codeswarm.router.server import bind, serving  # noqa: PLC0415

    with router_lock(home.data):
        engine = open_engine(home, plan, tell)
        try:
            sessions = Sessions(engine, environment, plan.directory, new_session_id)
            listener = bind(home.data.socket)
            app = create_app(engine, sessions, _logger(home.data))
            async with serving(app, listener), engine.running(plan.slots):
                yield Router(engine, sessions)
        finally:
            engine.kernel.ledger.close()
            home.data.socket.unlink(missing_ok=True)


def _logger(data: Data) -> Callable[[str], None]:
    def log(text: str) -> None:
        with contextlib.suppress(OSError):  # a log that can't be written must not fail what it tells of
            data.logs.mkdir(parents=True, exist_ok=True)
            with (data.logs / "router.log").open("a", encoding="utf-8") as file:
                file.write(text + "\n")

    return log
