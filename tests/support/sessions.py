"""Sessions in a given state, for tests of decisions: every helper goes through the same door as the engine.

A `Swarm` plays the worker, the lander and the saver, one command at a time. After each command it holds the
invariants, and the state against a second one that is read back from the recorded events alone.

    swarm = Swarm("a", "b")                    # active: its base gate is green
    swarm.begin("a")                           # leased, prepared, started
    swarm.end("a", gates="red")                # the agent is done, the gate is red
    assert swarm.ticket("a").failures == 1
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from typing import Any, TypeVar, cast

from codeswarm.domain import commands as cmd, events as ev, gates, landing
from codeswarm.domain.brain import handle
from codeswarm.domain.events import parse_event
from codeswarm.domain.evolve import evolve
from codeswarm.domain.ids import Commit, SessionId, TicketId, Tree, WorkerId
from codeswarm.domain.invariants import Audit, broken
from codeswarm.domain.pipeline import Role
from codeswarm.domain.rejection import Rejection
from codeswarm.domain.results import (
    Failure,
    FailureClass,
    GateCommand,
    GateOutcome,
    GateRun,
    Receipt,
    Report,
    Usage,
    Verdict,
    Work,
)
from codeswarm.domain.session import Attempt, Session, Ticket
from codeswarm.domain.settings import Gates, Settings
from codeswarm.domain.ticket import TicketSpec

E = TypeVar("E", bound=ev.Event)

START_MS = 1_700_000_000_000
FAST = GateCommand(name="fast", command="fast")
FULL = GateCommand(name="full", command="full")
CONTRACT = GateCommand(name="contract", command="contract {files}")
ALL_ROLES = frozenset(Role)
AGENTS = ALL_ROLES - {Role.VERIFIER}
VERIFIERS = frozenset({Role.VERIFIER})


def spec(id_: str, *blocked_by: str, **fields: Any) -> TicketSpec:
    return TicketSpec(id=TicketId(id_), title=f"ticket {id_}", blocked_by=blocked_by, **fields)


def settings(**fields: Any) -> Settings:
    """One phase, one agent for every role, one gate: the least that works. Fields replace whole sections."""
    least: dict[str, Any] = {
        "roles": {"*": ("command:agent",)},
        "gates": Gates(fast=FAST),
        "default_pipeline": "single",
    }
    return Settings(**{**least, **fields})


def commit(*parts: object) -> Commit:
    """An object id that its parts fix."""
    return Commit(hashlib.sha1(repr(parts).encode(), usedforsecurity=False).hexdigest())


def tree_of(of: Commit) -> Tree:
    return Tree(commit("tree", of))


def receipt(tree: Tree, run: GateRun, **fields: Any) -> Receipt:
    return Receipt(
        id=commit("receipt", tree, run.command, run.outcome)[:12],
        tree=tree,
        command=run.command,
        name=run.name,
        outcome=run.outcome,
        exit_code=run.exit_code,
        log="",
        environment="",
        worker="w1",
        **fields,
    )


def waiver(tree: Tree, by: str = "ada") -> Receipt:
    return receipt(tree, GateRun(name="no-gate", command="", outcome=GateOutcome.WAIVED), by=by)


def of_kind(events: Iterable[ev.Event], kind: type[E]) -> list[E]:
    return [event for event in events if isinstance(event, kind)]


class Refusal(AssertionError):
    """A command that a test takes for granted was refused."""


class Swarm:
    """One session and the hands that move it."""

    def __init__(
        self,
        *tickets: str | TicketSpec,
        settings: Settings | None = None,
        base_gate: str | None = "green",
        ask: str = "",
    ) -> None:
        """`tickets`: ids or specs; without any, a planner is asked for `ask`.

        `base_gate` None: the session stays in draft, with its base gate unrun.
        """
        self.now_ms = START_MS
        self.session = Session(SessionId("s1"))
        self.events: list[ev.Event] = []
        self._shadow = Session(SessionId("s1"))
        self._audit = Audit()
        self._count = 0
        base = commit("base")
        self.do(
            cmd.StartSession(
                session=SessionId("s1"),
                name="",
                goal="a goal",
                base_branch="main",
                base=base,
                base_tree=tree_of(base),
                settings=settings or _default(),
                tickets=tuple(spec(ticket) if isinstance(ticket, str) else ticket for ticket in tickets),
                by="ada",
                ask=ask,
            )
        )
        if base_gate is not None and self.session.gates:
            self.gate(base_gate)

    # ── commands ──

    def ask(self, command: cmd.Command) -> list[ev.Event] | Rejection:
        """Whatever the brain answers, with everything that must hold held."""
        answer = handle(self.session, command, self.now_ms)
        for event in [] if isinstance(answer, Rejection) else answer:
            self.events.append(event)
            self._audit.see(event)
            evolve(self._shadow, parse_event(event.kind, event.model_dump_json()), self.now_ms)
        assert self._audit.problems + broken(self.session) == []
        assert self._shadow == self.session, "a replay of the events gives another state"
        return answer

    def do(self, command: cmd.Command) -> list[ev.Event]:
        answer = self.ask(command)
        if isinstance(answer, Rejection):
            raise Refusal(f"{command!r}: {answer.reason}")
        return answer

    def refused(self, command: cmd.Command) -> Rejection:
        """The rejection of a command that must be refused."""
        answer = self.ask(command)
        assert isinstance(answer, Rejection), f"{command!r} was not refused: {answer}"
        return answer

    def later(self, seconds: float) -> None:
        """Time passes; agents whose time has come are back, as the rescuer sees to it."""
        self.now_ms += round(seconds * 1000)
        for (agent, account), parking in list(self.session.parked.items()):
            if parking.until_ms is not None and parking.until_ms <= self.now_ms:
                self.do(cmd.UnparkAgent(agent=agent, account=account))

    def fresh(self, *parts: object) -> Commit:
        """A commit that was never seen before."""
        self._count += 1
        return commit(self._count, *parts)

    # ── looking ──

    def ticket(self, id_: str) -> Ticket:
        return self.session.tickets[TicketId(id_)]

    def attempt(self, id_: str, epoch: int | None = None) -> Attempt:
        ticket = self.ticket(id_)
        return ticket.attempts[ticket.epoch if epoch is None else epoch]

    def statuses(self) -> dict[str, str]:
        return {str(id_): str(ticket.shown_status) for id_, ticket in self.session.tickets.items()}

    def of_kind(self, kind: type[E]) -> list[E]:
        return of_kind(self.events, kind)

    # ── leases ──

    def claim(
        self,
        worker: str = "w1",
        roles: Iterable[Role] = ALL_ROLES,
        labels: Iterable[str] = (),
        agents: Iterable[str] = (),
        accounts: Mapping[str, str] = {},
    ) -> str | None:
        """What is leased to a worker that asks: a ticket, a gate, or None."""
        command = cmd.Claim(
            worker=WorkerId(worker),
            roles=frozenset(roles),
            labels=frozenset(labels),
            agents=frozenset(agents),
            accounts=dict(accounts),
        )
        for event in self.do(command):
            if isinstance(event, ev.AttemptLeased):
                return event.ticket
            if isinstance(event, ev.GateLeased):
                return event.gate
        return None

    def claims(self, most: int = 100, **who: Any) -> list[str]:
        """Everything that one worker gets, asking again and again."""
        found = []
        while len(found) < most and (subject := self.claim(**who)) is not None:
            found.append(subject)
        return found

    def begin(
        self,
        id_: str,
        *,
        worker: str = "w1",
        conflicts: tuple[str, ...] = (),
        conversation: str = "",
        resumed: bool = False,
        accounts: Mapping[str, str] = {},
    ) -> Attempt:
        """Lease exactly this ticket, prepare it and start it."""
        leased = self.claim(worker, AGENTS | {self.ticket(id_).phase.role}, accounts=accounts)
        assert leased == id_, f"{leased} was leased instead of {id_}"
        key = {"ticket": TicketId(id_), "epoch": self.ticket(id_).epoch}
        self.do(cmd.PrepareAttempt(**key, start=self.fresh("start"), conflicts=conflicts))
        self.do(cmd.StartAttempt(**key, sandbox="none", conversation=conversation, resumed=resumed))
        return self.attempt(id_)

    def snapshot(self, id_: str) -> Commit:
        taken = self.fresh("wip")
        self.do(cmd.RecordSnapshot(ticket=TicketId(id_), epoch=self.ticket(id_).epoch, commit=taken, files=1))
        return taken

    # ── the end of an attempt ──

    def report(
        self,
        id_: str,
        *,
        failure: str | Failure | None = None,
        files: tuple[str, ...] = ("src/a.py",),
        gates: str | Mapping[str, Any] | None = None,
        usage: Usage | None = None,
        **fields: Any,
    ) -> tuple[Report, tuple[Receipt, ...]]:
        """What a worker would report of the ticket's live attempt, and the receipts the router would make of it.

        `gates`: the outcome of all gates, or per command its outcome or the fields of its run; by default what the
        phase asks for.
        """
        ticket = self.ticket(id_)
        work = None
        if ticket.phase.writes:
            made = self.fresh("work", id_)
            work = Work(commit=made, tree=tree_of(made), changed_files=files, markers=fields.pop("markers", ()))
        elif ticket.phase.role is Role.REVIEWER:
            fields.setdefault("verdict", Verdict.APPROVE)
        elif ticket.phase.role is Role.PLANNER:
            fields.setdefault("plan", "first this, then that")
        runs = self._runs(ticket, gates)
        if isinstance(failure, str):
            failure = Failure(failure_class=FailureClass(failure), message=f"it was {failure}")
        report = Report(work=work, failure=failure, gate_runs=runs, usage=usage or Usage(), **fields)
        tree = work.tree if work else tree_of(ticket.work or self.session.tip)
        return report, tuple(receipt(tree, run) for run in runs if run.outcome is not GateOutcome.UNAVAILABLE)

    def end(self, id_: str, **fields: Any) -> list[ev.Event]:
        """Complete the live attempt; `fields` as for `report`."""
        report, receipts = self.report(id_, **fields)
        return self.complete(id_, report, receipts)

    def complete(
        self, id_: str, report: Report, receipts: tuple[Receipt, ...] = (), epoch: int | None = None
    ) -> list[ev.Event]:
        epoch = self.ticket(id_).epoch if epoch is None else epoch
        return self.do(cmd.CompleteAttempt(ticket=TicketId(id_), epoch=epoch, report=report, receipts=receipts))

    def lose(self, id_: str, reason: str = "its worker fell silent") -> list[ev.Event]:
        return self.do(cmd.LoseLease(subject=id_, epoch=self.ticket(id_).epoch, reason=reason))

    def release_lease(self, id_: str, reason: str = "stopped") -> list[ev.Event]:
        return self.do(cmd.ReleaseLease(subject=id_, epoch=self.ticket(id_).epoch, reason=reason))

    def hold(self, id_: str) -> list[ev.Event]:
        return self.do(cmd.HoldTicket(ticket=TicketId(id_), by="ada"))

    def release(self, id_: str) -> list[ev.Event]:
        return self.do(cmd.ReleaseTicket(ticket=TicketId(id_), by="ada"))

    def phase(self, id_: str, **fields: Any) -> list[ev.Event]:
        """One whole attempt at the ticket's present phase."""
        self.begin(id_)
        return self.end(id_, **fields)

    def phases(self, id_: str, **fields: Any) -> None:
        """Everything up to the landing queue."""
        while not self.ticket(id_).done_with_phases:
            self.phase(id_, **fields)

    def _runs(self, ticket: Ticket, outcomes: str | Mapping[str, Any] | None) -> tuple[GateRun, ...]:
        wanted = GateOutcome.RED if gates.expects_red(self.session, ticket) else GateOutcome.GREEN
        runs = []
        for command in gates.phase_commands(self.session, ticket):
            told = outcomes.get(command.name, wanted) if isinstance(outcomes, Mapping) else outcomes or wanted
            runs.append(gate_run(command, told))
        return tuple(runs)

    # ── gates of the queue ──

    def gate(self, outcome: Any = "green", **fields: Any) -> list[ev.Event]:
        """Lease the next gate and finish it."""
        leased = self.claim("v1", VERIFIERS)
        assert leased is not None, "no gate is to be had"
        return self.finish_gate(leased, outcome, **fields)

    def finish_gate(self, gate_id: str, outcome: Any = "green", **fields: Any) -> list[ev.Event]:
        gate = self.session.gates[cast(Any, gate_id)]
        told = {"outcome": outcome, **fields} if isinstance(outcome, str) else outcome
        runs = tuple(gate_run(command, told) for command in gate.commands)
        receipts = tuple(receipt(gate.tree, run) for run in runs if run.outcome is not GateOutcome.UNAVAILABLE)
        return self.do(cmd.CompleteGate(gate=gate.id, epoch=gate.epoch, runs=runs, receipts=receipts))

    # ── landing and saving ──

    def merge(self, conflicts: tuple[str, ...] = ()) -> list[ev.Event]:
        """What the lander does next: merge the first of the queue with the tip."""
        ticket = landing.next_to_land(self.session)
        assert ticket is not None, "nothing is to be landed"
        return self.do(self.merge_of(ticket.id, conflicts))

    def merge_of(self, id_: str | None, conflicts: tuple[str, ...] = (), work: Commit | None = None) -> cmd.RecordMerge:
        made = self.fresh("merge")
        work = work or (self.fresh("theirs") if id_ is None else self.ticket(id_).work)
        assert work is not None
        return cmd.RecordMerge(
            ticket=None if id_ is None else TicketId(id_),
            old=self.session.tip,
            work=work,
            commit=None if conflicts else made,
            tree=None if conflicts else tree_of(made),
            conflicts=conflicts,
        )

    def land(self, files: tuple[str, ...] = ("src/a.py",), waivers: tuple[Receipt, ...] = ()) -> list[ev.Event]:
        """The commit point of the landing under way."""
        assert self.session.landing is not None
        return self.do(cmd.LandMerge(landing=self.session.landing.number, files=files, waivers=waivers))

    def landed(self, *ids: str) -> None:
        """Take tickets all the way, one after the other."""
        for id_ in ids:
            self.phases(id_)
            self.merge()
            self.gate()
            self.land()
            assert self.ticket(id_).status == "complete"

    def intend(self, name: str = "checkpoint/2026-11-20-1") -> list[ev.Event]:
        return self.do(cmd.IntendSave(checkpoint=name, old=self.session.base, new=self.session.tip))

    def saved(self, name: str = "checkpoint/2026-11-20-1") -> list[ev.Event]:
        """Ask for a save and take it all the way; the full gate has run."""
        self.do(cmd.RequestSave(by="ada"))
        if self.do(cmd.RequestFullGate()):
            self.gate()
        self.intend(name)
        return self.do(cmd.CompleteSave(how="fast_forward"))


def gate_run(command: GateCommand, told: Any) -> GateRun:
    """A run of a command with an outcome, or with the given fields."""
    fields = {"outcome": told} if isinstance(told, str) else dict(told)
    outcome = GateOutcome(fields.pop("outcome"))
    code = {GateOutcome.GREEN: 0, GateOutcome.UNAVAILABLE: 75}.get(outcome, 1)
    return GateRun(
        **{"name": command.name, "command": command.command, "outcome": outcome, "exit_code": code, **fields}
    )


def _default() -> Settings:
    return settings()
