"""`python -m codeswarm.worker`: a worker as a child process. Its order is one JSON line on standard input."""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import signal
import sys
from functools import cache, partial
from pathlib import Path

from pydantic import BaseModel

from codeswarm.agents.account import accounts
from codeswarm.agents.factory import make_agent
from codeswarm.agents.login_file import known_secrets
from codeswarm.awake import AwakeClock
from codeswarm.clock import SystemClock
from codeswarm.environment import Environment
from codeswarm.process import this_process
from codeswarm.redaction import Secrets
from codeswarm.router_client import RouterClient
from codeswarm.sandbox.base import Sandbox
from codeswarm.sandbox.factory import choose
from codeswarm.worker.gate import GateRunner
from codeswarm.worker.line import Line
from codeswarm.worker.outbox import Outbox
from codeswarm.worker.places import Places
from codeswarm.worker.processes import Tables
from codeswarm.worker.tools import Tools
from codeswarm.worker.worker import Identity, MakeTools, Worker
from codeswarm.worker.workspace import WorkspaceMaker

PR_SET_CHILD_SUBREAPER = 36


class WorkerOrder(BaseModel):
    """What a worker process is told when it is started."""

    worker: str
    socket: Path
    workspaces: Path
    """The project's folder of the cache."""
    outbox: Path
    slots: int
    directory: Path
    """Where the person stood: relative names in agents' commands are looked up there."""
    labels: tuple[str, ...] = ()
    record: Path | None = None
    only_visits: bool = False
    terms: str = ""
    """A digest of all this, which the worker presents itself with."""


def tools_of(
    order: WorkerOrder,
    environment: Environment,
    secrets: Secrets,
    client: RouterClient,
    clock: AwakeClock,
    at_the_end: contextlib.AsyncExitStack,
) -> MakeTools:
    """`secrets`: what is known from the beginning. What an agent writes into a login is taken out of what its own lease
    says and makes, and of no other's.
    """
    places, tables, known = Places(order.workspaces), Tables(), partial(known_secrets, environment)

    @cache
    def walls(kind: str) -> tuple[Sandbox, WorkspaceMaker]:
        sandbox = choose(kind)
        maker = WorkspaceMaker(places, sandbox, environment, clock)
        at_the_end.callback(maker.close)
        return sandbox, maker

    def tools_with(kind: str) -> Tools:
        sandbox, maker = walls(kind)
        own = Secrets(secrets.values)
        line, outbox = Line(client.concealing(own), clock, secrets=own), Outbox(order.outbox, own)
        gates = GateRunner(sandbox, clock, line.log)
        return Tools(
            line, clock, places, sandbox, maker, gates, outbox, own, known, order.record, clock.away_since, tables
        )

    return tools_with


async def serve(order: WorkerOrder, environment: Environment) -> None:
    secrets, clock = known_secrets(environment), AwakeClock(SystemClock())
    client_of = RouterClient.open(order.socket, secrets=secrets)
    async with client_of as client, contextlib.AsyncExitStack() as at_the_end:
        worker = Worker(
            Identity(order.worker, *this_process()),
            Line(client, clock, secrets=secrets),
            Outbox(order.outbox, secrets),
            tools_of(order, environment, secrets, client, clock, at_the_end),
            lambda spec: make_agent(spec, order.directory, environment.home, environment.login),
            clock,
            lambda text: _log(secrets.text(text)),
            slots=order.slots,
            labels=frozenset(order.labels),
            accounts=accounts(environment.login),
            terms=order.terms,
            only_visits=order.only_visits,
        )
        keeping = asyncio.create_task(clock.keep())
        try:
            await worker.run()
        finally:
            keeping.cancel()


def _log(text: str) -> None:
    with contextlib.suppress(OSError):  # a full disk takes no log, and must not end the worker for it
        print(text, file=sys.stderr, flush=True)


def main() -> None:
    """Serve until the router is gone, or until told to end by a signal."""
    # Orphans of agents come to us, so that without walls, too, they can be found and ended.
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    order = WorkerOrder.model_validate_json(sys.stdin.readline())
    asyncio.run(serve(order, Environment.read()))


if __name__ == "__main__":
    main()
