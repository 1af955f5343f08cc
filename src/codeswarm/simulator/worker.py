"""Workers: processes with slots that claim, work for a drawn time, repeat themselves, come late and die.

A slot speaks with the router over a network that loses, delays, doubles and reorders what is said.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import suppress
from math import exp
from statistics import NormalDist
from typing import Any, Protocol, TypeVar

from codeswarm.clock import within
from codeswarm.domain import commands as cmd
from codeswarm.domain.executions import Answer, answer
from codeswarm.domain.ids import Commit, GateId, TicketId, WorkerId, is_gate
from codeswarm.domain.leasing import gate_holder, holder
from codeswarm.domain.pipeline import AGENT_ROLES, Role
from codeswarm.domain.rejection import Rejection
from codeswarm.domain.results import FailureClass, Report
from codeswarm.domain.session import Attempt, Gate, Session, Ticket
from codeswarm.domain.states import Handover
from codeswarm.engine.leases import Leased, Pulse
from codeswarm.errors import CodeswarmError, Refused
from codeswarm.simulator.agents import Agents
from codeswarm.simulator.faults import Fault, Faults
from codeswarm.simulator.loop import LoopClock
from codeswarm.simulator.plans import HEARTBEAT_S, SILENCE_S, TIMEOUT_S, TTL_S, fake_id
from codeswarm.simulator.router import Router, RouterDied
from codeswarm.simulator.runaway import HAND_BACK_S, LEAST_USD_S, MOST_USD_S, Runaway

T = TypeVar("T")

MEDIAN_S = 40.0
SIGMA = 0.8
PATIENCE_S = 5.0
"""Without an answer for this long, a word is said again."""
MOST_TRIES = 60
"""So often is a word said before its worker gives it up."""
CLAIM_WAIT_S = 300.0
ASKS = 0.15
"""The share of agents that ask."""
BEGINS_ANEW = 0.1
"""The share of agents whose conversation is not the one that they were begun with."""
LONGEST_VISIT_S = 600.0
NOTHING = Report()
_NORMAL = NormalDist()


class World(Protocol):
    """What a worker sees of its world."""

    faults: Faults
    agents: Agents
    clock: LoopClock

    @property
    def router(self) -> Router | None: ...

    @property
    def over(self) -> bool: ...

    def spawn(self, work: Coroutine[Any, Any, object]) -> None:
        """Let something go on by itself until the world ends."""
        ...

    def fail(self, problem: str) -> None:
        """Something that was promised is broken."""
        ...

    def begin(self, work: Coroutine[Any, Any, object]) -> asyncio.Task[object]:
        """The same, for whoever may end it before."""
        ...


class _Over(Exception):
    """The lease is over: whatever the slot still does changes nothing."""


class Network:
    """Between a slot and the router. Every word may go astray, and is said again until it is answered."""

    def __init__(self, world: World) -> None:
        self._world = world

    async def say(self, name: str, where: tuple[object, ...], act: Callable[[Router], Awaitable[T]]) -> T:
        """Say a word and have its answer. Raises: Refused; _Over where nobody could be reached for long."""
        faults, clock = self._world.faults, self._world.clock
        for number in range(MOST_TRIES):
            word = ":".join(map(str, (*where, name, number)))
            if faults.strikes(Fault.LOST_REQUEST, clock.monotonic(), word):
                await clock.sleep(PATIENCE_S)
                continue
            if faults.strikes(Fault.LATE, clock.monotonic(), word):
                await clock.sleep(faults.between(1, 3 * TTL_S, "late", word))
            if faults.strikes(Fault.DUPLICATED, clock.monotonic(), word):
                self._world.spawn(self._again(act, faults.between(0, 2 * TTL_S, "again", word)))
            try:
                answer = await self._reach(act)
            except (RouterDied, _Unreachable):
                await clock.sleep(PATIENCE_S)
                continue
            if faults.strikes(Fault.LOST_ANSWER, clock.monotonic(), word):
                await clock.sleep(PATIENCE_S)
                continue
            return answer
        raise _Over

    async def _again(self, act: Callable[[Router], Awaitable[T]], after_s: float) -> None:
        await self._world.clock.sleep(after_s)
        with suppress(Refused, RouterDied, _Unreachable):
            await self._reach(act)

    def later(self, act: Callable[[Router], Awaitable[T]], after_s: float) -> None:
        """Say a word without waiting for its answer: others may overtake it."""
        self._world.spawn(self._again(act, after_s))

    async def _reach(self, act: Callable[[Router], Awaitable[T]]) -> T:
        router = self._world.router
        if router is None:
            raise _Unreachable
        try:
            return await router.do(act)
        except Refused:
            raise
        except CodeswarmError as error:
            raise _Unreachable from error  # 503: nothing was recorded


class _Unreachable(Exception):
    """Nobody answered, or only that it can't be done just now."""


class Worker:
    """One process. It lives until `kill`."""

    def __init__(self, world: World, id_: WorkerId, slots: int, accounts: dict[str, str]) -> None:
        self.id = id_
        self._world = world
        self._network = Network(world)
        self._accounts = accounts
        self._runaways: dict[Leased, Runaway] = {}
        """By the lease that each works under."""
        self._tasks = [world.begin(self._slot(n, AGENT_ROLES)) for n in range(slots)]
        self._tasks.append(world.begin(self._slot(slots, frozenset({Role.VERIFIER}))))
        self._tasks.append(world.begin(self._slot(slots + 1, frozenset())))
        self.on_crash: Callable[[Worker], None] = lambda worker: None
        self.alive = True

    def kill(self) -> None:
        self.alive = False
        for task in self._tasks:
            task.cancel()

    # ── a slot ──

    async def _slot(self, number: int, roles: frozenset[Role]) -> None:
        claim = cmd.Claim(worker=self.id, roles=roles, accounts=self._accounts, visits=not roles)

        async def ask(router: Router) -> Leased | None:
            return await router.claim(claim, CLAIM_WAIT_S)

        claims = 0
        while not self._world.over:
            claims += 1
            try:
                leased = await self._network.say("claim", (self.id, number, claims), ask)
            except _Over:
                continue
            if leased is not None:
                await self._hold(leased)

    async def _hold(self, leased: Leased) -> None:
        """Work on a lease, with heartbeats beside it, to its end."""
        work = self._gate(leased) if is_gate(leased.subject) else self._attempt(leased)
        self._runaways.pop(leased, None)
        working = asyncio.ensure_future(work)
        beating = asyncio.ensure_future(self._beat(leased, working))
        try:
            await asyncio.wait({working})
        finally:
            working.cancel()
            beating.cancel()
            self._runaways.pop(leased, None)
        error = None if working.cancelled() else working.exception()
        if error is not None and not isinstance(error, _Over | Refused):
            raise error

    async def _beat(self, leased: Leased, working: asyncio.Future[None]) -> None:
        faults, clock = self._world.faults, self._world.clock
        where = (leased.session, leased.subject, leased.epoch)
        seen = beats = 0
        if faults.strikes(Fault.LEASE_EXPIRES, clock.monotonic(), *where):
            await clock.sleep(TTL_S * 2)
        while True:
            await clock.sleep(HEARTBEAT_S)
            beats += 1
            router = self._world.router
            if router is None or faults.strikes(Fault.LOST_REQUEST, clock.monotonic(), *where, "beat", beats):
                continue
            away = self._runaways.get(leased)
            usage = None if away is None else away.usage(clock.monotonic())
            heard = away is not None and away.told.is_set()
            try:
                pulse = await router.desk.heartbeat(*where, seen, 0.0, usage=usage, handing_back=heard)
            except Refused:
                if faults.draw("stubborn", *where) < 0.5:  # half of the workers do not listen and go on
                    working.cancel()
                return
            if pulse.cancel is not None:
                working.cancel()
                await self._release(leased, pulse.cancel)
                return
            if away is not None and usage is not None and (problem := away.hear(leased, router, usage, pulse)):
                self._world.fail(problem)
            await self._deliver(leased, pulse)
            seen += len(pulse.messages)

    async def _deliver(self, leased: Leased, pulse: Pulse) -> None:
        for message in pulse.messages:
            command = cmd.DeliverMessage(
                message=message.number, ticket=TicketId(leased.subject), epoch=leased.epoch, how="prompt"
            )
            with suppress(Refused, _Over):
                await self._tell(leased, f"deliver-{message.number}", command)

    async def _release(self, leased: Leased, reason: str, report: Report = NOTHING) -> None:
        command = cmd.ReleaseLease(subject=leased.subject, epoch=leased.epoch, reason=reason, report=report)
        with suppress(Refused, _Over):
            await self._tell(leased, "release", command)

    async def _tell(self, leased: Leased, name: str, command: cmd.Command) -> None:
        await self._network.say(
            name,
            (leased.session, leased.subject, leased.epoch),
            lambda router: router.kernel.execute(leased.session, command),
        )

    # ── an attempt ──

    async def _attempt(self, leased: Leased) -> None:
        """From the lease to the report, as a worker does it."""
        faults, clock = self._world.faults, self._world.clock
        where = (leased.session, leased.subject, leased.epoch)
        key = {"ticket": TicketId(leased.subject), "epoch": leased.epoch}
        self._perhaps_crash(where)
        visited = await self._network.say("prepare", where, lambda router: self._prepare(router, leased))
        await clock.sleep(faults.between(0.1, 3, "set-up", *where))
        started = cmd.StartAttempt(**key, sandbox="none", conversation=f"c-{leased.subject}-{leased.epoch}")
        await self._tell(leased, "start", started)
        if visited and not await self._visit(leased, where):
            return
        failure = None if visited else await self._play(leased, where)
        if failure is None:
            head = Commit(fake_id("head", *where))
            await self._tell(leased, "gating", cmd.BeginGating(**key, commit=head))
            await clock.sleep(faults.between(0.5, 10, "gate", *where))
        if faults.strikes(Fault.SLOT_DIES, clock.monotonic(), *where):
            await self._tell(leased, "restart", cmd.ReportRestart(worker=self.id, reason="slot died"))
            return
        await self._report(leased, where, failure)

    async def _prepare(self, router: Router, leased: Leased) -> bool:
        """What the router does for a holder that begins: the start commit, with markers after a conflict. Whether the
        attempt is a person's own.
        """
        session = router.kernel.session(leased.session)
        ticket, attempt = _held(session, leased)
        if attempt.start is not None:
            return attempt.rested is not None
        where = (leased.session, leased.subject, leased.epoch)
        marked = ticket.conflict == 1 and ticket.phase.writes and self._world.faults.draw("markers", *where) < 0.7
        command = cmd.PrepareAttempt(
            ticket=ticket.id,
            epoch=leased.epoch,
            start=Commit(fake_id("start", *where)),
            conflicts=ticket.spec.files if marked else (),
        )
        await router.kernel.execute(leased.session, command)
        return attempt.rested is not None

    async def _visit(self, leased: Leased, where: tuple[object, ...]) -> bool:
        """A person in the place of an agent. Whether they say that the work is complete; else they have left."""
        faults, clock = self._world.faults, self._world.clock
        key: dict[str, Any] = {"ticket": TicketId(leased.subject), "epoch": leased.epoch}
        await self._tell(leased, "visit", cmd.BeginVisit(**key, to="shell"))
        snapshot = cmd.RecordSnapshot(**key, commit=Commit(fake_id("wip", *where)), files=1)
        await clock.sleep(faults.between(1, LONGEST_VISIT_S, "visits", *where))
        await self._tell(leased, "snapshot", snapshot)
        how = faults.choose(tuple(Handover), "leaves", *where)
        await self._tell(leased, "leave", cmd.EndVisit(**key, how=how))
        if how is not Handover.COMPLETE:
            await self._release(leased, f"they said {how}", Report(work=self._world.agents.by_hand(where)))
        return how is Handover.COMPLETE

    async def _play(self, leased: Leased, where: tuple[object, ...]) -> FailureClass | None:
        """The agent at work. How it was ended, if not by itself."""
        faults, clock = self._world.faults, self._world.clock
        ticket = TicketId(leased.subject)
        if faults.draw("begins anew", *where) < BEGINS_ANEW:
            other = f"c-{leased.subject}-{leased.epoch}-anew"
            named = cmd.NameConversation(ticket=ticket, epoch=leased.epoch, conversation=other)
            await self._tell(leased, "name", named)
        if faults.strikes(Fault.AGENT_HANGS, clock.monotonic(), *where):
            await clock.sleep(SILENCE_S)
            return FailureClass.HUNG
        if faults.strikes(Fault.AGENT_SLOW, clock.monotonic(), *where):
            await clock.sleep(TIMEOUT_S)
            return FailureClass.TIMED_OUT
        if faults.strikes(Fault.RUNAWAY, clock.monotonic(), *where):
            return await self._run_away(leased, where)
        work_s = MEDIAN_S * exp(SIGMA * _NORMAL.inv_cdf(min(max(faults.draw("duration", *where), 0.001), 0.999)))
        wip = Commit(fake_id("wip", *where))
        snapshot = cmd.RecordSnapshot(ticket=ticket, epoch=leased.epoch, commit=wip, files=1)
        await clock.sleep(work_s / 2)
        await self._ask(leased, where)
        overtaken = faults.strikes(Fault.REORDERED, clock.monotonic(), *where)
        self._network.later(
            lambda router: router.kernel.execute(leased.session, snapshot), work_s + 20 if overtaken else 0.01
        )
        await clock.sleep(work_s / 2)
        return None

    async def _run_away(self, leased: Leased, where: tuple[object, ...]) -> FailureClass:
        """An agent that spends until it is stopped: at a cap by one more turn, else by the time."""
        faults, clock = self._world.faults, self._world.clock
        usd_s = faults.between(LEAST_USD_S, MOST_USD_S, "spends", *where)
        away = self._runaways[leased] = Runaway(clock.monotonic(), usd_s)
        told = asyncio.ensure_future(away.told.wait())
        try:
            if not await within(clock, TIMEOUT_S, told):
                return FailureClass.TIMED_OUT
        finally:
            told.cancel()
        await clock.sleep(faults.between(0.1, HAND_BACK_S, "hands back", *where))
        return FailureClass.OVER_BUDGET

    async def _ask(self, leased: Leased, where: tuple[object, ...]) -> None:
        """Some agents ask before they run something, and wait for as long as it takes."""
        if self._world.faults.draw("asks", *where) >= ASKS:
            return
        ticket = TicketId(leased.subject)
        question = cmd.AskPermission(ticket=ticket, epoch=leased.epoch, call="1", command="make check")

        async def ask(router: Router) -> Answer | None:
            await router.kernel.execute(leased.session, question)
            return answer(router.kernel.session(leased.session), question)

        times = 0
        while await self._network.say("ask", (*where, times), ask) is None:
            times += 1
            await self._world.clock.sleep(HEARTBEAT_S)

    async def _report(self, leased: Leased, where: tuple[object, ...], failure: FailureClass | None) -> None:
        """Written down once, and said until it is taken: a repetition says the very same."""
        letter: list[cmd.CompleteAttempt] = []
        away = self._runaways.get(leased)
        used = None if away is None else away.usage(self._world.clock.monotonic())

        async def send(router: Router) -> None:
            if not letter:
                session = router.kernel.session(leased.session)
                ticket = session.tickets[TicketId(leased.subject)]
                now_ms, at_s = self._world.clock.now_ms(), self._world.clock.monotonic()
                report, receipts = self._world.agents.report(
                    session, ticket, ticket.attempts[leased.epoch], now_ms, at_s, failure, used
                )
                letter.append(
                    cmd.CompleteAttempt(ticket=ticket.id, epoch=leased.epoch, report=report, receipts=receipts)
                )
            await router.kernel.execute(leased.session, letter[0])

        await self._network.say("complete", where, send)

    def _perhaps_crash(self, where: tuple[object, ...]) -> None:
        faults, clock = self._world.faults, self._world.clock
        if faults.strikes(Fault.WORKER_CRASH, clock.monotonic(), *where):
            self._world.spawn(self._crash(faults.between(0.1, 60, "crash", *where)))

    async def _crash(self, after_s: float) -> None:
        await self._world.clock.sleep(after_s)
        self.on_crash(self)

    # ── a gate of the queue ──

    async def _gate(self, leased: Leased) -> None:
        faults, clock = self._world.faults, self._world.clock
        where = (leased.session, leased.subject, leased.epoch)
        self._perhaps_crash(where)
        await clock.sleep(faults.between(1, 15, "gate", *where))
        letter: list[cmd.CompleteGate] = []

        async def send(router: Router) -> None:
            if not letter:
                session = router.kernel.session(leased.session)
                gate = _running(session, leased)
                runs, receipts = self._world.agents.gate_runs(session, gate, leased.epoch, clock.monotonic())
                letter.append(cmd.CompleteGate(gate=gate.id, epoch=leased.epoch, runs=runs, receipts=receipts))
            await router.kernel.execute(leased.session, letter[0])

        await self._network.say("complete", where, send)


def _held(session: Session, leased: Leased) -> tuple[Ticket, Attempt]:
    """Raises: Refused where the lease is over."""
    found = holder(session, TicketId(leased.subject), leased.epoch)
    if isinstance(found, Rejection):
        raise Refused(found)
    return found


def _running(session: Session, leased: Leased) -> Gate:
    """Raises: Refused where the lease is over."""
    found = gate_holder(session, GateId(leased.subject), leased.epoch)
    if isinstance(found, Rejection):
        raise Refused(found)
    return found
