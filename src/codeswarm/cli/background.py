"""`python -m codeswarm.cli.background`: the router in a process that no terminal can end.

Its order is one JSON line on standard input. It says when it is ready, waits to be told to go on (or for the end of
who started it), takes the router's post, fresh or as an inheritance, and stays until the sessions there rest. What it
has to say to a person is left where `status` finds it. It never asks anybody anything.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
import time
from collections.abc import AsyncIterator
from typing import Any

from codeswarm.cli.ending import closing_words
from codeswarm.cli.follow import rest_of
from codeswarm.cli.guests import Guests
from codeswarm.cli.here import Here, run_async
from codeswarm.cli.host import tell_of_room
from codeswarm.cli.last_words import leave_words
from codeswarm.cli.order import HOSTING, LIVE, READY, Order, Report
from codeswarm.cli.output import progress, report_error
from codeswarm.clock import SystemClock
from codeswarm.domain import commands as cmd
from codeswarm.domain.ids import SessionId
from codeswarm.domain.states import SuspendReason
from codeswarm.errors import CodeswarmError, Refused
from codeswarm.failpoints import reach
from codeswarm.garbage import collect_rarely
from codeswarm.home import RouterLive
from codeswarm.waiting import first_of
from codeswarm.wiring import Post, WorkerPlan, router


def main() -> None:
    collect_rarely()
    order = Order.model_validate_json(sys.stdin.readline())
    here = Here(order.directory, json=False, data=order.data)
    progress(f"background host, process {os.getpid()}, from {time.strftime('%Y-%m-%d %H:%M:%S')}")
    try:
        run_async(_host(here, order))
    except RouterLive:
        _say(order, Report(state=LIVE))
    except CodeswarmError as error:
        code = report_error(error, as_json=False)
        _leave_error(here, order, error)
        problem = {"title": error.what, "detail": error.why, "hint": error.hint, "type": f"codeswarm:{error.kind}"}
        _say(order, Report(state="failed", problem={**problem, "status": error.http_status, "exit_code": code}))
        sys.exit(code)


async def _host(here: Here, order: Order) -> None:
    from codeswarm.router import app  # noqa: F401 - what takes long to load is loaded before we are waited for

    told = _ToldToEnd()
    async with _starter(order.go) as starter:
        reach("background.ready")
        _say(order, Report(state=READY))
        await starter.readline()
        plan = WorkerPlan(order.slots, order.directory, order.labels, order.record, order.keep_awake)
        post = None if order.lock is None or order.listener is None else Post(order.lock, order.listener)
        async with router(here.home, plan, here.environment, tell_of_room, post, progress) as hosted:
            guests = Guests(hosted.engine.kernel, map(SessionId, order.sessions), wait=order.wait)
            reach("background.hosting")
            _say(order, Report(state=HOSTING))
            await first_of(starter.read(), told.wait())
            staying = asyncio.ensure_future(guests.until_quiet())
            await first_of(staying, told.wait())
            if told.is_set():
                await _stop(hosted.engine, guests.at_work)
            await guests.until_quiet()
            _leave(here, hosted.engine.kernel, guests.known)


class _ToldToEnd(asyncio.Event):
    """Set by SIGTERM or SIGINT. There is no terminal whose end could mean anything."""

    def __init__(self) -> None:
        super().__init__()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self.set)
        signal.signal(signal.SIGHUP, signal.SIG_IGN)


@contextlib.asynccontextmanager
async def _starter(fd: int) -> AsyncIterator[asyncio.StreamReader]:
    reader = asyncio.StreamReader()
    transport, _ = await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), os.fdopen(fd, "rb", 0)
    )
    try:
        yield reader
    finally:
        transport.close()


async def _stop(engine: Any, sessions: list[SessionId]) -> None:
    """As Ctrl+C twice: nothing is lost, and `resume` goes on."""
    reason = "its host was told to end"
    for session in sessions:
        with contextlib.suppress(Refused):
            await engine.kernel.execute(session, cmd.SuspendSession(reason=SuspendReason.STOPPED, detail=reason))
        engine.desk.cancel_all(reason, session)


# ── what is said ─────────────────────────────────────────────────────────────────────────────────────────────


def _say(order: Order, report: Report) -> None:
    with contextlib.suppress(OSError):  # nobody listens any more
        os.write(order.report, report.model_dump_json().encode() + b"\n")


def _leave(here: Here, kernel: Any, sessions: list[SessionId]) -> None:
    for id_ in sessions:
        session = kernel.session(id_)
        if (rest := rest_of(session)) is not None:
            words = closing_words(session, rest)
            leave_words(here.home.data.root, id_, session.version, SystemClock().now_ms(), rest.exit_code, words)
            progress(f"session {id_}: {'; '.join(words)}")


def _leave_error(here: Here, order: Order, error: CodeswarmError) -> None:
    words = [f"error: {error.what}", f"why: {error.why}", f"do: {error.hint}"]
    for session in order.sessions:
        with contextlib.suppress(CodeswarmError):
            version = here.session(session)["version"]
            leave_words(
                here.home.data.root, SessionId(session), version, SystemClock().now_ms(), error.exit_code, words
            )


if __name__ == "__main__":
    main()
