"""An attempt, from its lease to its end, and what the end leaves for the next one."""

from __future__ import annotations

from codeswarm.domain import events as ev
from codeswarm.domain.cascade import kind_of, of_all_models, recent_bursts
from codeswarm.domain.evolving.moves import IllegalMove, count_restart, enter_phase, make_ready, move, on
from codeswarm.domain.evolving.resting import forgive, put_back, taken_over
from codeswarm.domain.evolving.spending import settle_spending
from codeswarm.domain.ids import Commit, TicketId
from codeswarm.domain.pipeline import Role
from codeswarm.domain.planning.steps import take
from codeswarm.domain.resting import handed_back, wishes
from codeswarm.domain.results import BURSTS, RESTARTS, Contract, FailureClass, Report, Work
from codeswarm.domain.session import Attempt, Breach, ContractRef, Draft, Feedback, Session, Spending, Ticket, Wish
from codeswarm.domain.states import ATTEMPT_MOVES, AttemptStatus, TicketStatus, Visit, WaitReason


@on(ev.AttemptLeased)
def _attempt_leased(session: Session, event: ev.AttemptLeased, at_ms: int) -> None:
    ticket = session.tickets[event.ticket]
    rested = taken_over(session, ticket, event) if event.visitor else None
    session.visits = wishes(session, at_ms)
    wish = session.visits.pop(ticket.id, None)
    move(session, ticket, TicketStatus.IN_PROGRESS)
    role = ticket.phase.role
    ticket.epoch = ticket.live_epoch = event.epoch
    ticket.tries[event.phase] = event.attempt
    ticket.attempts[event.epoch] = Attempt(
        epoch=event.epoch,
        phase=event.phase,
        role=role,
        number=event.attempt,
        worker=event.worker,
        agent=event.agent,
        account=event.account,
        base=event.base,
        leased_ms=at_ms,
        reserved_usd=event.reserved_usd,
        reserved_tokens=event.reserved_tokens,
        visit=Visit.NONE if wish is None else Visit.ASKED,
        visitor="" if wish is None else wish.by,
        rested=rested,
    )
    if rested is None:
        ticket.passed_over = ""
    if event.agent and rested is None:
        session.accounts[kind_of(event.agent)] = event.account
    session.in_progress[ticket.id] = role
    for book in (session.spending, session.role_spending.setdefault(role, Spending())):
        book.reserved_usd += event.reserved_usd
        book.reserved_tokens += event.reserved_tokens


def _attempt(session: Session, ticket: TicketId, epoch: int) -> tuple[Ticket, Attempt]:
    found = session.tickets[ticket]
    return found, found.attempts[epoch]


def _set_attempt(attempt: Attempt, to: AttemptStatus) -> None:
    if to not in ATTEMPT_MOVES[attempt.status]:
        raise IllegalMove(f"attempt {attempt.epoch}: {attempt.status} → {to}")
    attempt.status = to


@on(ev.AttemptPrepared)
def _attempt_prepared(session: Session, event: ev.AttemptPrepared, at_ms: int) -> None:
    ticket, attempt = _attempt(session, event.ticket, event.epoch)
    attempt.start = event.start
    attempt.conflicts = event.conflicts
    if event.conflicts:
        ticket.conflict = 1


@on(ev.AttemptStarted)
def _attempt_started(session: Session, event: ev.AttemptStarted, at_ms: int) -> None:
    _, attempt = _attempt(session, event.ticket, event.epoch)
    _set_attempt(attempt, AttemptStatus.RUNNING)
    attempt.sandbox = event.sandbox
    attempt.conversation = event.conversation
    attempt.resumed = event.resumed


@on(ev.ConversationNamed)
def _conversation_named(session: Session, event: ev.ConversationNamed, at_ms: int) -> None:
    _, attempt = _attempt(session, event.ticket, event.epoch)
    attempt.conversation = event.conversation


@on(ev.AttemptGating)
def _attempt_gating(session: Session, event: ev.AttemptGating, at_ms: int) -> None:
    _, attempt = _attempt(session, event.ticket, event.epoch)
    _set_attempt(attempt, AttemptStatus.GATING)
    attempt.head = event.commit


@on(ev.AttachRequested)
def _attach_requested(session: Session, event: ev.AttachRequested, at_ms: int) -> None:
    if event.at_rest:
        session.visits = {**wishes(session, at_ms), event.ticket: Wish(event.by, at_ms)}
        return
    _, attempt = _attempt(session, event.ticket, event.epoch)
    attempt.visit, attempt.visitor = Visit.ASKED, event.by


@on(ev.PersonAttached)
def _person_attached(session: Session, event: ev.PersonAttached, at_ms: int) -> None:
    _, attempt = _attempt(session, event.ticket, event.epoch)
    attempt.visit = Visit.ATTACHED


@on(ev.PersonDetached)
def _person_detached(session: Session, event: ev.PersonDetached, at_ms: int) -> None:
    _, attempt = _attempt(session, event.ticket, event.epoch)
    attempt.visit, attempt.left, attempt.note = Visit.NONE, event.how, event.note


@on(ev.SnapshotTaken)
def _snapshot_taken(session: Session, event: ev.SnapshotTaken, at_ms: int) -> None:
    _, attempt = _attempt(session, event.ticket, event.epoch)
    attempt.snapshot = event.commit


def _end_attempt(
    session: Session, ticket: Ticket, attempt: Attempt, status: AttemptStatus, report: Report, at_ms: int
) -> None:
    """What every end has in common: the lease is over, and what it cost is known or charged as reserved."""
    _set_attempt(attempt, status)
    attempt.ended_ms = at_ms
    attempt.gate_runs = report.gate_runs
    attempt.summary = report.summary
    attempt.transcript, attempt.transcript_size = report.transcript, report.transcript_size
    if report.work is not None:
        attempt.head = report.work.commit
    ticket.live_epoch = None
    session.in_progress.pop(ticket.id, None)
    settle_spending(session, ticket, attempt, report.usage)


@on(ev.BudgetBreached)
def _budget_breached(session: Session, event: ev.BudgetBreached, at_ms: int) -> None:
    _, attempt = _attempt(session, event.ticket, event.epoch)
    attempt.breach = Breach(event.cap, event.detail)


@on(ev.AttemptSucceeded)
def _attempt_succeeded(session: Session, event: ev.AttemptSucceeded, at_ms: int) -> None:
    ticket, attempt = _attempt(session, event.ticket, event.epoch)
    report = event.report
    _end_attempt(session, ticket, attempt, AttemptStatus.SUCCEEDED, report, at_ms)
    for agent in (attempt.agent, of_all_models(attempt.agent)) if session.parkings else ():
        if (parking := session.parkings.get((agent, attempt.account))) is not None:
            parking.times = 0
    role = ticket.phase.role
    disputed = role is Role.IMPLEMENTER and report.dispute is not None
    if ticket.phase.writes and report.work is not None and not disputed:
        _go_on_from(ticket, attempt, report.work)
    if role is Role.TEST_WRITER and report.work is not None:
        assert ticket.draft is not None
        ticket.contract = ContractRef(
            contract=report.contract or Contract(),
            commit=report.work.commit,
            base=ticket.draft.base,
            files=ticket.draft.files,
            epoch=attempt.epoch,
        )
    if ticket.planning is not None:
        take(ticket, report)
    if report.plan is not None:
        ticket.plan = report.plan
    ticket.feedback = []
    enter_phase(ticket, ticket.phase_index + 1)
    if role is Role.TEST_WRITER:
        ticket.reference = _last_built(ticket)
    if not ticket.done_with_phases:
        make_ready(session, ticket, at_ms)


def _go_on_from(ticket: Ticket, attempt: Attempt, work: Work) -> None:
    """What the attempt left is what the next one begins with; the files it changed are the ticket's from now on."""
    ticket.work = work.commit
    ticket.advanced = True
    ticket.files = tuple(dict.fromkeys(ticket.files + work.changed_files))
    ticket.conflict = 0
    if ticket.phase.role is Role.TEST_WRITER:
        assert attempt.start is not None
        before = ticket.draft or Draft(attempt.start, ())
        ticket.draft = Draft(before.base, tuple(dict.fromkeys(before.files + work.changed_files)))


def _last_built(ticket: Ticket) -> Commit | None:
    """What an implementer had made before its contract was changed."""
    built = [e.head for e in ticket.attempts.values() if e.role is Role.IMPLEMENTER and e.head is not None]
    return built[-1] if built else None


@on(ev.AttemptFailed)
def _attempt_failed(session: Session, event: ev.AttemptFailed, at_ms: int) -> None:
    _failed(session, event, AttemptStatus.FAILED, at_ms)


@on(ev.AttemptTimedOut)
def _attempt_timed_out(session: Session, event: ev.AttemptTimedOut, at_ms: int) -> None:
    _failed(session, event, AttemptStatus.TIMED_OUT, at_ms)


def _failed(session: Session, event: ev.AttemptFailed | ev.AttemptTimedOut, status: AttemptStatus, at_ms: int) -> None:
    ticket, attempt = _attempt(session, event.ticket, event.epoch)
    _end_attempt(session, ticket, attempt, status, event.report, at_ms)
    attempt.failure = event.failure
    if attempt.rested is not None and not event.charged:
        put_back(session, ticket, attempt, at_ms, event.retry_at_ms)
        return
    if event.charged:
        ticket.failures += 1
    else:
        ticket.interruptions += 1
        if event.failure.failure_class in BURSTS:
            ticket.bursts = (*recent_bursts(session, ticket, at_ms), at_ms)
    work = event.report.work
    unresolved = event.failure.failure_class in _CONFLICT_NOT_RESOLVED or bool(work is not None and work.markers)
    unnamed = work is not None and work.unnamed
    if ticket.conflict == 1 and unresolved:
        ticket.conflict = 2
        ticket.reference = ticket.work
        ticket.draft = None if ticket.contract is None else Draft(ticket.contract.base, ticket.contract.files)
    elif event.failure.failure_class in _GOES_ON_FROM_ITS_TREE and ticket.phase.writes and work and not unnamed:
        _go_on_from(ticket, attempt, work)
    else:
        ticket.reference = attempt.snapshot or ticket.reference
    died = event.failure.failure_class is FailureClass.CRASHED and not attempt.resumed
    goes_on = died or not event.charged or event.failure.failure_class in _GOES_ON_FROM_ITS_TREE
    ticket.conversation_epoch = attempt.epoch if goes_on and attempt.conversation and not unnamed else None
    ticket.feedback = [*_lasting(ticket.feedback), _failure_feedback(event)]
    if event.failure.failure_class in RESTARTS:
        count_restart(session, f"{event.ticket}: {event.failure.message}", at_ms)
    make_ready(session, ticket, at_ms, event.retry_at_ms)


_CONFLICT_NOT_RESOLVED = frozenset({FailureClass.NOTHING_CHANGED, FailureClass.CONFLICT_MARKERS})
"""Shown the markers, the agent did not deal with them: the next one makes its change anew on the tip."""

_GOES_ON_FROM_ITS_TREE = frozenset(
    {
        FailureClass.GATE_RED,
        FailureClass.CONTRACT_PASSES,
        FailureClass.BAD_RESULT,
        FailureClass.CONFLICT_MARKERS,
        FailureClass.GATE_UNAVAILABLE,
        FailureClass.OVER_BUDGET,
    }
)
"""The agent ended its turn in good order; what it left is worth going on from."""


def _lasting(feedback: list[Feedback]) -> list[Feedback]:
    """What sent the ticket here stays to be said; of earlier failures in this phase only the newest is told."""
    return [item for item in feedback if item.source != "failure"]


def _failure_feedback(event: ev.AttemptFailed | ev.AttemptTimedOut) -> Feedback:
    runs = [run for run in event.report.gate_runs if run.outcome == "red" or run.setup_failed]
    findings = tuple(finding for run in runs for finding in run.findings)
    tails = "\n\n".join(f"$ {run.command}\n{run.tail}" for run in runs)
    text = event.failure.message + (f"\n\n{tails}" if tails else "")
    return Feedback("failure", text, event.epoch, findings)


@on(ev.AttemptLost)
def _attempt_lost(session: Session, event: ev.AttemptLost, at_ms: int) -> None:
    ticket, attempt = _attempt(session, event.ticket, event.epoch)
    _end_attempt(session, ticket, attempt, AttemptStatus.LOST, Report(usage=event.usage), at_ms)
    count_restart(session, f"{event.ticket}: {event.reason}", at_ms)
    if attempt.rested is not None:
        put_back(session, ticket, attempt, at_ms, event.retry_at_ms)
        return
    _interrupted(ticket, attempt)
    make_ready(session, ticket, at_ms, event.retry_at_ms)


@on(ev.AttemptCancelled)
def _attempt_cancelled(session: Session, event: ev.AttemptCancelled, at_ms: int) -> None:
    ticket, attempt = _attempt(session, event.ticket, event.epoch)
    _end_attempt(session, ticket, attempt, AttemptStatus.CANCELLED, event.report, at_ms)
    if attempt.rested is None:
        _interrupted(ticket, attempt)
    elif handed_back(attempt, event.report):
        _given_to_an_agent(ticket, attempt, event.report)
    else:
        put_back(session, ticket, attempt, at_ms, event.retry_at_ms)
        return
    make_ready(session, ticket, at_ms, event.retry_at_ms)


def _given_to_an_agent(ticket: Ticket, attempt: Attempt, report: Report) -> None:
    """A person hands a ticket back that had rested: an agent goes on with their work, and in their conversation."""
    work = report.work
    assert work is not None and attempt.rested is not None
    if not work.markers and not work.unnamed:
        _go_on_from(ticket, attempt, work)
    else:
        ticket.reference = attempt.snapshot or ticket.reference
    if attempt.rested.waiting is WaitReason.BUDGET:
        forgive(ticket)
    ticket.interruptions, ticket.reason = 0, ""
    ticket.conversation_epoch = attempt.epoch if attempt.conversation and not work.unnamed else None
    ticket.feedback = [*ticket.feedback, Feedback("hand_back", attempt.note, attempt.epoch)]


def _interrupted(ticket: Ticket, attempt: Attempt) -> None:
    ticket.interruptions += 1
    if attempt.discarded:
        ticket.conversation_epoch = None
        return
    ticket.reference = attempt.snapshot or ticket.reference
    ticket.conversation_epoch = attempt.epoch if attempt.conversation else None


@on(ev.WorkSalvaged)
def _work_salvaged(session: Session, event: ev.WorkSalvaged, at_ms: int) -> None:
    ticket, attempt = _attempt(session, event.ticket, event.epoch)
    if ticket.reference == attempt.snapshot or ticket.reference is None:
        ticket.reference = event.commit
    attempt.snapshot = event.commit


@on(ev.CommitsKept)
def _commits_kept(session: Session, event: ev.CommitsKept, at_ms: int) -> None:
    """Told in the timeline; the refs are for people."""


@on(ev.HostDenied)
def _host_denied(session: Session, event: ev.HostDenied, at_ms: int) -> None:
    _, attempt = _attempt(session, event.ticket, event.epoch)
    attempt.denied = (*attempt.denied, event.host)


@on(ev.LateResultKept)
def _late_result_kept(session: Session, event: ev.LateResultKept, at_ms: int) -> None:
    _, attempt = _attempt(session, event.ticket, event.epoch)
    attempt.late = True
    if event.commit is not None:
        attempt.head = event.commit
