"""What the end of an attempt means. The worker reports facts; here they become success or failure.

Success needs all of it: the agent said so, git shows it, the gate agrees. Any one alone lies.
"""

from __future__ import annotations

from collections.abc import Iterable

from codeswarm.domain import cascade, commands as cmd, events as ev, gates, parking, resting
from codeswarm.domain.leasing import holder, interruption_bound
from codeswarm.domain.pipeline import Role
from codeswarm.domain.planning import judging
from codeswarm.domain.planning.asking import from_agents
from codeswarm.domain.planning.following import follow, without
from codeswarm.domain.policy import before_landing, void_for
from codeswarm.domain.rejection import Refusal, Rejection, stale, wrong_state
from codeswarm.domain.results import (
    CHARGED,
    Failure,
    FailureClass,
    Finding,
    GateOutcome,
    GateRun,
    Report,
    Verdict,
)
from codeswarm.domain.retry import LONGEST_WAIT_MS, retry_at_ms
from codeswarm.domain.session import Attempt, Session, Ticket
from codeswarm.domain.states import AttemptStatus, WaitReason

Decision = list[ev.Event] | Rejection

_REPORTED = frozenset({AttemptStatus.SUCCEEDED, AttemptStatus.FAILED, AttemptStatus.TIMED_OUT})


def complete(session: Session, command: cmd.CompleteAttempt, now_ms: int) -> Decision:
    held = holder(session, command.ticket, command.epoch)
    if isinstance(held, Rejection):
        return _late(session, command) if held.refusal is Refusal.STALE else held
    ticket, attempt = held
    if attempt.status is AttemptStatus.LEASED and command.report.failure is None:
        what = f"attempt {ticket.id}:{attempt.epoch} was never started and can't have succeeded"
        return wrong_state(what, f"codeswarm work {session.id}/{ticket.id}", "its worker never told of a beginning")
    recorded = [ev.ReceiptsRecorded(receipts=command.receipts, ticket=ticket.id)] if command.receipts else []
    failure = judge(session, ticket, attempt, command.report)
    if failure is not None:
        return [*recorded, *_failed(session, ticket, attempt, failure, command.report, now_ms)]
    return [*recorded, *_succeeded(session, ticket, attempt, command.report, now_ms)]


def _late(session: Session, command: cmd.CompleteAttempt) -> Decision:
    """A result for an epoch that is over: told twice it is a repeat; after a loss its work is kept and shown."""
    ticket = session.tickets[command.ticket]
    attempt = ticket.attempts[command.epoch]
    if attempt.status in _REPORTED:
        return []
    if attempt.late:
        what = f"epoch {command.epoch} of ticket {ticket.id} is over; its late result is kept already"
        return stale(what, f"codeswarm work {session.id}/{ticket.id}", "one late result of an attempt is kept")
    work = command.report.work
    return [
        ev.LateResultKept(
            ticket=ticket.id,
            epoch=attempt.epoch,
            commit=work.commit if work else attempt.snapshot,
            summary=command.report.summary[:500],
        )
    ]


# ── the judgement ────────────────────────────────────────────────────────────────────────────────────────────


def judge(session: Session, ticket: Ticket, attempt: Attempt, report: Report) -> Failure | None:
    """Why the attempt failed, or None: it did what its phase is for."""
    if report.failure is not None:
        return report.failure
    if ticket.planning is not None:
        return judging.judge(session, ticket, report)
    role = ticket.phase.role
    if report.dispute is not None and role is Role.IMPLEMENTER:
        return _judge_dispute(session, ticket)
    if role is Role.REVIEWER and report.verdict is None:
        return _bad('the reviewer gave no verdict: its result must hold "verdict": "approve" or "changes_requested"')
    if ticket.phase.writes and (failure := _judge_work(ticket, attempt, report)):
        return failure
    if role is Role.VERIFIER:
        return _unavailable(session, ticket, report)
    return _judge_gates(session, ticket, report)


def _judge_dispute(session: Session, ticket: Ticket) -> Failure | None:
    if ticket.contract is None:
        return _bad("there is no contract that could be disputed")
    if ticket.disputes >= session.settings.bounds.max_disputes:
        return _bad("the contract was disputed before and stands: implement it as it is")
    return None


def _judge_work(ticket: Ticket, attempt: Attempt, report: Report) -> Failure | None:
    work = report.work
    if work is not None and work.unnamed:
        return _bad(
            f"more files were changed than can be told by name ({', '.join(work.changed_files[:3])[:300]} …): what is "
            "generated or downloaded belongs in a folder that .gitignore names; larger changes take several tickets"
        )
    if work is not None and work.markers:
        where = ", ".join(work.markers[:10])
        return Failure(failure_class=FailureClass.CONFLICT_MARKERS, message=f"conflict markers were left in {where}")
    if work is not None and (work.changed_files or ticket.advanced):
        return None
    if report.already_satisfied and _on_newer_base(ticket, attempt):
        return None
    return Failure(
        failure_class=FailureClass.NOTHING_CHANGED,
        message="the agent ended without changing any file that git does not ignore",
    )


def _on_newer_base(ticket: Ticket, attempt: Attempt) -> bool:
    """Others' landings may already satisfy a contract; its own base never does."""
    if ticket.contract is None:
        return False
    return ticket.attempts[ticket.contract.epoch].base != attempt.base


def _judge_gates(session: Session, ticket: Ticket, report: Report) -> Failure | None:
    commands = gates.phase_commands(session, ticket)
    if not commands:
        return None
    if failure := _unavailable(session, ticket, report):
        return failure
    red = [run for run in report.gate_runs if not passes(session, run)]
    if gates.expects_red(session, ticket):
        return None if any(map(_shown, red)) else _proves_nothing(commands[0].command, red)
    if not red:
        return None
    what = "; ".join(f"`{run.command}` {describe(run)}" for run in red)
    return Failure(failure_class=FailureClass.GATE_RED, message=f"the gate is red: {what}")


def _shown(run: GateRun) -> bool:
    """Whether a red run shows that tests fail: an exit code of 0 that was not believed, or no test at all, does not."""
    return run.exit_code != 0 and run.tests != 0


def _proves_nothing(command: str, red: list[GateRun]) -> Failure:
    what = f"pass before anything is implemented (`{command}` is green)"
    if red:
        what = f"do not run (`{command}` {describe(red[0])})"
    message = f"the contract's tests {what}: they prove nothing; write tests that run and fail until it is done"
    return Failure(failure_class=FailureClass.CONTRACT_PASSES, message=message)


def _unavailable(session: Session, ticket: Ticket, report: Report) -> Failure | None:
    """A gate that could not run, or was not run at all though nothing before it was red."""
    changed = report.work.changed_files if report.work is not None else ()
    for run in report.gate_runs:
        if broke_setup(session, run, (*changed, *ticket.files)):
            return Failure(failure_class=FailureClass.SETUP_BROKEN, message=run.reason)
        if run.outcome is GateOutcome.UNAVAILABLE:
            message = f"the gate `{run.command}` could not run: {run.reason or describe(run)}"
            return Failure(failure_class=FailureClass.GATE_UNAVAILABLE, message=message)
    ran = {run.command for run in report.gate_runs}
    skipped = [c.command for c in gates.phase_commands(session, ticket) if c.command not in ran]
    if skipped and all(passes(session, run) for run in report.gate_runs):
        message = f"the gate `{skipped[0]}` was not run"
        return Failure(failure_class=FailureClass.GATE_UNAVAILABLE, message=message)
    return None


def broke_setup(session: Session, run: GateRun, changed: Iterable[str]) -> bool:
    """Whether the set-up fails by what was changed: it went well on the base, and reads a file that is another now.

    Else the network may be at fault, or the machine: that says nothing about the work.
    """
    return run.setup_failed and not set(session.settings.workspace.setup_inputs).isdisjoint(changed)


def passes(session: Session, run: GateRun) -> bool:
    """Green; or red with no failing test but those that the base had already and a person allowed.

    The base's own gate passes whatever it shows once that is allowed: what is red there is what is known.
    """
    if run.outcome is GateOutcome.RED and session.settings.gates.allow_red_base_by:
        return not session.base_ready or (bool(run.failing) and set(run.failing) <= set(session.base_failing))
    return run.outcome in (GateOutcome.GREEN, GateOutcome.WAIVED)


def describe(run: GateRun) -> str:
    if run.reason:
        return run.reason
    return "was ended by a signal" if run.exit_code is None else f"exited with {run.exit_code}"


def _bad(message: str) -> Failure:
    return Failure(failure_class=FailureClass.BAD_RESULT, message=message)


# ── what follows ─────────────────────────────────────────────────────────────────────────────────────────────


def _failed(
    session: Session, ticket: Ticket, attempt: Attempt, failure: Failure, report: Report, now_ms: int
) -> list[ev.Event]:
    class_, bounds = failure.failure_class, session.settings.bounds
    if attempt.rested is not None and not resting.judged(attempt, class_):
        return _left_by_hand(session, ticket, attempt, failure, report, now_ms)
    if class_ is FailureClass.CANCELLED:
        ended = ev.AttemptCancelled(
            ticket=ticket.id, epoch=attempt.epoch, reason=failure.message, report=report, retry_at_ms=now_ms
        )
        return [ended, *interruption_bound(session, ticket, failure.message)]
    charged = class_ in CHARGED
    tries = (ticket.failures if charged else ticket.interruptions) + 1
    parks = bool(attempt.agent) and parking.parks(session, failure, now_ms)
    parked = parking.park(session, attempt, failure, now_ms, but=ticket.id) if parks else []
    passed = [] if parks else cascade.passed_over(session, ticket, attempt, class_, now_ms)
    retry_ms = now_ms  # with another agent, or when this one is back, which the parking tells
    if not parks and not passed:
        retry_ms = _retry_ms(session, ticket, attempt, failure, tries, now_ms)
    timed_out = class_ in (FailureClass.TIMED_OUT, FailureClass.HUNG)
    kind = ev.AttemptTimedOut if timed_out else ev.AttemptFailed
    events: list[ev.Event] = [
        kind(
            ticket=ticket.id,
            epoch=attempt.epoch,
            failure=failure,
            charged=charged,
            report=report,
            retry_at_ms=retry_ms,
        )
    ]
    if not charged:
        further = passed or _waits(ticket, attempt, class_)
        return [*events, *parked, *(interruption_bound(session, ticket, failure.message) or further)]
    if tries >= (bounds.max_attempts if ticket.planning is None else judging.bound(session)):
        reason = f"{tries} attempts failed in phase {ticket.phase.name}; the last: {failure.message}"
        return events + (without(ticket, reason) or [ev.TicketFailed(ticket=ticket.id, reason=reason)])
    return [*events, *cascade.escalated(session, ticket, attempt, class_)]


def _left_by_hand(
    session: Session, ticket: Ticket, attempt: Attempt, failure: Failure, report: Report, now_ms: int
) -> list[ev.Event]:
    """A person's own attempt could not be begun, or not be brought to the end that they wanted."""
    ended = ev.AttemptFailed(
        ticket=ticket.id, epoch=attempt.epoch, failure=failure, charged=False, report=report, retry_at_ms=now_ms
    )
    return [ended, *resting.rest_again(session, ticket, attempt, now_ms)]


def _retry_ms(session: Session, ticket: Ticket, attempt: Attempt, failure: Failure, tries: int, now_ms: int) -> int:
    """When the ticket is tried again: after a pause, and not before the moment that the other side named."""
    bounds, seed = session.settings.bounds, session.settings.seed
    retry_ms = retry_at_ms(bounds, seed, ticket.id, attempt.epoch, tries, now_ms, failure.failure_class)
    return max(retry_ms, min(failure.retry_at_ms or 0, now_ms + LONGEST_WAIT_MS))


def _waits(ticket: Ticket, attempt: Attempt, class_: FailureClass) -> list[ev.Event]:
    """A ticket whose own cap is reached waits for a person; caps of roles and sessions are seen at the next claim."""
    if class_ is not FailureClass.OVER_BUDGET or attempt.breach is None or attempt.breach.cap != "ticket":
        return []
    return [ev.TicketWaiting(ticket=ticket.id, reason=WaitReason.BUDGET, detail=attempt.breach.detail)]


def _succeeded(session: Session, ticket: Ticket, attempt: Attempt, report: Report, now_ms: int) -> list[ev.Event]:
    events: list[ev.Event] = [ev.AttemptSucceeded(ticket=ticket.id, epoch=attempt.epoch, report=report)]
    if ticket.planning is not None:
        return events + follow(session, ticket, report, now_ms)
    events += from_agents(session, ticket, report)
    if report.dispute is not None and ticket.phase.role is Role.IMPLEMENTER:
        return [*events, ev.ContractDisputed(ticket=ticket.id, epoch=attempt.epoch, reason=report.dispute)]
    if findings := _objections(session, ticket, report):
        return events + _sent_back(session, ticket, attempt, findings)
    if ticket.phase.writes:
        events += void_for(session, ticket, "the ticket has new work since")
    if ticket.phase_index + 1 < len(ticket.phases):
        return events
    wrote = ticket.phase.writes and report.work is not None
    work = report.work.commit if wrote and report.work else ticket.work
    files = ticket.files + (report.work.changed_files if wrote and report.work else ())
    return events + before_landing(session, ticket, work, tuple(dict.fromkeys(files)), now_ms)


def _objections(session: Session, ticket: Ticket, report: Report) -> tuple[Finding, ...]:
    """What a reviewer asks to be changed, or a verifier found red. Empty: none."""
    role = ticket.phase.role
    if role is Role.REVIEWER and report.verdict is Verdict.CHANGES_REQUESTED:
        return report.findings or (Finding(text=report.summary or "changes were requested without a finding"),)
    if role is Role.VERIFIER:
        red = [run for run in report.gate_runs if not passes(session, run)]
        return red_findings(red)
    return ()


def red_findings(runs: list[GateRun]) -> tuple[Finding, ...]:
    """The evidence of red gates: their own findings, and each one's tail."""
    own = tuple(finding for run in runs for finding in run.findings)
    tails = tuple(Finding(text=f"`{run.command}` {describe(run)}\n{run.tail}".rstrip()) for run in runs)
    return own + tails


def _sent_back(session: Session, ticket: Ticket, attempt: Attempt, findings: tuple[Finding, ...]) -> list[ev.Event]:
    source = "verifier" if ticket.phase.role is Role.VERIFIER else "reviewer"
    back = ev.ChangesRequested(ticket=ticket.id, epoch=attempt.epoch, findings=findings, by=source)
    bound = session.settings.bounds.max_change_rounds
    if ticket.change_rounds + 1 < bound:
        return [back]
    return [back, ev.TicketFailed(ticket=ticket.id, reason=f"changes were asked for {bound} times")]
