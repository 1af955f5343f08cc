"""What agents and gates come to: reports made up from the dice, as a worker would send them."""

from __future__ import annotations

from collections.abc import Iterable

from pydantic import JsonValue

from codeswarm.domain import gates
from codeswarm.domain.cascade import kind_of
from codeswarm.domain.ids import Commit, Tree
from codeswarm.domain.pipeline import Role
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
from codeswarm.domain.session import AgentKey, Attempt, Gate, Session, Ticket
from codeswarm.engine.receipts import Signer
from codeswarm.simulator.faults import Fault, Faults
from codeswarm.simulator.plans import fake_id, tree_of

MOST_USD = 0.5
"""What an attempt costs at most: as much as is set aside for it."""
QUOTA_S = 400.0
UNTOLD, ABSURD = 0.4, 0.03
"""So often the other side does not say when a quota is back; so often it names a moment that nobody will see."""
CLASSES = tuple(class_ for class_ in FailureClass if class_ is not FailureClass.LOST)
"""How an agent can fail. A loss is nothing that a worker could report."""


class Truth:
    """Whether a command is green on a tree: decided when it is first asked, and the same ever after."""

    def __init__(self, faults: Faults) -> None:
        self._faults = faults
        self._green: dict[tuple[Tree, str], bool] = {}

    def ask(self, tree: Tree, command: GateCommand, fault: Fault, at_s: float, *where: object) -> bool:
        key = (tree, command.command)
        if key not in self._green:
            self._green[key] = not self._faults.strikes(fault, at_s, *where, command.name)
        return self._green[key]

    def told(self, tree: Tree, command: GateCommand) -> bool:
        """Whether it was found green."""
        return self._green.get((tree, command.command), False)


class Agents:
    """Everything that attempts and gates come to in one history."""

    def __init__(self, faults: Faults, truth: Truth, signer: Signer) -> None:
        self._faults = faults
        self._truth = truth
        self.signer = signer
        self.classes: set[FailureClass] = set()
        """The ways in which agents have failed."""
        self.spent: dict[AgentKey, float] = {}
        """Until when quotas are spent, by the world's own clock."""
        self.refused: dict[AgentKey, None] = {}
        """Logins that nobody has mended yet."""

    def report(
        self,
        session: Session,
        ticket: Ticket,
        attempt: Attempt,
        now_ms: int,
        at_s: float,
        failure: FailureClass | None,
        used: Usage | None = None,
    ) -> tuple[Report, tuple[Receipt, ...]]:
        """The end of an attempt. `failure`: how the worker saw it end, if not by itself. `used`: what it cost, if that
        was metered.
        """
        where = (session.id, ticket.id, attempt.epoch)
        failure = failure or self._refusal(attempt, at_s, where)
        if failure is None and self._faults.strikes(Fault.AGENT_FAILS, at_s, *where):
            failure = self._faults.choose(CLASSES, "class", *where)
        if failure is not None:
            self.classes.add(failure)
        work = self._work(session, ticket, attempt, failure)
        tree = work.tree if work else tree_of(ticket.work or session.tip)
        runs = tuple(self._phase_runs(session, ticket, tree, at_s, where))
        asks = attempt.role is Role.REVIEWER and self._faults.strikes(Fault.CHANGES_ASKED, at_s, *where)
        verdict = Verdict.CHANGES_REQUESTED if asks else Verdict.APPROVE
        builds = attempt.role is Role.IMPLEMENTER and ticket.contract is not None
        report = Report(
            work=work,
            failure=self._failure(
                failure, self.spent.get((attempt.agent, attempt.account), at_s) - at_s, now_ms, where
            ),
            gate_runs=runs,
            verdict=verdict if attempt.role is Role.REVIEWER else None,
            findings=(Finding(text="not like this"),) if asks else (),
            dispute="it is wrong" if builds and self._faults.strikes(Fault.DISPUTE, at_s, *where) else None,
            plan="first this" if attempt.role is Role.PLANNER else None,
            tickets=_planned(ticket, where),
            answer="words",
            proposed_tickets=({"title": "more"},) if self._proposes(ticket, at_s, where) else (),
            usage=used or self._usage(at_s, where),
            summary="done",
        )
        return report, self.signer.for_runs(session, runs, tree, attempt.worker, lambda run: attempt.base)

    def _refusal(self, attempt: Attempt, at_s: float, where: tuple[object, ...]) -> FailureClass | None:
        """What the other side refuses an agent: for itself, or since others have found it out already."""
        if not attempt.agent:
            return None
        login, agent = (kind_of(attempt.agent), attempt.account), (attempt.agent, attempt.account)
        if login in self.refused or self._faults.strikes(Fault.AUTH_REFUSED, at_s, *where):
            self.refused[login] = None
            return FailureClass.AUTH
        if self._faults.strikes(Fault.QUOTA_SPENT, at_s, *where):
            self.spent[agent] = max(
                self.spent.get(agent, 0.0), at_s + self._faults.between(1, QUOTA_S, "spent", *where)
            )
        if self.spent.get(agent, 0.0) > at_s:
            return FailureClass.QUOTA
        if self._faults.strikes(Fault.BURST, at_s, *where):
            return self._faults.choose((FailureClass.RATE_LIMITED, FailureClass.OVERLOADED), "burst", *where)
        return None

    def _proposes(self, ticket: Ticket, at_s: float, where: tuple[object, ...]) -> bool:
        return ticket.planning is None and self._faults.strikes(Fault.PROPOSAL, at_s, *where)

    def _work(self, session: Session, ticket: Ticket, attempt: Attempt, failure: FailureClass | None) -> Work | None:
        if not ticket.phase.writes:
            return None
        commit = Commit(fake_id("work", session.id, ticket.id, attempt.epoch))
        changed = () if failure is FailureClass.NOTHING_CHANGED else ticket.spec.files
        markers = ("src/0.py:7",) if failure is FailureClass.CONFLICT_MARKERS else ()
        return Work(commit=commit, tree=tree_of(commit), changed_files=changed, markers=markers)

    def by_hand(self, where: tuple[object, ...]) -> Work:
        """What a person has done in the place of an agent, of which nothing is judged."""
        commit = Commit(fake_id("work", *where))
        return Work(commit=commit, tree=tree_of(commit), changed_files=("src/by_hand.py",))

    def _failure(
        self, class_: FailureClass | None, spent_s: float, now_ms: int, where: tuple[object, ...]
    ) -> Failure | None:
        if class_ is None:
            return None
        back_ms = None
        if class_ in (FailureClass.QUOTA, FailureClass.RATE_LIMITED):
            said = self._faults.draw("told", *where)
            wait_s = spent_s if spent_s > 0 else self._faults.between(1, QUOTA_S, "quota", *where)
            back_ms = None if said < UNTOLD else now_ms + int(1000 * wait_s * (1e6 if said > 1 - ABSURD else 1))
        return Failure(failure_class=class_, message=f"it was {class_}", retry_at_ms=back_ms)

    def _usage(self, at_s: float, where: tuple[object, ...]) -> Usage:
        if self._faults.strikes(Fault.COST_UNKNOWN, at_s, *where):
            return Usage()
        return Usage(cost_usd=round(MOST_USD * self._faults.draw("cost", *where), 3), input_tokens=1000)

    def _phase_runs(
        self, session: Session, ticket: Ticket, tree: Tree, at_s: float, where: tuple[object, ...]
    ) -> Iterable[GateRun]:
        """Each command of the phase's gate, up to the first that is not as it should be."""
        wants_red = gates.expects_red(session, ticket)
        for command in gates.phase_commands(session, ticket):
            if self._faults.strikes(Fault.GATE_UNAVAILABLE, at_s, *where, command.name):
                yield _run(command, GateOutcome.UNAVAILABLE)
                return
            good = self._truth.ask(tree, command, Fault.PHASE_GATE_RED, at_s, *where)
            green = good is not wants_red
            yield _run(command, GateOutcome.GREEN if green else GateOutcome.RED)
            if not good and not command.red_may_pass:
                return

    def gate_runs(
        self, session: Session, gate: Gate, epoch: int, at_s: float
    ) -> tuple[tuple[GateRun, ...], tuple[Receipt, ...]]:
        """What a verifier found of a gate of the queue."""
        fault = _GATE_FAULTS[gate.purpose]
        runs: list[GateRun] = []
        for command in gate.commands:
            if self._faults.strikes(Fault.GATE_UNAVAILABLE, at_s, session.id, gate.id, epoch, command.name):
                runs.append(_run(command, GateOutcome.UNAVAILABLE))
                break
            green = self._truth.ask(gate.tree, command, fault, at_s, session.id, gate.id)
            runs.append(_run(command, GateOutcome.GREEN if green else GateOutcome.RED))
        return tuple(runs), self.signer.for_runs(session, runs, gate.tree, gate.worker or "", lambda run: gate.base)


def _planned(ticket: Ticket, where: tuple[object, ...]) -> tuple[dict[str, JsonValue], ...] | None:
    """A planner's answer: one more ticket, whole."""
    if ticket.planning is None:
        return None
    id_ = "-".join(map(str, ("planned", *where[1:])))
    return ({"id": id_, "title": f"do {id_}", "acceptance": [f"{id_} is there"], "files": [f"{id_}.py"]},)


_GATE_FAULTS = {
    "base": Fault.BASE_GATE_RED,
    "landing": Fault.LANDING_GATE_RED,
    "catch_up": Fault.LANDING_GATE_RED,
    "full": Fault.FULL_GATE_RED,
}


def _run(command: GateCommand, outcome: GateOutcome) -> GateRun:
    code = {GateOutcome.GREEN: 0, GateOutcome.UNAVAILABLE: 75}.get(outcome, 1)
    failing = ("tests::old",) if outcome is GateOutcome.RED else ()
    return GateRun(name=command.name, command=command.command, outcome=outcome, exit_code=code, failing=failing)
