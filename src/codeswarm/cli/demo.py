"""`codeswarm demo`: the whole swarm on a small real project, offline, with recorded agents.

What is recorded is said aloud; everything else is real: git, pytest, the walls, the crash, and the killed worker.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import tempfile
from pathlib import Path
from typing import Annotated, Any

import typer

from codeswarm.cli.follow import Follower, Rest
from codeswarm.cli.here import Here, run_async
from codeswarm.cli.host import make_show
from codeswarm.cli.output import duration, next_step, progress, say, say_json
from codeswarm.domain import events as ev
from codeswarm.domain.session import Session
from codeswarm.errors import UsageError, WorkFailed

SLOTS = 4
DOOMED = ("totals", "implementation", 1)
"""The attempt whose worker is killed, once it has snapshotted something."""


def demo(
    context: typer.Context,
    directory: Annotated[
        Path | None, typer.Option("--dir", metavar="DIR", help="Where to put it; a new temporary folder if left out.")
    ] = None,
) -> None:
    """Watch recorded agents grow a small library: a conflict, a rejected review, a crash, a killed worker, no network.

    Example: codeswarm demo

    Exit codes: 0 all of it was seen, 1 something was not.
    """
    from codeswarm.demo import stage

    stage.check()
    here: Here = context.obj
    folder = _folder(here, directory)
    raise typer.Exit(run_async(_Demo(here, folder).run()))


def _folder(here: Here, directory: Path | None) -> Path:
    if directory is None:
        return Path(tempfile.mkdtemp(prefix="codeswarm-demo-"))
    folder = here.directory / directory
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UsageError(
            f"{folder} is there already and not empty", "the demo makes a folder of its own", f"--dir {folder}-2"
        )
    folder.mkdir(parents=True, exist_ok=True)
    return folder


class _Demo:
    def __init__(self, here: Here, folder: Path) -> None:
        self._here = here
        self._folder = folder
        self._tell = progress if here.json else say
        self._killed: list[int] = []

    async def run(self) -> int:
        from codeswarm.demo import stage
        from codeswarm.environment import Environment
        from codeswarm.home import find_home
        from codeswarm.wiring import WorkerPlan, router

        repository = stage.set_up(self._folder)
        sandbox = self._introduce()
        variables = {**self._here.environment.variables, "CODESWARM_WORKSPACES": str(self._folder / "workspaces")}
        environment = Environment(variables)
        home = find_home(repository, environment, self._folder / "data")
        async with router(home, WorkerPlan(SLOTS, self._folder), environment) as hosted:
            started = await hosted.sessions.start(self._request(stage, sandbox))
            follower = Follower(started.session, make_show(self._here))
            rest = await self._follow(hosted, follower)
        self._check(stage, follower.session, rest)
        self._end(home, follower.session)
        return 0

    def _introduce(self) -> str:
        from codeswarm.sandbox.bubblewrap import probe

        self._tell("The agents are recorded: what they say and type was written down before. All else is real: git,")
        self._tell("pytest as the gate, a merge conflict, a review that asks for changes, a crash, a killed worker.")
        found = probe()
        if found.works:
            return "bubblewrap"
        self._tell(f"Without walls, since {found.why}. For recorded agents that is fine; for real ones: {found.fix}")
        return "none"

    def _request(self, stage: Any, sandbox: str) -> Any:
        from codeswarm.engine.sessions import SessionRequest

        return SessionRequest(
            by=self._here.by, plan=stage.plan(), source="the demo's tickets", flags=stage.flags(self._folder, sandbox)
        )

    # ── while it runs ──

    async def _follow(self, hosted: Any, follower: Follower) -> Rest | None:
        async def wires() -> Any:
            from codeswarm.ledger import views

            async for record in hosted.engine.kernel.subscribe(0, follower.session.id):
                self._kill_when_due(hosted, record.event)
                yield views.wire(record)

        loop = asyncio.get_running_loop()
        task = asyncio.current_task()
        assert task is not None
        loop.add_signal_handler(signal.SIGINT, task.cancel)
        try:
            async with contextlib.aclosing(wires()) as events:
                return await follower.until_rest(events)
        finally:
            loop.remove_signal_handler(signal.SIGINT)
            follower.close()

    def _kill_when_due(self, hosted: Any, event: ev.Event) -> None:
        """A real SIGKILL for the worker of the doomed attempt, once its work is in a wip ref."""
        if not isinstance(event, ev.SnapshotTaken) or event.ticket != DOOMED[0] or self._killed:
            return
        session = next(iter(hosted.engine.kernel.live_sessions()))
        attempt = session.tickets[event.ticket].attempts[event.epoch]
        if (attempt.phase, attempt.number) != DOOMED[1:] or not attempt.live:
            return
        for worker in hosted.engine.workers.live:
            if worker.worker == attempt.worker:
                self._tell(f"          (the demo kills worker {worker.worker}, pid {worker.pid}, with SIGKILL)")
                self._killed.append(worker.pid)
                os.kill(worker.pid, signal.SIGKILL)

    # ── the end ──

    def _check(self, stage: Any, session: Session, rest: Rest | None) -> None:
        """The demo is honest: it fails unless everything that it promises was really seen."""
        played = {
            f"{ticket.id}/{attempt.phase}.{attempt.number}"
            for ticket in session.tickets.values()
            for attempt in ticket.attempts.values()
        }
        seen = {
            "every ticket landed": len(session.landed) == len(session.tickets) > 0,
            "every recording played": played == stage.shipped_recordings() == stage.needed_recordings(),
            "a merge conflict": any(landing.reason == "conflict" for landing in session.landings.values()),
            "a review that asked for changes": any(ticket.change_rounds for ticket in session.tickets.values()),
            "an agent that crashed": any(
                attempt.failure is not None and attempt.failure.failure_class == "crashed"
                for ticket in session.tickets.values()
                for attempt in ticket.attempts.values()
            ),
            "a worker that was killed": bool(self._killed)
            and any(a.status == "lost" for t in session.tickets.values() for a in t.attempts.values()),
            "a green end": rest is not None and rest.exit_code == 0,
        }
        unseen = [what for what, was in seen.items() if not was]
        if unseen:
            detail = f"{session.detail}; look into {self._folder}"
            raise WorkFailed(
                f"the demo did not show: {', '.join(unseen)}",
                detail,
                f"codeswarm -C {self._folder / 'quantity'} --data {self._folder / 'data'} timeline",
            )

    def _end(self, home: Any, session: Session) -> None:
        figures = _figures(session)
        if self._here.json:
            say_json({"session": session.id, "folder": str(self._folder), "killed_pids": self._killed, **figures})
            return
        say()
        for line in _graph(home, session):
            say(line)
        say()
        say(f"{figures['landed']} tickets in {figures['waves']} waves landed in {duration(figures['seconds'])}, with")
        say(
            f"{figures['attempts']} attempts: {figures['crashed']} crashed, {figures['lost']} lost with worker pid "
            f"{self._killed[0]} (a real SIGKILL), {figures['bounced']} bounced by a conflict, "
            f"{figures['changes']} sent back by a review; {figures['gates']} gate runs."
        )
        say()
        say("Look further:")
        prefix = f"codeswarm -C {self._folder / 'quantity'} --data {home.data.root}"
        for verb in ("report", "status", "timeline", f"work {DOOMED[0]}", "logs table", "diff --stat", "save"):
            say(f"  {prefix} {verb}")
        say()
        say(f"to throw it away: rm -r {self._folder}")
        next_step("codeswarm doctor   # in a project of your own")


def _graph(home: Any, session: Session) -> list[str]:
    """What landed, newest first, as git shows it."""
    from codeswarm.git.store import Store

    store = Store(home.data.store)
    text = store.git.line(
        "log", "--graph", "--format=%h %s  (%an)", f"{session.base}^!", f"{session.base}..{session.tip}"
    )
    return text.splitlines()


def _figures(session: Session) -> dict[str, Any]:
    attempts = [attempt for ticket in session.tickets.values() for attempt in ticket.attempts.values()]
    last_ms = max(ticket.landed_ms or 0 for ticket in session.tickets.values())
    return {
        "landed": len(session.landed),
        "waves": 1 + max(ticket.wave for ticket in session.tickets.values()),
        "seconds": (last_ms - session.started_ms) / 1000,
        "attempts": len(attempts),
        "crashed": sum(a.failure is not None and a.failure.failure_class == "crashed" for a in attempts),
        "lost": sum(a.status == "lost" for a in attempts),
        "bounced": sum(landing.state == "bounced" for landing in session.landings.values()),
        "changes": sum(ticket.change_rounds for ticket in session.tickets.values()),
        "gates": sum(len(a.gate_runs) for a in attempts) + sum(g.state == "green" for g in session.all_gates.values()),
    }
