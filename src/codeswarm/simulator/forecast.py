"""What a plan will take: the same domain under virtual time, with workers that need what tickets are estimated at.

There is no kernel here: nothing goes wrong between processes, so the decisions alone are played, one after the other.
A ticket's estimate is the whole time of its agents, gates of its phases included, and is spread over its phases by role
(`WEIGHTS`). Landing takes no worker's time. A failed attempt takes as long as a good one and is done again.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from heapq import heappop, heappush
from math import ceil, exp
from statistics import NormalDist, median, quantiles

from codeswarm.domain import commands as cmd, dag, events as ev, landing
from codeswarm.domain.brain import handle
from codeswarm.domain.ids import Commit, SessionId, TicketId, WorkerId
from codeswarm.domain.pipeline import AGENT_ROLES, DEFAULT_PIPELINE, Pipeline, Role
from codeswarm.domain.rejection import Rejection
from codeswarm.domain.results import Failure, FailureClass, GateOutcome, Receipt, Report, Verdict, Work
from codeswarm.domain.scheduling import may_overlap
from codeswarm.domain.session import Session, Ticket
from codeswarm.domain.settings import Gates, Settings
from codeswarm.domain.states import TicketStatus
from codeswarm.domain.ticket import TicketSpec
from codeswarm.simulator.faults import unit
from codeswarm.simulator.plans import fake_id, tree_of

WEIGHTS = {
    Role.PLANNER: 1.0,
    Role.TEST_WRITER: 2.0,
    Role.IMPLEMENTER: 4.0,
    Role.REVIEWER: 1.0,
    Role.RESOLVER: 2.0,
    Role.VERIFIER: 1.0,
}
"""How a ticket's estimate is shared out among its phases."""
AGREEMENT_S = 60.0
"""What a planner takes to agree on an interface that several tickets share."""
RUNS = 9
"""Plays with durations that are not as estimated, for the range."""
MOST_PLAYED = 50_000
"""So many tickets are played in all, over and over: a larger plan is played less often, and told less exactly."""
SIGMA = 0.3
"""How far off they are: the deviation of the logarithm."""
MOST_GENERATIONS = 20
"""So often a ticket that failed for good is tried again before the forecast gives it up."""
ID = SessionId("forecast")
_ROLES = AGENT_ROLES | {Role.VERIFIER}
_NORMAL = NormalDist()

Durations = Callable[[Ticket, int], float]
"""Seconds that an attempt (a ticket's epoch) takes."""


@dataclass
class Played:
    """One play of a plan."""

    makespan_s: float = 0.0
    busy_s: float = 0.0
    landed: int = 0
    failures: int = 0
    conflicts: int = 0
    """Pairs of tickets that were in work at the same time and may touch the same file."""
    log_hash: str = ""


@dataclass(frozen=True)
class Wish:
    """What is to be foretold."""

    tickets: tuple[TicketSpec, ...]
    workers: int
    seed: int = 0
    fail_rate: float = 0.0
    pipelines: Mapping[str, Pipeline] = field(default_factory=lambda: Settings().pipelines)
    default_pipeline: str = DEFAULT_PIPELINE
    default_estimate_s: float = Settings().default_estimate_s

    def estimates(self) -> dict[TicketId, float]:
        return {spec.id: spec.estimate_s or self.default_estimate_s for spec in self.tickets}

    @property
    def runs(self) -> int:
        """Of `RUNS` plays so many as a plan of this size is worth."""
        return max(min(RUNS, MOST_PLAYED // (3 * len(self.tickets))), 1)


@dataclass(frozen=True)
class Forecast:
    """What comes of it. Seconds; `utilisation` is a share."""

    makespan_s: float
    lower_bound_s: float
    critical_path_s: float
    critical_path: list[TicketId]
    work_s: float
    busy_s: float
    """What agents worked, failed attempts included."""
    utilisation: float
    makespan_p50_s: float
    makespan_p90_s: float
    conflicts_expected: int
    failures_expected: int
    landed: int
    one_more_worker_s: float
    """The makespan with one worker more."""
    runs: int
    """How many plays stand behind the range: fewer for a plan of thousands of tickets."""
    enough_workers: int
    """From here on one worker more saves less than 1 %; of a plan of thousands of tickets what is enough at best."""
    log_hash: str


def forecast(wish: Wish) -> Forecast:
    """Play the plan as estimated, and several times not quite as estimated."""
    blockers = {spec.id: spec.blocked_by for spec in wish.tickets}
    estimates = wish.estimates()
    path = dag.critical_path(blockers, estimates)
    path_s, work_s = sum(estimates[id_] for id_ in path), sum(estimates.values())
    exact = play_plan(wish, as_estimated)
    runs = wish.runs
    ranged = sorted(play_plan(_again(wish, run), _off_by(wish.seed + run)).makespan_s for run in range(1, runs + 1))
    more = play_plan(_with(wish, wish.workers + 1), as_estimated)
    return Forecast(
        makespan_s=round(exact.makespan_s, 6),
        lower_bound_s=round(max(path_s, work_s / wish.workers), 6),
        critical_path_s=path_s,
        critical_path=path,
        work_s=work_s,
        busy_s=exact.busy_s,
        utilisation=exact.busy_s / (wish.workers * exact.makespan_s),
        makespan_p50_s=median(ranged),
        makespan_p90_s=quantiles(ranged, n=10, method="inclusive")[-1] if runs > 1 else ranged[0],
        conflicts_expected=exact.conflicts,
        failures_expected=exact.failures,
        landed=exact.landed,
        one_more_worker_s=round(more.makespan_s, 6),
        runs=runs,
        enough_workers=_enough(wish) if runs == RUNS else _enough_at_best(work_s, path_s),
        log_hash=exact.log_hash,
    )


def _enough_at_best(work_s: float, path_s: float) -> int:
    """As many as have all done when the critical path is, if the rest could be shared out at will."""
    return ceil(work_s / path_s)


def _with(wish: Wish, workers: int) -> Wish:
    return Wish(**{**wish.__dict__, "workers": workers})


def _again(wish: Wish, run: int) -> Wish:
    return Wish(**{**wish.__dict__, "seed": wish.seed + run})


def _enough(wish: Wish) -> int:
    """The fewest workers with which the plan takes at most 1 % more than with one for each ticket."""
    most = len(wish.tickets)
    best_s = play_plan(_with(wish, most), as_estimated).makespan_s
    low, high = 1, most
    while low < high:
        middle = (low + high) // 2
        if play_plan(_with(wish, middle), as_estimated).makespan_s <= 1.01 * best_s:
            high = middle
        else:
            low = middle + 1
    return low


# ── durations ────────────────────────────────────────────────────────────────────────────────────────────────


def as_estimated(ticket: Ticket, epoch: int) -> float:
    """The share of the ticket's present phase in its estimate."""
    return share(ticket) * (ticket.spec.estimate_s or Settings().default_estimate_s)


def share(ticket: Ticket) -> float:
    weights = [WEIGHTS[phase.role] for phase in ticket.phases]
    return weights[min(ticket.phase_index, len(weights) - 1)] / sum(weights)


def _off_by(seed: int) -> Durations:
    def duration(ticket: Ticket, epoch: int) -> float:
        chance = min(max(unit(seed, f"duration {ticket.id} {epoch}"), 1e-6), 1 - 1e-6)
        return as_estimated(ticket, epoch) * exp(SIGMA * _NORMAL.inv_cdf(chance))

    return duration


# ── a play ───────────────────────────────────────────────────────────────────────────────────────────────────


def play_plan(wish: Wish, duration: Durations) -> Played:
    """Let the domain run a plan with so many workers, to the end."""
    return _Play(wish, duration).run()


class _Play:
    def __init__(self, wish: Wish, duration: Durations) -> None:
        self._wish = wish
        self._duration = duration
        self._session = Session(ID)
        self._now_s = 0.0
        self._idle = [WorkerId(f"w{number}") for number in reversed(range(wish.workers))]
        self._busy: list[tuple[float, int, WorkerId, TicketId, int]] = []
        """(ends, number of the lease, worker, ticket, epoch): the next to end first."""
        self._leases = 0
        self._spans: dict[TicketId, tuple[float, float]] = {}
        self._played = Played()
        self._hash = hashlib.sha256()

    def run(self) -> Played:
        self._do(_start(self._wish))
        for ticket in list(self._session.tickets.values()):
            if ticket.status is TicketStatus.ON_HOLD:
                self._do(cmd.ReleaseTicket(ticket=ticket.id, by="forecast"))
        self._claim()
        while self._busy:
            self._now_s = self._busy[0][0]
            while self._busy and self._busy[0][0] <= self._now_s:
                _, _, worker, id_, epoch = heappop(self._busy)
                self._idle.append(worker)
                self._end(self._session.tickets[id_], epoch)
            self._claim()
        played = self._played
        played.conflicts = sum(1 for _ in self._meetings())
        played.log_hash = self._hash.hexdigest()
        return played

    def _do(self, command: cmd.Command) -> list[ev.Event]:
        at_ms = round(self._now_s * 1000)
        answer = handle(self._session, command, at_ms)
        assert not isinstance(answer, Rejection), f"{command.kind} was refused: {answer}"
        for event in answer:
            self._hash.update(f"{at_ms}{event.kind}{event.model_dump_json()}".encode())
        return answer

    def _claim(self) -> None:
        """Give work to whoever is free, for as long as there is some."""
        while self._idle:
            events = self._do(cmd.Claim(worker=self._idle[-1], roles=_ROLES))
            leased = next((event for event in events if isinstance(event, ev.AttemptLeased)), None)
            if leased is None:
                return
            worker, ticket = self._idle.pop(), self._session.tickets[leased.ticket]
            work_s = AGREEMENT_S if ticket.planning is not None else self._duration(ticket, leased.epoch)
            self._leases += 1
            heappush(self._busy, (self._now_s + work_s, self._leases, worker, ticket.id, leased.epoch))
            self._played.busy_s += work_s
            self._spans.setdefault(ticket.id, (self._now_s, self._now_s))
            key = {"ticket": ticket.id, "epoch": leased.epoch}
            self._do(cmd.PrepareAttempt(**key, start=Commit(fake_id("start", ticket.id, leased.epoch))))
            self._do(cmd.StartAttempt(**key, sandbox="none"))

    def _end(self, ticket: Ticket, epoch: int) -> None:
        failed = unit(self._wish.seed, f"fails {ticket.id} {epoch}") < self._wish.fail_rate
        self._played.failures += failed
        self._do(cmd.CompleteAttempt(ticket=ticket.id, epoch=epoch, report=_report(ticket, epoch, failed=failed)))
        if ticket.status is TicketStatus.FAILED and ticket.generation < MOST_GENERATIONS:
            self._do(cmd.RetryTicket(ticket=ticket.id, by="forecast"))
        while (next_ := landing.next_to_land(self._session)) is not None:
            self._land(next_)

    def _land(self, ticket: Ticket) -> None:
        tip = self._session.tip
        commit = Commit(fake_id("landing", ticket.id, tip))
        tree = tree_of(commit)
        assert ticket.work is not None
        merge = cmd.RecordMerge(ticket=ticket.id, old=tip, work=ticket.work, commit=commit, tree=tree)
        number = len(self._session.landings) + 1
        self._do(merge)
        waiver = Receipt(
            id=fake_id(tree)[:16], tree=tree, command="", name="no-gate", outcome=GateOutcome.WAIVED, exit_code=None,
            log="", environment="", worker="", by="forecast",
        )  # fmt: skip
        self._do(cmd.LandMerge(landing=number, waivers=(waiver,)))
        self._spans[ticket.id] = (self._spans[ticket.id][0], self._now_s)
        self._played.landed += 1
        self._played.makespan_s = self._now_s

    def _meetings(self) -> Iterator[tuple[TicketId, TicketId]]:
        """Pairs that were in work at the same time and may touch the same file."""
        specs = self._session.tickets
        spans = sorted((begin, end, id_) for id_, (begin, end) in self._spans.items() if specs[id_].spec.files)
        for place, (_, end, one) in enumerate(spans):
            for begin, _, other in spans[place + 1 :]:
                if begin >= end:
                    break
                if may_overlap(specs[one].spec.files, specs[other].spec.files):
                    yield one, other


def _start(wish: Wish) -> cmd.StartSession:
    base = Commit(fake_id("base"))
    settings = Settings(
        roles={"*": ("forecast",)},
        gates=Gates(waived_by="forecast"),
        pipelines=dict(wish.pipelines),
        default_pipeline=wish.default_pipeline,
        default_estimate_s=wish.default_estimate_s,
        workers=wish.workers,
    )
    specs = tuple(spec.model_copy(update={"gate": None, "requires": ()}) for spec in wish.tickets)
    return cmd.StartSession(
        session=ID, name="", goal="", base_branch="main", base=base, base_tree=tree_of(base), settings=settings,
        tickets=specs, by="forecast",
    )  # fmt: skip


def _report(ticket: Ticket, epoch: int, *, failed: bool) -> Report:
    commit = Commit(fake_id("work", ticket.id, epoch))
    changed = ticket.spec.files or (f"{ticket.id}.txt",)
    return Report(
        work=Work(commit=commit, tree=tree_of(commit), changed_files=changed) if ticket.phase.writes else None,
        failure=Failure(failure_class=FailureClass.GATE_RED, message="as drawn") if failed else None,
        verdict=Verdict.APPROVE if ticket.phase.role is Role.REVIEWER else None,
        plan="as planned" if ticket.phase.role is Role.PLANNER else None,
        tickets=() if ticket.planning is not None else None,
        answer="agreed",
    )
