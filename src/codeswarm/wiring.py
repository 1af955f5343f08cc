"""Puts the rooms together: the only place that names concrete ledgers, stores, clocks and servers.

Whoever is not the router (see `home`) joins it at its socket, or, where nothing is live, reads the ledger itself.
"""

from __future__ import annotations

import contextlib
import os
import secrets
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path

from codeswarm.awake import AwakeClock
from codeswarm.clock import Clock, SystemClock
from codeswarm.config import load
from codeswarm.domain.prices import Prices
from codeswarm.engine.data import Data
from codeswarm.engine.engine import Engine
from codeswarm.engine.keep_awake import KeepAwake, inhibitor
from codeswarm.engine.room import Tell
from codeswarm.engine.sessions import Sessions
from codeswarm.environment import Environment
from codeswarm.git.store import Store
from codeswarm.home import Home, check_workspaces, router_lock
from codeswarm.ledger.sqlite import SqliteLedger
from codeswarm.pricing import price_table, shipped_prices

ALPHABET = "0123456789abcdefghijklmnopqrstuvwxyz"
ID_LENGTH = 8


def new_session_id() -> str:
    """Eight random letters and digits, the first a letter: fit for refs, URLs and typing."""
    first = secrets.choice(ALPHABET[10:])
    return first + "".join(secrets.choice(ALPHABET) for _ in range(ID_LENGTH - 1))


# ── the router ───────────────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class WorkerPlan:
    """What workers of this process are like."""

    slots: int
    directory: Path
    labels: tuple[str, ...] = ()
    record: Path | None = None
    keep_awake: bool = False
    """Whether the machine is kept awake while they work."""
    only_visits: bool = False
    """They let people in to tickets at rest, and start no agent."""


@dataclass(frozen=True, slots=True)
class Post:
    """What makes a process the router: the lock, and the socket that it listens at. Descriptors, so that a child can
    inherit them: then nobody else can come in between, and whoever asks meanwhile waits in the socket's queue.
    """

    lock: int
    listener: int


@dataclass(slots=True)
class Router:
    engine: Engine
    sessions: Sessions
    post: Post
    handed_over: bool = False

    def hand_over(self) -> None:
        """Another process holds our post already: workers and socket stay when we end."""
        self.handed_over = True
        self.engine.workers.leave()


def open_engine(
    home: Home,
    plan: WorkerPlan,
    tell: Tell = lambda problem: None,
    clock: Clock | None = None,
    prices: Prices | None = None,
) -> Engine:
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
            "only_visits": plan.only_visits,
        }

    store = Store.open(home.data.store, object_format=home.project.object_format)
    ledger = SqliteLedger(home.data.ledger)
    return Engine(
        home.data, ledger, store, home.project, clock or SystemClock(), order, tell, prices or shipped_prices()
    )


@contextlib.asynccontextmanager
async def router(
    home: Home,
    plan: WorkerPlan,
    environment: Environment,
    tell: Tell = lambda problem: None,
    post: Post | None = None,
    note: Callable[[str], None] = lambda text: None,
) -> AsyncIterator[Router]:
    """Be the router of a home for as long as the context lasts: engine, workers, socket. `tell`: see `Engine`.

    `post`: inherited from the router before us, which has ended. `note`: told what the person may want to know.

    Raises: RouterLive, LedgerError, StoreDiverged, UsageError where a folder can't be used.
    """
    # FastAPI takes a quarter of a second to import, and only routers need it.
    from codeswarm.router.app import create_app  # noqa: PLC0415
    from codeswarm.router.server import bind, inherited, serving  # noqa: PLC0415

    if plan.slots:
        check_workspaces(home)
    with router_lock(home.data, None if post is None else post.lock) as lock:
        clock = AwakeClock(SystemClock())
        engine = open_engine(home, plan, tell, clock, price_table(load(environment).config.prices))
        clock.observe(engine.tell_of_absence)
        handed_over = False
        try:
            sessions = Sessions(engine, environment, plan.directory, new_session_id)
            listener = bind(home.data.socket) if post is None else inherited(post.listener)
            app = create_app(engine, sessions, _logger(home.data))
            hosted = Router(engine, sessions, Post(lock, listener.fileno()))
            movers = [clock.keep]
            if plan.keep_awake and plan.slots:
                movers.append(_keep_awake(engine, environment, note).run)
            try:
                async with serving(app, listener), engine.running(plan.slots, *movers):
                    yield hosted
            finally:
                handed_over = hosted.handed_over
        finally:
            engine.kernel.ledger.close()
            if not handed_over:
                home.data.socket.unlink(missing_ok=True)


def _keep_awake(engine: Engine, environment: Environment, note: Callable[[str], None]) -> KeepAwake:
    argv = inhibitor(environment.path, os.getpid())
    return KeepAwake(engine.kernel, engine.clock, argv, environment, note)


def _logger(data: Data) -> Callable[[str], None]:
    def log(text: str) -> None:
        with contextlib.suppress(OSError):  # a log that can't be written must not fail what it tells of
            data.logs.mkdir(parents=True, exist_ok=True)
            with (data.logs / "router.log").open("a", encoding="utf-8") as file:
                file.write(text + "\n")

    return log
