"""One life of the router: the real kernel, lease desk, rescuer, room, lander and saver on a ledger that outlives it.

Only what touches git is replaced: merges and moves of refs are decided by the dice and kept in a small world of made-up
commits. Whatever is asked of the kernel is watched on its way: that is where promises are checked.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import suppress
from typing import Any, Protocol, TypeVar, cast

from codeswarm.clock import Clock
from codeswarm.domain import commands as cmd, events as ev
from codeswarm.domain.ids import Commit, SessionId
from codeswarm.domain.rejection import stale
from codeswarm.domain.session import Checkpoint, Save, Session, Ticket
from codeswarm.engine.gathering import Submitted
from codeswarm.engine.kernel import Kernel
from codeswarm.engine.lander import Lander
from codeswarm.engine.leases import Leased, LeaseDesk
from codeswarm.engine.parkings import Parkings
from codeswarm.engine.receipts import Signer
from codeswarm.engine.rescuer import Rescuer
from codeswarm.engine.room import Room
from codeswarm.engine.saver import Saver, _Refusal
from codeswarm.errors import CodeswarmError, Refused
from codeswarm.ledger.base import Recorded, Reply
from codeswarm.simulator.faults import Fault, Faults
from codeswarm.simulator.ledger import Disk, SlowLedger
from codeswarm.simulator.plans import fake_id, tree_of

T = TypeVar("T")


class RouterDied(Exception):
    """Whoever was asked is gone; whether it did what it was asked for is not known."""


class Watch(Protocol):
    """Who looks at all that the kernel decides and says."""

    def decided(self, session: Session, command: cmd.Command, events: list[ev.Event]) -> None: ...

    def contradicted(self, command: cmd.Command, error: Exception) -> None: ...

    def acknowledged(self, records: list[Recorded]) -> None: ...


class WatchedKernel(Kernel):
    """The kernel, watched."""

    def __init__(self, ledger: SlowLedger, clock: Clock, watch: Watch) -> None:
        super().__init__(ledger, clock)
        self._watch = watch
        self.dead = False

    def submit(self, id_: SessionId, command: cmd.Command, *, reply: Reply | None = None) -> Submitted:
        if self.dead:
            raise Refused(
                stale("this router was killed", "codeswarm resume", "a fault of the history that is played")
            )  # what it still tries to tidy up, a killed process does not
        try:
            submitted = super().submit(id_, command, reply=reply)
        except CodeswarmError:
            raise
        except Exception as error:
            self.dead = True
            self._watch.contradicted(command, error)
            raise
        if submitted.events or isinstance(command, cmd.CompleteAttempt):
            self._watch.decided(self.session(id_), command, submitted.events)
        return submitted

    def _load(self, id_: SessionId) -> Session:
        if self.dead:  # or it would wait for commits that never come
            raise Refused(stale("this router was killed", "codeswarm resume", "a fault of the history that is played"))
        return super()._load(id_)

    def _forget(self, id_: SessionId, generation: int, error: BaseException) -> None:
        if not self.dead:
            super()._forget(id_, generation, error)

    def flush(self) -> None:
        if not self.dead:
            super().flush()
            return
        while self._open:  # what a killed process has gathered is gone with it
            self._open.popitem()[1].give_up(RouterDied())

    async def durable(self, submitted: Submitted) -> list[Recorded]:
        records = await super().durable(submitted)
        self._watch.acknowledged(records)
        return records


class Git:
    """What the store and the person's repository know: made-up commits, and where the shared refs stand."""

    def __init__(self, faults: Faults) -> None:
        self.faults = faults
        self.files: dict[Commit, tuple[str, ...]] = {}
        self.ancestors: dict[Commit, frozenset[Commit]] = {}
        self.integration: dict[SessionId, Commit] = {}
        self.branches: dict[SessionId, Commit] = {}
        self.looked: set[tuple[SessionId, Commit, int]] = set()
        """Where a save looked at the person's branch already: it moves between looks, not within one."""
        self.problems: list[str] = []

    def merge(self, commit: Commit, *parents: Commit, files: tuple[str, ...] = ()) -> Commit:
        above = frozenset(parents).union(*(self.ancestors.get(parent, frozenset()) for parent in parents))
        self.ancestors[commit] = above
        self.files[commit] = files
        return commit

    def move(self, session: SessionId, to: Commit) -> None:
        """Move the integration ref, forward only."""
        before = self.integration.get(session)
        if before not in (None, to) and before not in self.ancestors.get(to, frozenset()):
            self.problems.append(f"the integration ref of {session} was moved to a commit that does not follow it")
        self.integration[session] = to

    # ── what lander and saver ask of a store ──

    def sync(self) -> None:
        """Everything is synced already."""

    def changed_files(self, old: Commit, commit: Commit) -> tuple[str, ...]:
        return self.files.get(commit, ())

    def is_ancestor(self, commit: Commit, of: Commit) -> bool:
        return commit == of or commit in self.ancestors.get(of, frozenset())


class SimulatedLander(Lander):
    """The lander; merges come from the dice."""

    def __init__(self, kernel: Kernel, git: Git, signer: Signer, clock: Clock, turn: asyncio.Lock, room: Room) -> None:
        super().__init__(kernel, cast(Any, git), cast(Any, None), signer, clock, turn, room)
        self._git = git

    def _try_merge(self, session: Session, ticket: Ticket, work: Commit, tip: Commit) -> cmd.RecordMerge:
        number = len(session.landings) + 1
        if self._git.faults.strikes(Fault.CONFLICT, self._clock.monotonic(), session.id, ticket.id, number):
            return cmd.RecordMerge(ticket=ticket.id, old=tip, work=work, conflicts=ticket.files or ("a.py",))
        commit = Commit(fake_id("landing", session.id, number, tip, work))
        self._git.merge(commit, tip, files=ticket.files)
        alone = any(a.head == work and a.base == tip for a in ticket.attempts.values())
        tree = tree_of(work) if alone else tree_of(commit)
        return cmd.RecordMerge(ticket=ticket.id, old=tip, work=work, commit=commit, tree=tree)

    async def publish(self, session_id: SessionId) -> None:
        self._git.move(session_id, self._kernel.session(session_id).tip)


class SimulatedSaver(Saver):
    """The saver; the person's branch is one of the made-up refs."""

    def __init__(self, kernel: Kernel, git: Git, signer: Signer, clock: Clock, turn: asyncio.Lock, room: Room) -> None:
        super().__init__(kernel, cast(Any, git), cast(Any, None), signer, clock, turn, room)
        self._git = git

    def _fetch_theirs(self, session: Session, branch: str) -> Commit | None:
        git, saves = self._git, len(session.checkpoints)
        theirs = git.branches.setdefault(session.id, session.base)
        git.ancestors.setdefault(theirs, frozenset())
        first_look = (session.id, session.tip, saves) not in git.looked
        git.looked.add((session.id, session.tip, saves))
        if first_look and git.faults.strikes(
            Fault.BRANCH_MOVED, self._clock.monotonic(), session.id, session.tip, saves
        ):
            moved = Commit(fake_id("theirs", session.id, session.tip, saves))
            git.branches[session.id] = git.merge(moved, theirs)
        return git.branches[session.id]

    def _merge_theirs(self, session: Session, theirs: Commit) -> cmd.RecordMerge:
        number, tip = len(session.landings) + 1, session.tip
        if self._git.faults.strikes(Fault.CONFLICT, self._clock.monotonic(), session.id, "base", number):
            return cmd.RecordMerge(ticket=None, old=tip, work=theirs, conflicts=("a.py",))
        commit = self._git.merge(Commit(fake_id("caught up", session.id, number, tip, theirs)), tip, theirs)
        return cmd.RecordMerge(ticket=None, old=tip, work=theirs, commit=commit, tree=tree_of(commit))

    def _next_checkpoint(self) -> str:
        return f"checkpoint/2026-01-01-{len(self._kernel.ledger.table('checkpoints')) + 1}"

    def _do_move(self, session: SessionId, save: Save, checkpoint: Checkpoint) -> str | _Refusal:
        git = self._git
        if git.faults.strikes(Fault.SAVE_REFUSED, self._clock.monotonic(), session, checkpoint.id):
            return _Refusal("files_in_the_way", "a file was changed", ("a.py",), ("git stash",))
        if not git.is_ancestor(git.branches[session], checkpoint.new):
            return _Refusal("moved", "the branch has moved meanwhile")
        git.branches[session] = checkpoint.new
        return "fast_forward"


class SimulatedRoom(Room):
    """Room on a made-up disk."""

    def __init__(self, disk: Disk, clock: Clock, again: Callable[[], None]) -> None:
        super().__init__((), clock, lambda problem: None, again)
        self._disk = disk

    def _try(self) -> bool:
        return not self._disk.full


class Router:
    """A router that lives until `crash`."""

    def __init__(self, ledger: SlowLedger, clock: Clock, git: Git, signer: Signer, disk: Disk, watch: Watch) -> None:
        self.kernel = WatchedKernel(ledger, clock, watch)
        self.desk = LeaseDesk(self.kernel, clock)
        self.room = SimulatedRoom(disk, clock, self.desk.renew)
        turn = asyncio.Lock()
        self.lander = SimulatedLander(self.kernel, git, signer, clock, turn, self.room)
        self.saver = SimulatedSaver(self.kernel, git, signer, clock, turn, self.room)
        self.rescuer = Rescuer(self.kernel, self.desk, clock, self.room)
        self.parkings = Parkings(self.kernel, clock, self.room)
        self._git = git
        self._tasks: dict[asyncio.Task[Any], None] = {}
        """In the order of their beginning: a set would be killed in another order each time."""

    def start(self, failed: Callable[[BaseException], None]) -> None:
        """Begin where the ledger stands. `failed` is told what one of the movers raised, which none ever should."""
        self.kernel.start()
        self.desk.start()
        for session in self.kernel.live_sessions():
            self._git.move(session.id, session.tip)
        movers = (self.lander.run(), self.saver.run(), self.rescuer.run(), self.parkings.run(), self.room.run())
        for mover in movers:
            self._spawn(mover).add_done_callback(lambda task: _tell(task, failed))

    def _spawn(self, work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks[task] = None
        task.add_done_callback(self._tasks.pop)
        return task

    async def do(self, work: Callable[[Router], Awaitable[T]]) -> T:
        """Do what a request asks for. Raises: RouterDied; CodeswarmError as the request does, and where nothing can be
        written just now.
        """
        if self.kernel.dead:
            raise RouterDied
        if self.room.problem is not None:
            raise self.room.problem
        try:
            return await work(self)
        except CodeswarmError as error:
            await self.room.met(error)
            raise

    async def claim(self, claim: cmd.Claim, wait_s: float) -> Leased | None:
        """A claim waits for long, so it is a task that dies with the router. Raises: as `do`."""
        task = self._spawn(self.do(lambda _: self.desk.claim(claim, wait_s)))
        try:
            await asyncio.wait({task})
        finally:
            if not task.done():
                task.cancel()  # whoever asked hung up, which the router notices
        if task.cancelled():
            raise RouterDied
        return task.result()

    async def ask(self, session: SessionId, command: cmd.Command) -> list[Recorded]:
        """A person's command. A refusal is recorded, too. Raises: as `do`."""
        try:
            return await self.do(lambda _: self.kernel.execute(session, command))
        except Refused as refused:
            event = ev.CommandRejected(command=command.kind, reason=refused.what, hint=refused.hint, by="ada")
            with suppress(Refused):
                await self.do(lambda _: self.kernel.durable(self.kernel.record(session, event)))
            raise

    def crash(self) -> None:
        self.kernel.dead = True
        for task in list(self._tasks):
            task.cancel()


def _tell(task: asyncio.Task[Any], failed: Callable[[BaseException], None]) -> None:
    if not task.cancelled() and (error := task.exception()) is not None:
        failed(error)
