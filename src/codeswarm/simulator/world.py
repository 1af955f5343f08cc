"""A whole history: a router that dies and comes back, workers, persons, a disk, clocks, and everyone who watches.

Sessions are started until the ledger holds as many events as were asked for. Then nothing goes wrong any more, and all
must come to rest: nothing may be lost, and nothing may go on for ever.
"""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Callable, Collection, Coroutine
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cache
from operator import attrgetter
from typing import Any

from codeswarm.domain import commands as cmd, events as ev
from codeswarm.domain.evolve import evolve
from codeswarm.domain.ids import Commit, SessionId, Tree, WorkerId
from codeswarm.domain.invariants import broken, broken_after
from codeswarm.domain.results import FailureClass, GateCommand
from codeswarm.domain.session import Session, Ticket
from codeswarm.domain.states import AttemptStatus, SessionStatus, TicketStatus, WaitReason
from codeswarm.engine.receipts import Signer
from codeswarm.errors import CodeswarmError
from codeswarm.ledger.base import Recorded
from codeswarm.simulator.agents import Agents, Truth
from codeswarm.simulator.faults import Fault, Faults, Strike
from codeswarm.simulator.ledger import Disk, SlowLedger
from codeswarm.simulator.loop import LoopClock, Standstill, VirtualLoop, play
from codeswarm.simulator.parkings import OF_OTHERS, Heard
from codeswarm.simulator.people import People
from codeswarm.simulator.plans import fake_id, make_plan, make_settings, tree_of, with_times
from codeswarm.simulator.promises import AFTER_THE_END, Promises
from codeswarm.simulator.router import Git, Router, RouterDied
from codeswarm.simulator.worker import Worker

START_MS = 1_700_000_000_000
MOST_TICKETS = 9
PROCESSES, SLOTS = 3, 2
COMMITS_PER_CHANCE = 20
"""The router may die, the disk may fill and the clock may jump at every such number of commits."""
LONGEST_S = 2 * 24 * 3600.0
"""No history lasts longer; one that does goes round in circles."""
EVENTS_TO_REST = 2000
"""Nor does it take more events than these to come to rest."""
FINAL = (SessionStatus.FINALIZED, SessionStatus.CANCELLED)


@dataclass
class Order:
    """What history to play: the same order gives the same log."""

    seed: int
    events: int = 1000
    """As many at least before things go well again."""
    only: Collection[str] | None = None
    """The faults that strike; None: as the seed has it."""
    most_tickets: int = MOST_TICKETS
    most_events: int | None = None
    """Not looked at beyond these; None: to the end."""
    sessions: int | None = None
    """At most at once; None: as the seed has it."""


@dataclass
class History:
    """What came of it."""

    order: Order
    problem: str = ""
    """The first promise that did not hold; empty: all did."""
    events: int = 0
    log_hash: str = ""
    struck: list[Strike] = field(default_factory=list)
    chances: Counter[str] = field(default_factory=Counter)
    hits: Counter[str] = field(default_factory=Counter)
    classes: set[FailureClass] = field(default_factory=set)
    kinds: Counter[str] = field(default_factory=Counter)
    """Kinds of events, and how many of each."""
    log: list[Recorded] = field(default_factory=list)
    lasted_s: float = 0.0


def simulate(order: Order) -> History:
    """Play a history. Never raises for what the code under test does: that is its `problem`."""
    history = History(order)
    try:
        play(lambda loop: _World(loop, order, history).run())
    except Standstill as error:
        history.problem = history.problem or str(error)
    return history


class _World:
    """Everything of one history. It is the `World` of its workers and persons, and the `Watch` of its routers."""

    def __init__(self, loop: VirtualLoop, order: Order, history: History) -> None:
        self._order = order
        self._history = history
        self._loop = loop
        self.clock = LoopClock(loop, START_MS)
        self.faults = Faults(order.seed, order.only)
        self._truth = Truth(self.faults)
        self._signer = Signer(b"simulated")
        self.agents = Agents(self.faults, self._truth, self._signer)
        self._git = Git(self.faults)
        self._disk = Disk()
        self._ledger = SlowLedger(loop, self._disk)
        self._ledger.before_commit, self._ledger.after_commit = self._before_commit, self._committed
        self.router: Router | None = None
        self._promises: dict[SessionId, Promises] = {}
        self._heard = Heard()
        self._acknowledged: dict[SessionId, int] = {}
        self._tasks: set[asyncio.Task[Any]] = set()
        self._commits = self._started = self._workers = 0
        self._calm_at = 0
        self._rested = False
        self._sessions = order.sessions or 1 + int(self.faults.draw("sessions") * 2)
        self._done = asyncio.Event()
        loop.set_exception_handler(lambda loop, context: self.fail(f"{context['message']}: {context.get('exception')}"))

    # ── the course of a history ──

    async def run(self) -> None:
        try:
            await self._play()
        finally:
            self._end()

    async def _play(self) -> None:
        self._start_router()
        for number in range(PROCESSES):
            self._start_worker(number)
        self.spawn(People(self).run())
        self.spawn(self._begin_sessions())
        self.spawn(self._jump())
        timer = self._loop.call_later(LONGEST_S, lambda: self.fail("the session never comes to rest"))
        await self._done.wait()
        timer.cancel()
        if not self._history.problem and self._rested:
            self._look_back()

    def _end(self) -> None:
        history, faults = self._history, self.faults
        history.events, history.log_hash = self._ledger.head()
        history.struck, history.chances, history.hits = faults.struck, faults.chances, faults.hits
        history.classes = self.agents.classes
        for promises in self._promises.values():
            history.kinds += promises.kinds
        history.log = [record for id_ in self._ledger.sessions() for record in self._ledger.history(id_)]
        history.log.sort(key=lambda record: record.seq)
        history.lasted_s = self.clock.monotonic()

    def fail(self, problem: str) -> None:
        """The first problem ends the history."""
        if not self._history.problem:
            self._history.problem = problem
        self._done.set()

    @property
    def over(self) -> bool:
        return self._done.is_set()

    def begin(self, work: Coroutine[Any, Any, object]) -> asyncio.Task[object]:
        task = self._loop.create_task(work)
        self._keep(task)
        return task

    def spawn(self, work: Coroutine[Any, Any, object]) -> None:
        self._keep(self._loop.create_task(work))

    def _keep(self, task: asyncio.Task[object]) -> None:
        self._tasks.add(task)
        task.add_done_callback(self._finished)

    def _finished(self, task: asyncio.Task[object]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self.fail(f"{type(error).__name__}: {error}")

    # ── sessions ──

    async def _begin_sessions(self) -> None:
        """Start sessions until there are events enough; then let everything come to rest."""
        while self._ledger.head()[0] < self._order.events:
            if self._open_sessions() < self._sessions:
                await self._begin_session()
            await self.clock.sleep(10)
        self.faults.stopped = True
        self._calm_at = self._ledger.head()[0]
        while self._open_sessions():
            if self._ledger.head()[0] - self._calm_at > EVENTS_TO_REST:
                self.fail(f"{EVENTS_TO_REST} events after the last fault the sessions are not at rest")
            await self.clock.sleep(60)
        await self.clock.sleep(1200)  # what is late still arrives, at sessions that are over
        self._rested = True
        self._done.set()

    def _open_sessions(self) -> int:
        if self.router is None:
            return self._sessions
        return len(self.router.kernel.open_sessions())

    async def _begin_session(self) -> None:
        id_ = SessionId(f"s{self._started + 1}")
        numbers = random.Random(f"{self._order.seed} {id_}")  # noqa: S311 - what is wanted is that it can be foretold
        settings = with_times(make_settings(numbers), numbers, self.clock.now_ms())
        plan = make_plan(numbers, MOST_TICKETS)[: self._order.most_tickets]
        base, router = Commit(fake_id("base", id_)), self.router
        if router is None:
            return
        command = cmd.StartSession(
            session=id_,
            name="",
            goal="a goal",
            base_branch="main",
            base=base,
            base_tree=tree_of(base),
            settings=settings,
            tickets=plan,
            by="ada",
            parked=router.parkings.holding(),
        )
        with suppress(CodeswarmError, RouterDied):
            await router.do(lambda _: router.kernel.execute(id_, command))
            self._started += 1

    # ── machines ──

    def _start_router(self) -> None:
        router = Router(self._ledger, self.clock, self._git, self._signer, self._disk, self)
        self.router = router
        router.start(lambda error: self.fail(f"{type(error).__name__} ended a part of the router: {error}"))
        for id_, version in self._acknowledged.items():
            if router.kernel.session(id_).version < version:
                self.fail(f"session {id_} came back without what was acknowledged")

    def _start_worker(self, number: int) -> None:
        self._workers += 1
        theirs = number == 0 and self.faults.draw("accounts") < 0.3
        accounts = {"claude": "theirs" if theirs else "ours"}
        worker = Worker(self, WorkerId(f"w{number}.{self._workers}"), SLOTS, accounts)
        worker.on_crash = lambda dead: self._worker_died(dead, number)

    def _worker_died(self, worker: Worker, number: int) -> None:
        if not worker.alive:
            return
        worker.kill()
        if self.faults.draw("noticed", worker.id) < 0.5:
            self.spawn(self._give_up(worker.id))
        self._loop.call_later(self.faults.between(1, 30, "again", worker.id), self._start_worker, number)

    async def _give_up(self, worker: WorkerId) -> None:
        """The supervisor saw it die."""
        router = self.router
        if router is None:
            return
        for session, subject, epoch in router.desk.of_worker(worker):
            command = cmd.LoseLease(subject=subject, epoch=epoch, reason="its worker died")
            with suppress(CodeswarmError, RouterDied):
                await router.do(lambda _, s=session, c=command: router.kernel.execute(s, c))  # type: ignore[misc]

    def _before_commit(self) -> bool:
        """Whether the router lives to commit what is queued."""
        self._commits += 1
        at_s, chance = self.clock.monotonic(), self._commits
        if chance % COMMITS_PER_CHANCE:
            return True
        if self.faults.strikes(Fault.DISK_FULL, at_s, chance):
            self._disk.full = True
            self._loop.call_later(self.faults.between(1, 60, "room", chance), self._disk.make_room)
        if self.faults.strikes(Fault.ROUTER_CRASH, at_s, chance):
            before = self.faults.draw("before", chance) < 0.5
            self._loop.call_soon(self._router_dies, chance)
            return not before
        return True

    def _router_dies(self, chance: int) -> None:
        if self.router is None:
            return
        self.router.crash()
        self._ledger.crash(RouterDied())
        self.router = None
        self._loop.call_later(self.faults.between(0.5, 20, "restart", chance), self._start_router)

    async def _jump(self) -> None:
        """Somebody sets the clock."""
        for number in range(1_000_000):
            await self.clock.sleep(120)
            if self.faults.strikes(Fault.CLOCK_FORWARD, self.clock.monotonic(), number):
                self.clock.wall_ms += int(1000 * self.faults.between(1, 7200, "forward", number))
            if self.faults.strikes(Fault.CLOCK_BACK, self.clock.monotonic(), number):
                self.clock.wall_ms -= int(1000 * self.faults.between(1, 7200, "back", number))

    # ── watching ──

    def decided(self, session: Session, command: cmd.Command, events: list[ev.Event]) -> None:
        """Called with each batch, as it is decided."""
        for problem in broken_after(session, events):
            self.fail(problem)
        self._check_stale(session, command, events)
        self._check_late(session, command, events)
        if self._git.problems:
            self.fail(self._git.problems[0])

    def _check_stale(self, session: Session, command: cmd.Command, events: list[ev.Event]) -> None:
        """A word about a lease that is over changes nothing; its work is kept."""
        word = _words_of_holders().get(type(command))
        promises = self._promises.get(session.id)
        if word is None or promises is None:
            return
        subject, epoch = word(command)
        if (subject, epoch) not in promises.over:
            return
        changed = [event.kind for event in events if not isinstance(event, AFTER_THE_END)]
        if changed:
            self.fail(f"a stale {command.kind} of {session.id}:{subject}:{epoch} caused {', '.join(changed)}")

    def _check_late(self, session: Session, command: cmd.Command, events: list[ev.Event]) -> None:
        """A result that comes after its lease was lost is kept."""
        if isinstance(command, cmd.CompleteAttempt) and not events:
            attempt = session.tickets[command.ticket].attempts[command.epoch]
            if attempt.status in (AttemptStatus.LOST, AttemptStatus.CANCELLED) and not attempt.late:
                self.fail(f"the late result of {session.id}:{command.ticket}:{command.epoch} was dropped")

    def contradicted(self, command: cmd.Command, error: Exception) -> None:
        self.fail(f"{command.kind} made the domain contradict itself: {type(error).__name__}: {error}")

    def acknowledged(self, records: list[Recorded]) -> None:
        """Called when somebody is told that a command is done."""
        last, _ = self._ledger.head()
        for record in records:
            if record.seq > last:
                self.fail(f"event {record.seq} was told of before it was durable")
            self._acknowledged[record.session] = max(self._acknowledged.get(record.session, 0), record.version)

    def _committed(self, records: list[Recorded]) -> None:
        for record in records:
            promises = self._promises.get(record.session)
            if promises is None:
                promises = self._promises[record.session] = Promises(self._tell_of(record.session), self._is_green)
            promises.see(record.event, record.at_ms)
            if type(record.event) in OF_OTHERS:
                for problem in self._heard.look(record.session, record.event, record.at_ms, self.clock.monotonic()):
                    self.fail(problem)
        if self._order.most_events is not None and self._ledger.head()[0] >= self._order.most_events:
            self._done.set()

    def _tell_of(self, session: SessionId) -> Any:
        return lambda problem: self.fail(f"session {session}: {problem}")

    def _is_green(self, tree: Tree, command: GateCommand) -> bool:
        return self._truth.told(tree, command)

    # ── at the end ──

    def _look_back(self) -> None:
        """Replay everything from its text, and see that nothing was lost on the way."""
        router = self.router
        if router is None:
            self.fail("the router never came back")
            return
        for id_ in self._ledger.sessions():
            session = router.kernel.session(id_)
            again = Session(id_)
            for record in self._ledger.parsed(id_):
                evolve(again, record.event, record.at_ms)
            if again != session:
                self.fail(f"session {id_} is not what its log adds up to")
            for problem in broken(again):
                self.fail(problem)
            for ticket in session.tickets.values():
                if why := _lost(session, ticket):
                    self.fail(f"ticket {ticket.id} of session {id_} was lost: {why}")


@cache
def _words_of_holders() -> dict[type[cmd.Command], Callable[[cmd.Command], tuple[str, int]]]:
    """Commands that a lease's holder gives, and what names the lease in each: its subject and its epoch."""
    found: dict[type[cmd.Command], Callable[[cmd.Command], tuple[str, int]]] = {}
    for kind in cmd.Command.__subclasses__():
        subject = next((name for name in ("subject", "ticket", "gate") if name in kind.model_fields), None)
        if subject is not None and "epoch" in kind.model_fields:
            found[kind] = attrgetter(subject, "epoch")
    return found


def _lost(session: Session, ticket: Ticket) -> str:
    """Why a ticket should not be where it is, now that its session is over; empty where it may."""
    if session.status is SessionStatus.CANCELLED or session.target_reached:
        return ""
    for_money = ticket.waiting is WaitReason.BUDGET
    never_begun = ticket.waiting is WaitReason.QUOTA and not session.landed  # over with its base's red gate
    waits = ticket.status is TicketStatus.WAITING and not (for_money or never_begun)
    if ticket.status in (TicketStatus.IN_PROGRESS, TicketStatus.LANDING) or waits:
        return f"it is {ticket.status}"
    if ticket.status is TicketStatus.READY and not ticket.open_blockers and session.landed:
        return "it is ready, and nobody works on it"
    if ticket.open_blockers and all(
        session.tickets[blocker].status is TicketStatus.COMPLETE for blocker in ticket.spec.blocked_by
    ):
        return "all of its blockers have landed, and it still waits for them"
    return ""
