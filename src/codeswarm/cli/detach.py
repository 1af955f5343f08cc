"""Starting a background host, or handing the router's post over to one. Why in this way: docs/design/detach.md."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import Any

from codeswarm.cli.here import Here
from codeswarm.cli.host import Conversation, answers
from codeswarm.cli.order import GO, HOSTING, LIVE, READY, Order, Report
from codeswarm.cli.output import say, say_json
from codeswarm.errors import RouterUnreachable
from codeswarm.process import Outliving
from codeswarm.protocol import Problem
from codeswarm.router_client import RouterClient, RouterRefused

BEGIN_S = 120.0
"""How long a background host may take to load, and to open the ledger. On a busy machine both take a while."""


class Background:
    """A background host, as the process that starts it sees it."""

    def __init__(self, here: Here, plan: Any, sessions: Sequence[str], *, wait: bool, post: Any = None) -> None:
        """`post`: the router's, which it inherits from this very moment; it begins when we say so, or are gone."""
        self.log = here.home.data.logs / "background.log"
        self.log.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        go, self._go = os.pipe()
        self._report, report = os.pipe()
        order = Order(
            directory=plan.directory,
            data=here.home.data.root,
            slots=plan.slots,
            labels=plan.labels,
            record=plan.record,
            keep_awake=plan.keep_awake,
            sessions=tuple(sessions),
            wait=wait,
            go=go,
            report=report,
            lock=post and post.lock,
            listener=post and post.listener,
        )
        handed = (post.lock, post.listener) if post else ()
        with self.log.open("ab") as log:
            self._process = Outliving(
                [sys.executable, "-m", "codeswarm.cli.background"],
                cwd=here.directory,
                env=here.environment.variables,
                output=log.fileno(),
                told=order.model_dump_json().encode() + b"\n",
                pass_fds=(go, report, *handed),
            )
        os.close(go)
        os.close(report)
        self._lines = os.fdopen(self._report, encoding="utf-8")

    @property
    def pid(self) -> int:
        return self._process.pid

    async def ready(self) -> None:
        """Raises: RouterUnreachable, RouterRefused with what it said."""
        await self._hear(READY)

    async def host(self) -> bool:
        """Let it take the post; False where another process was quicker. Raises: as `ready`."""
        os.write(self._go, f"{GO}\n".encode())
        return await self._hear(HOSTING, LIVE) == HOSTING

    def let_go(self) -> None:
        """It is on its own now."""
        self._lines.close()
        with contextlib.suppress(OSError):
            os.close(self._go)
        self._process.let_go()

    async def abandon(self) -> None:
        """End it: it has not begun yet."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGKILL)
        await self._process.wait()
        self.let_go()

    async def _hear(self, *wanted: str) -> str:
        try:
            async with asyncio.timeout(BEGIN_S):
                line = await asyncio.to_thread(self._lines.readline)
        except TimeoutError:
            os.kill(self.pid, signal.SIGKILL)  # with it ends the reading, too
            line = ""
        if not line:
            why = f"its process {self.pid} gave no answer; {self.log} may tell more"
            raise RouterUnreachable("the background host did not begin", why, "codeswarm resume")
        report = Report.model_validate_json(line)
        if report.state not in wanted:
            raise RouterRefused(Problem.model_validate(report.problem))
        return report.state


@contextlib.asynccontextmanager
async def joined_or_background(
    here: Here, make_plan: Callable[[], Any], sessions: Sequence[str], *, wait: bool
) -> AsyncIterator[tuple[RouterClient, Background | None]]:
    """A client of the router here: of the one that is live, else of a background host that is started for it."""
    while not await answers(here):
        background = Background(here, make_plan(), sessions, wait=wait)
        try:
            await background.ready()
            if not await background.host():
                continue  # another process became the router here just now: it is joined
            async with here.client() as client:
                yield client, background
                return
        finally:
            background.let_go()
    async with here.client() as client:
        yield client, None


async def begin_detached(
    here: Here,
    make_plan: Callable[[], Any],
    begin: Callable[[RouterClient, bool], Awaitable[Conversation]],
    *,
    sessions: Sequence[str] = (),
    wait: bool = False,
) -> int:
    """Begin something at a router that no terminal belongs to, and leave it alone once it is durable."""
    async with joined_or_background(here, make_plan, sessions, wait=wait) as (client, background):
        conversation = await begin(client, background is None)
    tell_detached(here, conversation, background)
    return 0


def tell_detached(here: Here, conversation: Conversation, background: Background | None) -> None:
    id_ = conversation.follower.session.id
    host = None if background is None else {"pid": background.pid, "log": str(background.log)}
    if here.json:
        say_json({"session": id_, "detached": True, "host": host})
        return
    where = "at the router that is live here" if host is None else f"in the background, process {host['pid']}"
    say(f"session {id_} goes on {where}")
    say(f"look: codeswarm watch {id_}   codeswarm status {id_}")
    say(f"stop: codeswarm stop {id_}")
