"""The engine: everything of the router but its HTTP face, put together for one project on one machine.

It owns the order of starting (reconcile before anything moves) and of stopping (no new leases, then the holders end,
then the rest). The rooms it ties together know nothing of each other.
"""

from __future__ import annotations

import asyncio
import contextlib
import shutil
from collections.abc import AsyncIterator, Callable, Coroutine
from pathlib import Path
from typing import Any

from codeswarm.awake import Absence
from codeswarm.clock import Clock
from codeswarm.domain import commands as cmd, events as ev
from codeswarm.domain.ids import SessionId
from codeswarm.domain.prices import Prices
from codeswarm.domain.results import Report
from codeswarm.domain.states import STOPS
from codeswarm.engine.attempts import Attempts
from codeswarm.engine.branches import TaskBranches
from codeswarm.engine.data import Data
from codeswarm.engine.kernel import Kernel
from codeswarm.engine.labels import LabelWatch
from codeswarm.engine.lander import Lander
from codeswarm.engine.leases import NO_PRICES, LeaseDesk
from codeswarm.engine.offers import Offers
from codeswarm.engine.parkings import Parkings
from codeswarm.engine.project import Project
from codeswarm.engine.questions import Questions
from codeswarm.engine.receipts import Signer
from codeswarm.engine.reconciler import Reconciler
from codeswarm.engine.rescuer import Rescuer
from codeswarm.engine.room import Room, Tell
from codeswarm.engine.saver import Saver
from codeswarm.engine.threads import in_thread
from codeswarm.engine.workers import Registry, WorkerSupervisor
from codeswarm.errors import CodeswarmError, GitError, Refused, disk_full
from codeswarm.garbage import nothing_collected
from codeswarm.git.store import Store
from codeswarm.ledger.artifacts import Artifacts
from codeswarm.ledger.base import Ledger, Recorded


class Engine:
    def __init__(
        self,
        data: Data,
        ledger: Ledger,
        store: Store,
        project: Project,
        clock: Clock,
        worker_order: Callable[[str, int], dict[str, object]],
        tell: Tell = lambda problem: None,
        prices: Prices = NO_PRICES,
    ) -> None:
        """`tell`: how the person hears at once that nothing can be written, and that it can be again.

        `prices`: what tokens cost where agents don't say.
        """
        self.data = data
        self.project = project
        self.store = store
        self.clock = clock
        self.kernel = Kernel(ledger, clock)
        self.desk = LeaseDesk(self.kernel, clock, prices)
        self.questions = Questions(self.kernel, clock)
        self._tell = tell
        self._was_full = ""
        self.room = Room((data.root, store.path), clock, self._tell_of_room, self.desk.renew)
        self.artifacts = Artifacts(data.artifacts)
        self.signer = signer = Signer.open(data.key)
        self.branches = TaskBranches(self.kernel, store, self.room)
        self.attempts = Attempts(self.kernel, store, signer, self.artifacts, self.branches, clock, prices)
        self.offers = Offers(store, project.checkout)
        turn = asyncio.Lock()
        self.lander = Lander(self.kernel, store, project, signer, clock, turn, self.room)
        self.saver = Saver(self.kernel, store, project, signer, clock, turn, self.room)
        self.rescuer = Rescuer(self.kernel, self.desk, clock, self.room)
        self.parkings = Parkings(self.kernel, clock, self.room)
        registry = Registry(data.workers)
        self.workers = WorkerSupervisor(registry, self.desk, self.kernel, clock, worker_order, data.logs, self.room)
        self._labels = LabelWatch(self.kernel, self.workers, self.room)
        self._reconciler = Reconciler(self.kernel, self.desk, store, project, self.lander, registry)

    @contextlib.asynccontextmanager
    async def running(self, slots: int, *also: Callable[[], Coroutine[Any, Any, None]]) -> AsyncIterator[None]:
        """Everything that moves by itself, for as long as the context lasts; `also` runs beside it.

        `slots` 0: no workers are started.
        """
        await in_thread(_empty, self.data.tmp)
        with nothing_collected():
            self.kernel.start()
        self.desk.start()
        await self._reconcile()
        movers = [self.lander.run(), self.saver.run(), self.rescuer.run(), self.parkings.run()]
        movers += [self.branches.run(), self._labels.run(), self.room.run()]
        movers += [start() for start in also]
        if slots:
            movers.append(self.workers.run(slots))
        async with asyncio.TaskGroup() as tasks:
            running = [tasks.create_task(mover) for mover in movers]
            try:
                yield
            finally:
                for task in running:
                    task.cancel()
        try:
            with contextlib.suppress(GitError):  # the next start moves them
                await self.branches.move()
            await self.lander.publish_all()
        except (CodeswarmError, OSError) as error:
            if not disk_full(error):  # the next start publishes what has landed
                raise

    async def forget_transcripts(self, session: SessionId, by: str, reason: str) -> None:
        """Throw away what a session's agents were told and said. Idempotent; said before it is done.

        Raises: Refused (a session that is not over).
        """
        await self.ask(session, cmd.ForgetTranscripts(by=by, reason=reason))
        digests: set[str] = set()
        for record in self.kernel.ledger.history(session):
            report = getattr(record.event, "report", None)
            digests |= {getattr(record.event, "told", ""), report.transcript if isinstance(report, Report) else ""}
        await in_thread(self.artifacts.forget, session, digests - {""})

    async def _reconcile(self) -> None:
        """Begin where the ledger stands; on a full disk as soon as there is room."""
        looking = asyncio.create_task(self.room.run())
        try:
            await self.room.patiently(self._reconciler.reconcile)
        finally:
            looking.cancel()

    def _tell_of_room(self, problem: CodeswarmError | None) -> None:
        """Tell the person at once, and the timeline as soon as it can be written again."""
        self._tell(problem)
        if problem is not None:
            self._was_full = str(problem.what)
            return
        note = cmd.Note(subject="disk", what=f"nothing was written for a while: {self._was_full}", next_step="")
        for session in self.kernel.live_sessions():
            with contextlib.suppress(Refused):
                self.kernel.submit(session.id, note)

    def tell_of_absence(self, absence: Absence) -> None:
        """We could do nothing for a while, and neither could they that hold leases of ours: that counts for nobody."""
        self.desk.renew()
        note = cmd.Note(subject="sleep", what=f"{absence}; leases were extended")
        for session in self.kernel.live_sessions():
            if session.status in STOPS:
                with contextlib.suppress(Refused):
                    self.kernel.submit(session.id, note)

    async def ask(self, session: SessionId, command: cmd.Command) -> list[Recorded]:
        """A person's command. A refusal is recorded, too: nothing that a person asks for vanishes. Raises: Refused."""
        try:
            return await self.kernel.execute(session, command)
        except Refused as refused:
            by = str(getattr(command, "by", ""))
            event = ev.CommandRejected(command=command.kind, reason=refused.what, hint=refused.hint, by=by)
            with contextlib.suppress(Refused):
                await self.kernel.durable(self.kernel.record(session, event))
            raise


def _empty(folder: Path) -> None:
    """A folder of our own with nothing in it, whatever a killed router left there."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
