"""Random histories of one session: a driver that plays worker, lander, saver, person and faults by turns.

A history is a list of small numbers; each picks one of the moves that are possible just then. So any history can
be shrunk by a property-testing library, and printed and played again.
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

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
    Finding,
    GateCommand,
    GateOutcome,
    GateRun,
    Receipt,
    Report,
    Usage,
    Verdict,
    Work,
)
from codeswarm.domain.session import Attempt, Gate, Session, Ticket
from codeswarm.domain.settings import Caps
from codeswarm.domain.states import FINAL_SESSION, SessionStatus, SuspendReason
from codeswarm.domain.ticket import TicketSpec
from codeswarm.simulator.plans import fake_id, make_plan, make_settings

PEOPLE = ("ada", "bob")
WORKERS = tuple(WorkerId(f"w{i}") for i in range(3))
_ENDS = (
    FailureClass.CRASHED,
    FailureClass.QUOTA,
    FailureClass.HUNG,
    FailureClass.CANCELLED,
    FailureClass.OVERLOADED,
    FailureClass.AUTH,
    FailureClass.UNKNOWN_MODEL,
)
Move = Callable[[], object]
T = TypeVar("T")


@dataclass
class History:
    """One session under a driver; `play` takes a number and makes the move that it picks."""

    seed: int
    fault_share: float = 0.4
    now_ms: int = 1_700_000_000_000
    session: Session = field(init=False)
    events: list[ev.Event] = field(default_factory=list)
    times: list[int] = field(default_factory=list)
    audit: Audit = field(default_factory=Audit)
    old_leases: list[tuple[TicketId, int]] = field(default_factory=list)
    counter: int = 0

    def __post_init__(self) -> None:
        numbers = random.Random(self.seed)
        self.session = Session(SessionId("s1"))
        settings, plan = make_settings(numbers), make_plan(numbers)
        asked = numbers.random() < 0.25
        base = Commit(fake_id("base"))
        self.do(
            cmd.StartSession(
                session=SessionId("s1"),
                name="",
                goal="g",
                base_branch="main",
                base=base,
                base_tree=self.tree_of(base),
                settings=settings,
                tickets=() if asked else plan,
                ask="make it" if asked else "",
                by="ada",
            )
        )

    # ── plumbing ──

    def do(self, command: cmd.Command) -> list[ev.Event] | Rejection:
        answer = handle(self.session, command, self.now_ms)
        if isinstance(answer, Rejection):
            return answer
        for event in answer:
            self.events.append(event)
            self.times.append(self.now_ms)
            self.audit.see(event)
            if isinstance(event, ev.AttemptLeased):
                self.old_leases.append((event.ticket, event.epoch))
        return answer

    def replayed(self) -> Session:
        """The state that the recorded events alone add up to."""
        session = Session(SessionId("s1"))
        for at_ms, event in zip(self.times, self.events, strict=True):
            evolve(session, parse_event(event.kind, event.model_dump_json()), at_ms)
        return session

    def wrong(self) -> list[str]:
        return self.audit.problems + broken(self.session)

    def log_hash(self) -> str:
        digest = hashlib.sha256()
        for at_ms, event in zip(self.times, self.events, strict=True):
            digest.update(f"{at_ms}{event.kind}{event.model_dump_json()}".encode())
        return digest.hexdigest()

    def play(self, number: int) -> None:
        moves = list(self.moves())
        self.now_ms += number % 5 * 700
        moves[number % len(moves)]()
        self._unpark()

    def _unpark(self) -> None:
        """Agents whose time has come are back, as the rescuer sees to it."""
        for (agent, account), parking in list(self.session.parked.items()):
            if parking.until_ms is not None and parking.until_ms <= self.now_ms:
                self.do(cmd.UnparkAgent(agent=agent, account=account))

    def tree_of(self, commit: Commit) -> Tree:
        return Tree(fake_id("tree", commit))

    def fresh(self, *parts: object) -> Commit:
        self.counter += 1
        return Commit(fake_id(self.counter, *parts))

    # ── moves ──

    def moves(self) -> Iterator[Move]:
        for number, worker in enumerate(WORKERS):
            accounts = {"claude": "mine" if number else "theirs"}
            yield lambda w=worker, a=accounts: self.do(cmd.Claim(worker=w, roles=frozenset(Role), accounts=a))
        for id_ in list(self.session.in_progress):
            ticket = self.session.tickets[id_]
            if ticket.live is not None:
                yield from self._attempt_moves(ticket, ticket.live)
        for gate in list(self.session.gates.values()):
            if gate.live_epoch is not None:
                for outcome in (GateOutcome.GREEN, GateOutcome.GREEN, GateOutcome.RED, GateOutcome.UNAVAILABLE):
                    yield lambda g=gate, o=outcome: self._complete_gate(g, o)
                for _ in range(4):
                    yield lambda g=gate: self._complete_gate(g, GateOutcome.GREEN)
                yield lambda g=gate: self.do(cmd.LoseLease(subject=g.id, epoch=g.live_epoch or 0, reason="worker died"))
        yield from self._landing_moves()
        yield from self._person_moves()

    def _attempt_moves(self, ticket: Ticket, attempt: Attempt) -> Iterator[Move]:
        key = {"ticket": ticket.id, "epoch": attempt.epoch}
        for _ in range(12):
            yield lambda: self._advance(ticket, attempt)
        if attempt.start is None:
            yield lambda: self.do(cmd.PrepareAttempt(**key, start=self.fresh("start")))
            if ticket.phase.writes:
                yield lambda: self.do(cmd.PrepareAttempt(**key, start=self.fresh("start"), conflicts=("a.py",)))
        else:
            yield lambda: self.do(cmd.StartAttempt(**key, sandbox="none", conversation=f"c-{ticket.id}"))
        yield lambda: self.do(cmd.RecordSnapshot(**key, commit=self.fresh("wip"), files=1))
        for _ in range(3):
            yield lambda: self._complete(ticket, attempt, None)
        for class_ in _ENDS:
            yield lambda c=class_: self._complete(ticket, attempt, c)
        yield lambda: self.do(cmd.LoseLease(subject=ticket.id, epoch=attempt.epoch, reason="silent"))
        yield lambda: self.do(cmd.ReleaseLease(subject=ticket.id, epoch=attempt.epoch, reason="stop"))

    def _advance(self, ticket: Ticket, attempt: Attempt) -> None:
        """What a healthy worker does next."""
        key = {"ticket": ticket.id, "epoch": attempt.epoch}
        if attempt.start is None:
            self.do(cmd.PrepareAttempt(**key, start=self.fresh("start")))
        elif attempt.status == "leased":
            self.do(cmd.StartAttempt(**key, sandbox="none", conversation=f"c-{ticket.id}"))
        elif attempt.status == "running" and self.counter % 2:
            self.do(cmd.BeginGating(**key, commit=self.fresh("head")))
        else:
            self._complete(ticket, attempt, None)

    def _complete(self, ticket: Ticket, attempt: Attempt, failure: FailureClass | None, *, calm: bool = False) -> None:
        dice = Calm(0) if calm else random.Random(self.counter)
        self.counter += 1
        commit = self.fresh("work", ticket.id)
        changed = ticket.spec.files if dice.random() < 0.9 else ()
        work = Work(commit=commit, tree=self.tree_of(commit), changed_files=changed)
        if not ticket.phase.writes:
            work = None
        commands = gates.phase_commands(self.session, ticket)
        wants_red = gates.expects_red(self.session, ticket)
        green_share = (0.0 if calm else 0.2) if wants_red else (1.0 if calm else 0.85)
        runs = tuple(self._run(command, dice, green=dice.random() < green_share) for command in commands)
        tree = work.tree if work else self.tree_of(ticket.work or self.session.tip)
        verdict = None
        if ticket.phase.role is Role.REVIEWER:
            verdict = dice.choice((Verdict.APPROVE, Verdict.APPROVE, Verdict.CHANGES_REQUESTED, None))
        report = Report(
            work=work,
            failure=Failure(failure_class=failure, message=str(failure)) if failure else None,
            gate_runs=runs,
            verdict=verdict,
            findings=(Finding(text="no"),) if verdict is Verdict.CHANGES_REQUESTED else (),
            dispute="wrong" if not calm and dice.random() < 0.1 else None,
            usage=Usage(cost_usd=dice.choice((0.1, 0.4, None))),
            already_satisfied=dice.random() < 0.1,
            tickets=self._planned(ticket, dice, calm=calm),
            answer="words" if calm or dice.random() < 0.8 else None,
            proposed_tickets=({"title": "more"},) if not calm and dice.random() < 0.05 else (),
        )
        receipts = tuple(self._receipt(tree, run) for run in runs)
        self.do(cmd.CompleteAttempt(ticket=ticket.id, epoch=attempt.epoch, report=report, receipts=receipts))

    def _planned(self, ticket: Ticket, dice: random.Random, *, calm: bool) -> tuple[dict[str, object], ...] | None:
        """A planner's tickets: mostly good ones, otherwise with mistakes of every kind."""
        planning = ticket.planning
        if planning is None or (not calm and dice.random() < 0.1):
            return None
        if ticket.phase_index:
            names = [str(row["id"]) for row in planning.rows.values()]
            due = planning.groups[ticket.phase_index - 1]
            wrong = not calm and dice.random() < 0.2
            return tuple(
                {"id": id_, "title": f"do {id_}", "acceptance": [f"{id_} is there"], "files": [f"{id_}.py"]}
                for id_ in (names[:1] if wrong else due)
            )
        count = 1 if calm else dice.randint(0, 12)
        ids = [f"p{self.counter}-{i}" for i in range(count)]
        cyclic = not calm and dice.random() < 0.2
        return tuple(
            {
                "id": id_,
                "title": f"do {id_}",
                "blocked_by": [b for b in (ids if cyclic else ids[:i]) if dice.random() < 0.2],
                **({"acceptance": ["done"]} if dice.random() < 0.5 else {}),
            }
            for i, id_ in enumerate(ids)
        )

    def _run(self, command: GateCommand, dice: random.Random, *, green: bool) -> GateRun:
        outcome = (
            GateOutcome.GREEN if green else dice.choice((GateOutcome.RED, GateOutcome.RED, GateOutcome.UNAVAILABLE))
        )
        failing = ("t::old",) if outcome is GateOutcome.RED and dice.random() < 0.5 else ()
        return GateRun(
            name=command.name,
            command=command.command,
            outcome=outcome,
            exit_code=0 if green else 1,
            failing=failing,
        )

    def _receipt(self, tree: Tree, run: GateRun) -> Receipt:
        return Receipt(
            id=fake_id(tree, run.command, self.counter)[:12],
            tree=tree,
            command=run.command,
            name=run.name,
            outcome=run.outcome,
            exit_code=run.exit_code,
            log="",
            environment="",
            worker="w0",
        )

    def _complete_gate(self, gate: object, outcome: GateOutcome) -> None:
        dice = random.Random(self.counter)
        self.counter += 1
        runs = tuple(
            GateRun(
                name=c.name,
                command=c.command,
                outcome=outcome,
                exit_code=0,
                failing=("t::old",) if dice.random() < 0.3 else (),
            )
            for c in gate.commands
        )
        receipts = tuple(self._receipt(gate.tree, run) for run in runs)
        self.do(cmd.CompleteGate(gate=gate.id, epoch=gate.live_epoch or 0, runs=runs, receipts=receipts))

    def _landing_moves(self) -> Iterator[Move]:
        session = self.session
        if (ticket := landing.next_to_land(session)) is not None:
            for conflict in (False,) * 8 + (True,):
                yield lambda t=ticket, c=conflict: self._merge(t, c)
        current = session.landing
        if current is not None:
            waiver = self._waiver(current.tree)
            for _ in range(8):
                yield lambda: self.do(cmd.LandMerge(landing=current.number, files=("src/0.py",), waivers=waiver))
            yield lambda: self.do(cmd.BounceLanding(landing=current.number, reason="gate_unavailable", detail="x"))
        if session.save is not None and current is None:
            yield lambda: self.do(cmd.RequestFullGate())
            yield lambda: self._merge(None, conflict=False)
            yield lambda: self.do(
                cmd.IntendSave(
                    checkpoint=f"checkpoint/{len(session.checkpoints)}",
                    old=session.base,
                    new=session.tip,
                    waivers=self._waiver(session.tip_tree),
                )
            )
            yield lambda: self.do(cmd.CompleteSave(how="fast_forward"))
            yield lambda: self.do(cmd.RefuseSave(reason="dirty", detail="files in the way"))

    def _waiver(self, tree: Tree) -> tuple[Receipt, ...]:
        by = self.session.settings.gates.waived_by
        if by is None:
            return ()
        run = GateRun(name="waived", command="", outcome=GateOutcome.WAIVED)
        return (self._receipt(tree, run).model_copy(update={"by": by}),)

    def _merge(self, ticket: Ticket | None, conflict: bool) -> None:
        work = ticket.work if ticket else self.fresh("base moved")
        commit = self.fresh("merge")
        self.do(
            cmd.RecordMerge(
                ticket=ticket.id if ticket else None,
                old=self.session.tip,
                work=work or self.session.tip,
                commit=None if conflict else commit,
                tree=None if conflict else self.tree_of(commit),
                conflicts=("a.py",) if conflict else (),
            )
        )

    def _person_moves(self) -> Iterator[Move]:
        session, dice = self.session, random.Random(self.counter)
        by = PEOPLE[self.counter % 2]
        for id_ in list(session.open_approvals):
            yield lambda i=id_: self.do(cmd.GiveApproval(approval=i, by=by))
            yield lambda i=id_: self.do(cmd.GiveApproval(approval=i, by=by))
            if dice.random() < 0.3:
                yield lambda i=id_: self.do(cmd.RejectApproval(approval=i, by=by, why="no"))
            yield lambda i=id_: self._expire(i)
        if session.tickets:
            id_ = dice.choice(sorted(session.tickets))
            if dice.random() < 0.2:
                yield lambda: self.do(cmd.HoldTicket(ticket=id_, by=by))
            yield lambda: self.do(cmd.ReleaseTicket(ticket=id_, by=by))
            yield lambda: self.do(cmd.RetryTicket(ticket=id_, by=by))
            if dice.random() < 0.2:
                yield lambda: self.do(cmd.CancelTicket(ticket=id_, by=by))
            if dice.random() < 0.2:
                yield lambda: self.do(cmd.SendMessage(by=by, text="hello", ticket=id_))
                yield lambda: self._salvage(session.tickets[id_])
            if session.messages and dice.random() < 0.3:
                number = len(session.messages)
                yield lambda: self.do(
                    cmd.DeliverMessage(message=number, ticket=id_, epoch=session.tickets[id_].epoch, how="prompt")
                )
        if dice.random() < 0.15:
            yield lambda: self._add(dice)
        if dice.random() < 0.05:
            yield lambda: self.do(cmd.DelegateTask(by=by, text="and more"))
        if session.tickets and dice.random() < 0.4:
            one, other = dice.choice(sorted(session.tickets)), dice.choice(sorted(session.tickets))
            changes = dice.choice(({"priority": 0}, {"estimate_s": 9.5}, {"gate": "more"}, {"pipeline": "single"}))
            yield lambda: self.do(cmd.EditTicket(ticket=one, changes=changes, by=by))
            yield lambda: self.do(cmd.LinkTicket(ticket=one, blocked_by=(other,), by=by))
            yield lambda: self.do(cmd.UnlinkTicket(ticket=one, blocked_by=(other,), by=by))
            if dice.random() < 0.3:
                parts = tuple({"id": f"p{self.counter}-{i}", "title": "part"} for i in range(2))
                yield lambda: self.do(cmd.SplitTicket(ticket=one, parts=parts, by=by))
        if dice.random() < 0.1:
            yield lambda: self._hear(dice)
        if session.parked and dice.random() < 0.2:
            (agent, account), _ = dice.choice(sorted(session.parked.items()))
            yield lambda: self.do(cmd.UnparkAgent(agent=agent, account=account, by=by, told_by="s2"))
            yield lambda: self.do(cmd.UnparkAgent(agent=agent, account=account))
        if session.status is SessionStatus.SUSPENDED:
            for _ in range(12):
                yield lambda: self.do(cmd.ResumeSession(by=by, budget_usd=50.0, unpark=dice.random() < 0.2))
        elif dice.random() < 0.2:
            yield lambda: self.do(cmd.SuspendSession(reason=SuspendReason.PAUSED, by=by))
        if dice.random() < 0.2:
            yield lambda: self.do(cmd.ReportRestart(worker=WORKERS[0], reason="slot died"))
            yield lambda: self.do(cmd.Note(subject="branch", what="not moved"))
        if dice.random() < 0.3:
            yield lambda: self.do(cmd.RequestSave(by=by))
        if dice.random() < 0.05:
            yield lambda: self.do(cmd.CancelSession(by=by))
        if self.old_leases and dice.random() < 0.4:
            old = self.old_leases[self.counter % len(self.old_leases)]
            yield lambda: self._late(*old)
        yield lambda: setattr(self, "now_ms", self.now_ms + 400_000)

    def _add(self, dice: random.Random) -> None:
        """Tickets on top of the plan; now and then with a mistake."""
        self.counter += 1
        ids = [TicketId(f"n{self.counter}-{i}") for i in range(dice.randint(1, 3))]
        known = [*self.session.tickets, *ids, TicketId("nobody")]
        specs = [
            TicketSpec(
                id=id_,
                title="more",
                blocked_by=tuple(blocker for blocker in known if dice.random() < 0.2),
                estimate_s=dice.choice((None, 30.0, 5000.0)),
            )
            for id_ in ids
        ]
        self.do(cmd.AddTickets(tickets=tuple(specs), by="ada"))

    def _hear(self, dice: random.Random) -> None:
        """Another session has met a spent quota or a refused login."""
        agent, account = dice.choice(tuple(self.session.settings.roles.values()))[-1], dice.choice(("", "mine"))
        why = dice.choice((FailureClass.QUOTA, FailureClass.AUTH))
        until_ms = self.now_ms + 600_000 if why is FailureClass.QUOTA else None
        said = {"agent": agent, "account": account, "why": why, "until_ms": until_ms}
        self.do(cmd.ParkAgent(**said, detail="they say so", since_ms=self.now_ms, told_by="s2"))

    def _salvage(self, ticket: Ticket) -> None:
        if ticket.attempts:
            epoch = min(ticket.attempts)
            self.do(cmd.RecordSalvage(ticket=ticket.id, epoch=epoch, commit=self.fresh("salvage"), files=2))

    # ── calm: only good things happen, and everything must come to rest ──

    def calm_down(self, *, most: int = 3000) -> bool:
        """Let a healthy world go on with this history. Whether the session came to rest within `most` moves."""
        for _ in range(most):
            self.now_ms += 400_000
            self._unpark()
            if self._calm_move():
                continue
            back = [one.until_ms for one in self.session.parked.values() if one.until_ms is not None]
            if not back or self.session.status in FINAL_SESSION:
                return True
            self.now_ms = max(self.now_ms, min(back))
        return False

    def _calm_move(self) -> bool:
        session = self.session
        if session.status is SessionStatus.SUSPENDED:
            roles = dict.fromkeys(session.settings.budget.roles, Caps(usd=1e6))
            return self._did(cmd.ResumeSession(by="ada", budget_usd=1e6, role_budgets=roles))
        for id_ in session.open_approvals:
            by = next(p for p in PEOPLE if p not in session.approvals[id_].given_by)
            return self._did(cmd.GiveApproval(approval=id_, by=by))
        for gate in session.gates.values():
            if gate.live_epoch is not None:
                return self._calm_gate(gate)
        for id_ in session.in_progress:
            return self._calm_attempt(session.tickets[id_])
        if (ticket := landing.next_to_land(session)) is not None:
            return self._merge(ticket, conflict=False) is None
        if session.landing is not None and session.landing.gate not in session.gates:
            waiver = self._waiver(session.landing.tree)
            return self._did(cmd.LandMerge(landing=session.landing.number, waivers=waiver))
        if session.save is not None and session.landing is None and not session.gates:
            return self._calm_save()
        return self._did(cmd.Claim(worker=WORKERS[0], roles=frozenset(Role)))

    def _did(self, command: cmd.Command) -> bool:
        answer = self.do(command)
        return not isinstance(answer, Rejection) and bool(answer)

    def _calm_gate(self, gate: Gate) -> bool:
        runs = tuple(
            GateRun(name=c.name, command=c.command, outcome=GateOutcome.GREEN, exit_code=0) for c in gate.commands
        )
        receipts = tuple(self._receipt(gate.tree, run) for run in runs)
        return self._did(cmd.CompleteGate(gate=gate.id, epoch=gate.live_epoch or 0, runs=runs, receipts=receipts))

    def _calm_attempt(self, ticket: Ticket) -> bool:
        attempt = ticket.live
        assert attempt is not None
        if attempt.start is None:
            return self._did(cmd.PrepareAttempt(ticket=ticket.id, epoch=attempt.epoch, start=self.fresh("start")))
        if attempt.status == "leased":
            return self._did(cmd.StartAttempt(ticket=ticket.id, epoch=attempt.epoch, sandbox="none"))
        self._complete(ticket, attempt, None, calm=True)
        return True

    def _calm_save(self) -> bool:
        session = self.session
        assert session.save is not None
        if session.save.checkpoint is not None:
            return self._did(cmd.CompleteSave(how="fast_forward"))
        if self._did(cmd.RequestFullGate()):
            return True
        waivers = self._waiver(session.tip_tree)
        return self._did(
            cmd.IntendSave(
                checkpoint=f"checkpoint/{len(session.checkpoints)}",
                old=session.base,
                new=session.tip,
                waivers=waivers,
            )
        )

    def _expire(self, id_: object) -> None:
        self.now_ms = max(self.now_ms, self.session.approvals[id_].expires_ms)
        self.do(cmd.ExpireApproval(approval=id_))

    def _late(self, ticket: TicketId, epoch: int) -> None:
        """A message that was delayed or sent twice: for an epoch that is over it must change nothing that counts."""
        if self.session.tickets[ticket].live_epoch == epoch:
            return
        before = _essence(self.session)
        self.do(cmd.CompleteAttempt(ticket=ticket, epoch=epoch, report=Report(summary="late")))
        self.do(cmd.StartAttempt(ticket=ticket, epoch=epoch, sandbox="none"))
        self.do(cmd.LoseLease(subject=ticket, epoch=epoch, reason="late"))
        if _essence(self.session) != before:
            self.audit.problems.append(f"a stale word about {ticket}:{epoch} changed the session")


class Calm(random.Random):
    """Dice that always fall well."""

    def random(self) -> float:
        return 0.5

    def choice(self, seq: Sequence[T]) -> T:
        return seq[0]


def _essence(session: Session) -> object:
    return (
        session.status,
        session.tip,
        [(t.status, t.epoch, t.phase_index, t.work, t.failures) for t in session.tickets.values()],
        list(session.landing_queue),
        session.spending.usd,
    )


def run_history(seed: int, numbers: Sequence[int]) -> History:
    """Play a whole history, holding the invariants after every move. Raises: AssertionError with what broke."""
    history = History(seed)
    for number in numbers:
        history.play(number)
        problems = history.wrong()
        assert not problems, (problems, [event.kind for event in history.events[-12:]])
    return history
