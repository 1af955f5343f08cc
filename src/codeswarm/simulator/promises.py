"""What is promised of every history, read off the committed events alone, beside the invariants of the state.

It keeps books of its own and asks the domain nothing that the domain could be wrong about: who has a lease, what a
ticket's agents were charged with, which work a person approved. Fed in order of commit, it says what is broken.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import takewhile

from codeswarm.domain import events as ev
from codeswarm.domain.ids import Commit, GateId, TicketId, Tree
from codeswarm.domain.invariants import Audit
from codeswarm.domain.pipeline import Role
from codeswarm.domain.policy import matches
from codeswarm.domain.results import FailureClass, GateCommand
from codeswarm.domain.settings import Settings
from codeswarm.domain.states import Handover
from codeswarm.domain.ticket import TicketSpec
from codeswarm.simulator.parkings import OF_AGENTS, AgentBooks

Key = tuple[str, int]

ENDS = (ev.AttemptSucceeded, ev.AttemptFailed, ev.AttemptTimedOut, ev.AttemptLost, ev.AttemptCancelled)
AFTER_THE_END = (ev.LateResultKept, ev.WorkSalvaged, ev.CommitsKept)
"""What a word of a lease that is over may still come to: its work is kept."""
MOST_LEASES = 150
"""Leases of one ticket between two words of a person about it. What every bound of the settings allows together is less
in any history that is not spinning."""
QUESTIONS = (
    ev.ApprovalRequested,
    ev.ApprovalGiven,
    ev.ApprovalGranted,
    ev.ApprovalRejected,
    ev.ApprovalExpired,
    ev.ApprovalVoided,
    ev.ApprovalUsed,
)
RESTING = (ev.TicketFailed, ev.TicketHeld, ev.TicketCancelled, ev.TicketWaiting, ev.TicketLanded)


@dataclass
class _Books:
    """What is known of one ticket."""

    spec: TicketSpec
    live: Key | None = None
    live_role: Role = Role.IMPLEMENTER
    live_usd: float = 0.0
    leases: int = 0
    charged: int = 0
    """Failures of agents since the ticket entered its phase."""
    changes: int = 0
    bounces: int = 0
    work: Commit | None = None
    files: tuple[str, ...] = ()
    granted: Commit | None = None
    """The work that persons approved."""
    held: bool = False
    failed: bool = False
    visitor: str = ""
    """The person whose own its live attempt is."""
    left: Handover | None = None
    """How they have left it."""
    rested: bool = False
    """Whether it had failed or was on hold when they took it over."""
    must_rest: bool = False
    """Whether it must do so again before an agent may have it."""
    landed: bool = False
    planning: bool = False
    """It lands nothing, and a plan that is rejected goes back to it."""


@dataclass
class _Question:
    ticket: TicketId | None
    evidence: str
    needed: int
    expires_ms: int
    by: set[str] = field(default_factory=set)
    closed: bool = False
    used: bool = False
    """Whether an agent was told the answer."""


_NOT_YET = Settings()
"""Until the session has begun; making some takes a while."""


class Promises:
    """One session's books. `tell` is called with each promise that is broken, as a sentence."""

    def __init__(self, tell: Callable[[str], None], is_green: Callable[[Tree, GateCommand], bool]) -> None:
        """`is_green`: what the world knows of a tree, whatever receipts say."""
        self._tell = tell
        self._is_green = is_green
        self._audit = Audit()
        self._agents = AgentBooks()
        self._settings = _NOT_YET
        self._plans: dict[int, tuple[TicketSpec, ...]] = {}
        self.tickets: dict[TicketId, _Books] = {}
        self._gates: dict[GateId, int | None] = {}
        """Open gates and their live epochs."""
        self.over: set[Key] = set()
        """Leases that have ended."""
        self._questions: dict[str, _Question] = {}
        self._spent_usd = 0.0
        self._reserved: dict[Key, float] = {}
        self._told: set[Key] = set()
        """Attempts that were told to hand back."""
        self._right_of_way: dict[TicketId, None] = {}
        self._merges: dict[int, ev.LandingMerged] = {}
        self.late: set[Key] = set()
        """Leases whose late results were kept."""
        self.kinds: Counter[str] = Counter()

    def see(self, event: ev.Event, at_ms: int) -> None:
        self.kinds[event.kind] += 1
        known = len(self._audit.problems)
        self._audit.see(event)
        for problem in self._audit.problems[known:]:
            self._tell(problem)
        for problem in self._look(event, at_ms):
            self._tell(problem)
        for problem in self._agents.look(event, at_ms) if type(event) in OF_AGENTS else ():
            self._tell(problem)

    def _look(self, event: ev.Event, at_ms: int) -> Iterator[str]:
        match event:
            case ev.SessionStarted():
                self._settings = event.settings
            case ev.SessionResumed() if event.budget_usd is not None:
                budget = self._settings.budget.model_copy(update={"usd": event.budget_usd})
                self._settings = self._settings.model_copy(update={"budget": budget})
            case ev.AttemptLeased():
                yield from self._leased(event)
            case _ if isinstance(event, ENDS):
                yield from self._ended(event)
            case ev.GateRequested():
                self._gates[event.gate] = None
            case ev.GateLeased() | ev.GateLost() | ev.GateFinished() | ev.GateAbandoned():
                yield from self._gate(event)
            case ev.BudgetBreached():
                yield from self._breached(event)
            case ev.LateResultKept():
                self.late.add((event.ticket, event.epoch))
            case _:
                self._planned(event)
                yield from self._look_further(event, at_ms)

    def _planned(self, event: ev.Event) -> None:
        match event:
            case ev.PlanProposed():
                self._plans[event.plan] = event.tickets
            case ev.PlanAccepted():
                self.tickets |= {spec.id: _Books(spec) for spec in self._plans[event.plan]}
            case ev.PlanningRequested():
                self.tickets[event.ticket] = _Books(TicketSpec(id=event.ticket, title="planning"), planning=True)
            case ev.PlanningFinished():
                self.tickets[event.ticket].landed = True  # it lands nothing, but who waited for it may begin
            case ev.TicketEdited():
                self.tickets[event.ticket].spec = event.spec
            case ev.TicketsAdded():
                self.tickets |= {spec.id: _Books(spec) for spec in event.tickets}

    def _look_further(self, event: ev.Event, at_ms: int) -> Iterator[str]:
        match event:
            case _ if isinstance(event, QUESTIONS):
                yield from self._asked(event, at_ms)
            case ev.ChangesRequested():
                self._entered(event.ticket).changes += 1
                if self.tickets[event.ticket].changes > self._settings.bounds.max_change_rounds:
                    yield f"changes of {event.ticket} were asked for {self.tickets[event.ticket].changes} times"
            case ev.ContractDisputed():
                self._entered(event.ticket)
            case ev.TicketRetried() | ev.TicketReleased() if (
                event.by != "policy"
            ):  # an agent that is back excuses nothing
                books = self._entered(event.ticket)
                books.leases, books.held = 0, False
                if isinstance(event, ev.TicketRetried):
                    books.changes = books.bounces = 0
            case ev.LandingMerged():
                yield from self._merged(event)
            case ev.LandingBounced():
                yield from self._bounced(event)
            case ev.TicketLanded() | ev.CaughtUp():
                yield from self._landed(event)
            case _ if isinstance(event, RESTING):
                self._rest(event.ticket, held=isinstance(event, ev.TicketHeld))
                self.tickets[event.ticket].must_rest = False
                self.tickets[event.ticket].failed = isinstance(event, ev.TicketFailed)
            case ev.AttachRequested() | ev.PersonAttached() | ev.PersonDetached():
                yield from self._attached(event)

    # ── leases ──

    def _entered(self, ticket: TicketId) -> _Books:
        """A ticket entered a phase anew."""
        books = self.tickets[ticket]
        books.charged = 0
        return books

    def _leased(self, event: ev.AttemptLeased) -> Iterator[str]:
        books, key = self.tickets[event.ticket], (event.ticket, event.epoch)
        if books.live is not None:
            yield f"ticket {event.ticket} was leased at epoch {event.epoch} while epoch {books.live[1]} is alive"
        if early := [blocker for blocker in books.spec.blocked_by if not self.tickets[blocker].landed]:
            yield f"ticket {event.ticket} was leased before its blockers {', '.join(early)} landed"
        if event.visitor:
            self._visited(books, event.visitor)
        if books.must_rest:
            yield f"ticket {event.ticket} went on by itself after a person's visit: it had rested before"
        if (books.landed and not books.planning) or books.held:
            yield f"ticket {event.ticket} was leased though it {'has landed' if books.landed else 'is on hold'}"
        if books.charged >= self._settings.bounds.max_attempts:
            yield f"ticket {event.ticket} was leased again after {books.charged} failures of its agents in one phase"
        books.live = key
        books.leases += 1
        if books.leases > MOST_LEASES:
            yield f"ticket {event.ticket} was leased {books.leases} times: it spins"
        yield from self._reserve(event, books, key)

    def _visited(self, books: _Books, visitor: str) -> None:
        """A person takes it over: what kept agents from it does not keep them, and what has failed begins anew."""
        books.rested, books.must_rest = books.held or books.failed, False
        if books.failed:
            books.charged = books.changes = books.bounces = 0
        books.leases, books.held, books.failed, books.visitor = 0, False, False, visitor

    def _attached(self, event: ev.AttachRequested | ev.PersonAttached | ev.PersonDetached) -> Iterator[str]:
        books = self.tickets[event.ticket]
        if isinstance(event, ev.AttachRequested):
            if event.at_rest and books.live is not None:
                yield f"{event.by} wants {event.ticket} as at rest, but epoch {books.live[1]} is at work on it"
        elif books.live != (event.ticket, event.epoch):
            yield f"{event.by} is in attempt {event.ticket}:{event.epoch}, but its live lease is {books.live}"
        elif isinstance(event, ev.PersonDetached):
            books.left = event.how

    def _reserve(self, event: ev.AttemptLeased, books: _Books, key: Key) -> Iterator[str]:
        """What an agent may cost is set aside before it starts, and all of it together stays below the cap."""
        budget = self._settings.budget
        starts_agent = bool(event.agent) and not event.visitor
        if starts_agent and (budget.usd is not None or budget.per_ticket_usd is not None):
            if event.reserved_usd < budget.reserve_usd:
                what = f"{event.reserved_usd} USD aside, not {budget.reserve_usd}"
                yield f"attempt {event.ticket}:{event.epoch} set {what}"
            together = self._spent_usd + sum(self._reserved.values()) + budget.reserve_usd
            if budget.usd is not None and together > budget.usd + 1e-6:
                yield f"{together:.2f} USD are spent and set aside, of {budget.usd:.2f}"
        self._reserved[key] = event.reserved_usd

    def _breached(self, event: ev.BudgetBreached) -> Iterator[str]:
        books, key = self.tickets[event.ticket], (event.ticket, event.epoch)
        if books.live != key:
            yield f"attempt {event.ticket}:{event.epoch} came to a cap, but its ticket's live lease is {books.live}"
        if key in self._told:
            yield f"attempt {event.ticket}:{event.epoch} was told twice to hand back"
        self._told.add(key)

    def _ended(self, event: ev.Event) -> Iterator[str]:
        assert isinstance(event, ENDS)
        books, key = self.tickets[event.ticket], (event.ticket, event.epoch)
        if books.live != key:
            yield f"{event.kind} of {event.ticket}:{event.epoch}, but its live lease is {books.live}"
        books.live = None
        visited, left = books.visitor, books.left
        books.visitor, books.left = "", None
        self.over.add(key)
        reserved = self._reserved.pop(key, 0.0)
        lost = isinstance(event, ev.AttemptLost)
        usage = event.usage.cost_usd if isinstance(event, ev.AttemptLost) else event.report.usage.cost_usd
        self._spent_usd += reserved if usage is None else max(usage, reserved) if lost else usage
        failed = event.failure if isinstance(event, ev.AttemptFailed) and event.charged else None
        if failed is not None and failed.failure_class is FailureClass.OVER_BUDGET:
            yield f"attempt {event.ticket}:{event.epoch} is charged for a cap that it came to"
        judged = isinstance(event, ev.AttemptSucceeded) or failed is not None
        handed_back = isinstance(event, ev.AttemptCancelled) and left is Handover.HAND_BACK
        books.must_rest = bool(visited) and books.rested and not judged and not handed_back
        if visited and left is not Handover.COMPLETE:
            if judged:
                yield f"attempt {event.ticket}:{event.epoch} of {visited} was judged, who has said {left}"
            if isinstance(event, ev.AttemptCancelled) and handed_back:
                self._worked(books, event)
        elif isinstance(event, ev.AttemptSucceeded):
            books.charged = 0
            self._worked(books, event)
        elif isinstance(event, ev.AttemptFailed | ev.AttemptTimedOut):
            books.charged += event.charged
            rests = bool(visited) and not event.charged
            if event.failure.failure_class in _GOES_ON and not rests:
                self._worked(books, event)

    def _worked(
        self, books: _Books, event: ev.AttemptSucceeded | ev.AttemptFailed | ev.AttemptTimedOut | ev.AttemptCancelled
    ) -> None:
        work = event.report.work
        if work is not None and event.report.dispute is None:
            books.work = work.commit
            books.files = tuple(dict.fromkeys(books.files + work.changed_files))

    def _gate(self, event: ev.GateLeased | ev.GateLost | ev.GateFinished | ev.GateAbandoned) -> Iterator[str]:
        live = self._gates.get(event.gate, -1)
        if isinstance(event, ev.GateLeased):
            if live is not None:
                yield f"gate {event.gate} was leased at epoch {event.epoch}, but it is " + (
                    "closed" if live == -1 else f"run at epoch {live}"
                )
            self._gates[event.gate] = event.epoch
            return
        if isinstance(event, ev.GateLost | ev.GateFinished):
            if live != event.epoch:
                yield f"{event.kind} of {event.gate} at epoch {event.epoch}, but its live epoch is {live}"
            self.over.add((event.gate, event.epoch))
        if isinstance(event, ev.GateLost):
            self._gates[event.gate] = None
        else:
            self._gates.pop(event.gate, None)

    # ── persons ──

    def _asked(self, event: ev.Event, at_ms: int) -> Iterator[str]:
        match event:
            case ev.ApprovalRequested():
                lands = event.ticket if event.epoch is None else None
                self._questions[event.approval] = _Question(lands, event.evidence, event.needed, event.expires_at_ms)
            case ev.ApprovalUsed():
                question = self._questions[event.approval]
                if question.used or not question.closed:
                    yield f"approval {event.approval} was told to an agent {'again' if question.used else 'too early'}"
                question.used = True
            case ev.ApprovalGiven() | ev.ApprovalGranted():
                yield from self._answered(event, at_ms)
            case ev.ApprovalRejected() | ev.ApprovalExpired() | ev.ApprovalVoided():
                self._questions[event.approval].closed = True

    def _answered(self, event: ev.ApprovalGiven | ev.ApprovalGranted, at_ms: int) -> Iterator[str]:
        question = self._questions[event.approval]
        if question.closed:
            yield f"approval {event.approval} was answered after it was closed"
        if isinstance(event, ev.ApprovalGiven):
            question.by.add(event.by)
            return
        question.closed = True
        if len(question.by) < question.needed:
            yield f"approval {event.approval} was granted by {len(question.by)} of {question.needed} persons"
        if question.ticket is not None:
            books = self.tickets[question.ticket]
            if question.evidence != (books.work or ""):
                of = f"{question.evidence[:8]} of {question.ticket}"
                yield f"approval {event.approval} was asked of {of} and granted for other work"
            books.granted = books.work

    # ── landing ──

    def _merged(self, event: ev.LandingMerged) -> Iterator[str]:
        self._merges[event.landing] = event
        if event.ticket is None:
            return
        books = self.tickets[event.ticket]
        if books.held:
            yield f"ticket {event.ticket} is landed though it is on hold"
        if books.work is not None and event.work != books.work:
            yield f"landing {event.landing} merges {event.work[:8]}, which is not the newest work of {event.ticket}"
        for id_ in takewhile(lambda id_: id_ != event.ticket, self._right_of_way):
            other = self.tickets[id_]
            if other.live is not None and set(other.files) & set(books.files):
                yield f"{event.ticket} lands before {id_}, which touches the same files and has the right of way"

    def _bounced(self, event: ev.LandingBounced) -> Iterator[str]:
        merge = self._merges.get(event.landing)
        if merge is not None:
            for gate in [g for g, epoch in self._gates.items() if "landing" in g or "catch_up" in g]:
                if (epoch := self._gates.pop(gate)) is not None:
                    self.over.add((gate, epoch))
        if event.ticket is None:
            return
        books = self._entered(event.ticket)
        if event.reason == "held":
            return
        books.bounces += 1
        if books.bounces > self._settings.bounds.max_bounces:
            yield f"ticket {event.ticket} bounced {books.bounces} times"
        if event.reason == "conflict":
            self._right_of_way.setdefault(event.ticket)

    def _rest(self, ticket: TicketId, *, held: bool = False) -> None:
        self.tickets[ticket].held = held
        self._right_of_way.pop(ticket, None)

    def _landed(self, event: ev.TicketLanded | ev.CaughtUp) -> Iterator[str]:
        merge = self._merges[event.landing]
        if self._settings.gates.allow_red_base_by is None:
            red = [command.command for command in merge.commands if not self._is_green(event.tree, command)]
            if red:
                yield f"landing {event.landing} took a tree on which `{red[0]}` is red, or was never run"
        if isinstance(event, ev.CaughtUp):
            return
        books = self.tickets[event.ticket]
        if books.held:
            yield f"ticket {event.ticket} landed though it is on hold"
        books.landed = True
        self._rest(event.ticket)
        if books.live is not None:
            yield f"ticket {event.ticket} landed while epoch {books.live[1]} is at work on it"
        expected = self._landing_commands(books.spec)
        if {c.command for c in merge.commands} != expected:
            yield f"ticket {event.ticket} landed by {[c.command for c in merge.commands]}, not {sorted(expected)}"
        if self._asks(event.files + books.files) and books.granted != merge.work:
            yield f"ticket {event.ticket} landed with {merge.work[:8]}, which nobody approved"

    def _landing_commands(self, spec: TicketSpec) -> set[str]:
        gates = self._settings.gates
        fast = None if gates.waived_by else gates.fast or gates.full
        return {command for command in (fast.command if fast else None, spec.gate) if command is not None}

    def _asks(self, files: tuple[str, ...]) -> bool:
        policy = self._settings.policy
        return policy.approve_landing or any(matches(file, policy.sensitive) for file in files)


_GOES_ON = frozenset(
    {
        FailureClass.GATE_RED,
        FailureClass.CONTRACT_PASSES,
        FailureClass.BAD_RESULT,
        FailureClass.CONFLICT_MARKERS,
        FailureClass.GATE_UNAVAILABLE,
    }
)
"""After these the next attempt goes on from what the last one left, so it is the ticket's work."""
