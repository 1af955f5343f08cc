"""What the end of an attempt means: every class of failure in its place, and where the next attempt begins."""

from __future__ import annotations

import pytest

from codeswarm.domain import commands as cmd, events as ev
from codeswarm.domain.ids import TicketId
from codeswarm.domain.rejection import Refusal as Kind
from codeswarm.domain.results import (
    CHARGED,
    RESTARTS,
    Failure,
    FailureClass,
    Finding,
    GateOutcome,
    Report,
    Verdict,
)
from codeswarm.domain.settings import Bounds, Gates, Settings, WorkspaceSettings
from codeswarm.domain.states import AttemptStatus, TicketStatus
from codeswarm.domain.ticket import ContractKind
from tests.support.sessions import CONTRACT, FAST, FULL, VERIFIERS, Swarm, gate_run, receipt, settings, spec

F = FailureClass
A = TicketId("a")

OWN_FAULT = {
    F.CRASHED,
    F.HUNG,
    F.TIMED_OUT,
    F.NOTHING_CHANGED,
    F.GATE_RED,
    F.SETUP_BROKEN,
    F.CONTRACT_PASSES,
    F.CONFLICT_MARKERS,
    F.BAD_RESULT,
    F.REFUSED,
    F.CONTEXT_OVERFLOW,
}
"""The table of the design, written down a second time on purpose."""


def contract_first(**fields: object) -> Swarm:
    gates = Gates(fast=FAST, contract=CONTRACT)
    return Swarm(spec("a", **fields), settings=settings(default_pipeline="contract-first", gates=gates))


# ── who is charged ──


@pytest.mark.parametrize("failure", list(F))
def test_only_the_agents_own_failures_are_charged(failure: FailureClass) -> None:
    assert (failure in CHARGED) == (failure in OWN_FAULT)
    swarm = Swarm("a")
    swarm.begin("a")
    swarm.end("a", failure=failure)
    own = failure in OWN_FAULT
    assert (swarm.ticket("a").failures, swarm.ticket("a").interruptions) == ((1, 0) if own else (0, 1))


@pytest.mark.parametrize("failure", list(F))
def test_each_class_of_failure_ends_the_attempt_in_its_own_state(failure: FailureClass) -> None:
    swarm = Swarm("a")
    swarm.begin("a")
    swarm.end("a", failure=failure)
    states = {
        F.TIMED_OUT: AttemptStatus.TIMED_OUT,
        F.HUNG: AttemptStatus.TIMED_OUT,
        F.CANCELLED: AttemptStatus.CANCELLED,
    }
    assert swarm.attempt("a").status is states.get(failure, AttemptStatus.FAILED)
    assert swarm.ticket("a").status is TicketStatus.READY


@pytest.mark.parametrize("failure", list(F))
def test_only_what_died_counts_towards_a_meltdown(failure: FailureClass) -> None:
    assert {F.CRASHED, F.HUNG, F.LOST, F.WORKER_ERROR} == RESTARTS
    swarm = Swarm("a")
    swarm.begin("a")
    swarm.end("a", failure=failure)
    assert len(swarm.session.restarts) == (failure in RESTARTS)


def test_a_ticket_fails_after_as_many_own_failures_as_are_allowed_in_one_phase() -> None:
    swarm = Swarm("a", settings=settings(bounds=Bounds(max_attempts=3, backoff_base_s=0)))
    swarm.phase("a", files=())
    swarm.phase("a", failure="crashed")
    assert swarm.ticket("a").status is TicketStatus.READY
    swarm.phase("a", gates="red")
    assert swarm.ticket("a").status is TicketStatus.FAILED
    assert "3 attempts failed in phase implementation" in swarm.ticket("a").reason


def test_conflict_markers_are_never_gone_on_from_whatever_else_was_wrong() -> None:
    swarm = Swarm("a", settings=settings(bounds=Bounds(backoff_base_s=0)))
    swarm.phase("a")
    swarm.merge(conflicts=("src/a.py",))
    work = swarm.ticket("a").work
    swarm.begin("a", conflicts=("src/a.py",))
    swarm.end("a", markers=("src/a.py",), failure="bad_result")
    assert (swarm.ticket("a").conflict, swarm.ticket("a").work) == (2, work)


def test_failures_are_counted_per_phase() -> None:
    swarm = contract_first()
    for _ in range(2):
        swarm.phase("a", gates="green")
    swarm.phase("a")
    for _ in range(2):
        swarm.phase("a", gates="red")
    assert (swarm.ticket("a").phase.name, swarm.ticket("a").failures) == ("implementation", 2)
    assert swarm.ticket("a").status is TicketStatus.READY


def test_failures_and_interruptions_in_turn_have_each_their_own_bound() -> None:
    bounds = Bounds(max_attempts=3, max_interruptions=3, backoff_base_s=0)
    swarm = Swarm("a", settings=settings(bounds=bounds))
    for failure in ("crashed", "overloaded", "hung", "rate_limited"):
        swarm.phase("a", failure=failure)
    assert (swarm.ticket("a").failures, swarm.ticket("a").interruptions) == (2, 2)
    assert swarm.ticket("a").status is TicketStatus.READY


def test_nothing_is_tried_before_the_other_side_said_that_it_would_be_back() -> None:
    swarm = Swarm("a")
    swarm.begin("a")
    resets_ms = swarm.now_ms + 3600 * 1000
    swarm.end("a", failure=Failure(failure_class=F.QUOTA, message="spent", retry_at_ms=resets_ms))
    swarm.later(3599)
    assert swarm.claim() is None
    swarm.later(1)
    assert swarm.claim() == "a"


def test_a_reset_in_a_century_does_not_park_the_ticket_for_a_century() -> None:
    swarm = Swarm("a")
    swarm.begin("a")
    far_ms = swarm.now_ms + 100 * 365 * 24 * 3600 * 1000
    swarm.end("a", failure=Failure(failure_class=F.QUOTA, message="spent", retry_at_ms=far_ms))
    swarm.later(8 * 24 * 3600)
    assert swarm.claim() == "a"


# ── success needs all of it ──


def test_a_writing_role_that_changed_nothing_has_failed_whatever_it_said() -> None:
    swarm = contract_first()
    swarm.phase("a", files=())
    assert swarm.attempt("a").failure is not None
    assert swarm.attempt("a").failure.failure_class is F.NOTHING_CHANGED
    swarm.phase("a")
    swarm.phase("a", files=())
    assert swarm.attempt("a").failure.failure_class is F.NOTHING_CHANGED
    swarm.phase("a")
    swarm.phase("a")
    assert swarm.ticket("a").status is TicketStatus.LANDING, "a reviewer changes nothing and need not"


def test_a_report_without_any_work_is_a_report_of_nothing_changed() -> None:
    swarm = Swarm("a")
    swarm.begin("a")
    swarm.complete("a", Report(summary="all done!"))
    assert swarm.attempt("a").failure is not None
    assert swarm.attempt("a").failure.failure_class is F.NOTHING_CHANGED


@pytest.mark.parametrize("outcome", ["red", "unavailable"])
def test_a_gate_that_is_not_green_fails_the_attempt_and_only_red_is_charged(outcome: str) -> None:
    swarm = Swarm("a")
    swarm.phase("a", gates=outcome)
    expected = {"red": (F.GATE_RED, 1, 0), "unavailable": (F.GATE_UNAVAILABLE, 0, 1)}[outcome]
    ticket, failure = swarm.ticket("a"), swarm.attempt("a").failure
    assert failure is not None
    assert (failure.failure_class, ticket.failures, ticket.interruptions) == expected


def test_a_gate_that_was_not_run_is_not_taken_for_green() -> None:
    swarm = Swarm("a")
    swarm.begin("a")
    report, _ = swarm.report("a")
    swarm.complete("a", report.model_copy(update={"gate_runs": ()}))
    failure = swarm.attempt("a").failure
    assert failure is not None
    assert (failure.failure_class, failure.message) == (F.GATE_UNAVAILABLE, "the gate `fast` was not run")


def test_a_gate_behind_a_red_one_need_not_have_run() -> None:
    swarm = Swarm(spec("a", gate="mine"))
    swarm.begin("a")
    report, _ = swarm.report("a", gates="red")
    swarm.complete("a", report.model_copy(update={"gate_runs": report.gate_runs[:1]}))
    failure = swarm.attempt("a").failure
    assert failure is not None
    assert failure.failure_class is F.GATE_RED


def test_the_tickets_own_gate_counts_on_top_of_the_projects() -> None:
    swarm = Swarm(spec("a", gate="mine"))
    swarm.phase("a", gates={"ticket": "red"})
    assert swarm.attempt("a").failure is not None
    swarm.phase("a")
    assert swarm.ticket("a").status is TicketStatus.LANDING


def test_conflict_markers_that_were_left_fail_the_attempt_even_on_a_green_gate() -> None:
    swarm = Swarm("a")
    swarm.phase("a", markers=("src/a.py:3",))
    failure = swarm.attempt("a").failure
    assert failure is not None
    assert failure.failure_class is F.CONFLICT_MARKERS
    assert "src/a.py:3" in failure.message


def test_work_of_more_files_than_can_be_named_is_not_taken_and_not_gone_on_from() -> None:
    swarm = Swarm("a")
    swarm.begin("a", conversation="c")
    report, receipts = swarm.report("a", files=("dump/1", "dump/2"))
    assert report.work is not None
    cut = report.work.model_copy(update={"unnamed": True})
    swarm.complete("a", report.model_copy(update={"work": cut}), receipts)
    failure = swarm.attempt("a").failure
    assert failure is not None
    assert failure.failure_class is F.BAD_RESULT
    assert "dump/1, dump/2" in failure.message
    ticket = swarm.ticket("a")
    assert (ticket.work, ticket.files, ticket.conversation_epoch, ticket.failures) == (None, (), None, 1)


def test_a_reviewer_without_a_verdict_fails_the_attempt() -> None:
    swarm = contract_first()
    swarm.phase("a")
    swarm.phase("a")
    swarm.phase("a", verdict=None)
    failure = swarm.attempt("a").failure
    assert failure is not None
    assert (failure.failure_class, swarm.ticket("a").phase.name) == (F.BAD_RESULT, "review")
    assert "verdict" in failure.message


# ── contracts ──


def test_a_contract_must_fail_on_its_own_base() -> None:
    swarm = contract_first()
    swarm.phase("a", gates="green")
    failure = swarm.attempt("a").failure
    assert failure is not None
    assert failure.failure_class is F.CONTRACT_PASSES
    swarm.phase("a", gates="red")
    assert swarm.ticket("a").phase.name == "implementation"
    assert swarm.ticket("a").contract is not None


@pytest.mark.parametrize(
    "fields",
    [
        {"outcome": "red", "exit_code": 0, "reason": "exited with 0, but skipped t::a"},
        {"outcome": "red", "exit_code": 0, "reason": "exited with 0, but its report shows that no test ran"},
        {"outcome": "red", "exit_code": 5, "tests": 0},
    ],
)
def test_a_contract_whose_tests_do_not_run_proves_nothing(fields: dict[str, object]) -> None:
    swarm = contract_first()
    swarm.phase("a", gates={"contract": fields})
    failure = swarm.attempt("a").failure
    assert failure is not None
    assert failure.failure_class is F.CONTRACT_PASSES
    assert "do not run" in failure.message


@pytest.mark.parametrize(
    "fields",
    [
        {"outcome": "red", "exit_code": 1, "tests": 3, "skipped": ("t::c",)},
        {"outcome": "red", "exit_code": 2, "tests": None},
        {"outcome": "red", "exit_code": None, "reason": "did not end within 900 s and was ended"},
    ],
)
def test_a_contract_that_fails_for_whatever_other_reason_is_taken(fields: dict[str, object]) -> None:
    swarm = contract_first()
    swarm.phase("a", gates={"contract": fields})
    assert swarm.ticket("a").phase.name == "implementation"


def test_without_a_contract_gate_the_fast_one_shows_that_a_contract_fails() -> None:
    swarm = Swarm("a", settings=settings(default_pipeline="contract-first"))
    swarm.phase("a", gates={"fast": "green"})
    assert swarm.ticket("a").phase.name == "contract"
    swarm.phase("a", gates={"fast": "red"})
    assert swarm.ticket("a").phase.name == "implementation"


def test_a_characterising_contract_must_be_green() -> None:
    swarm = contract_first(contract=ContractKind.CHARACTERISE)
    swarm.phase("a", gates="red")
    failure = swarm.attempt("a").failure
    assert failure is not None
    assert failure.failure_class is F.GATE_RED
    swarm.phase("a", gates="green")
    assert swarm.ticket("a").phase.name == "implementation"


def test_a_ticket_without_a_contract_skips_that_phase() -> None:
    swarm = contract_first(contract=ContractKind.NONE)
    assert [phase.name for phase in swarm.ticket("a").phases] == ["implementation", "review"]
    swarm.phases("a")
    assert swarm.ticket("a").status is TicketStatus.LANDING


def test_a_contract_must_be_green_on_what_is_built_on_it() -> None:
    swarm = contract_first()
    swarm.phase("a")
    swarm.phase("a", gates={"contract": "red"})
    assert swarm.attempt("a").failure is not None
    swarm.phase("a", gates={"contract": "green"})
    assert swarm.ticket("a").phase.name == "review"


def test_already_satisfied_counts_on_a_newer_base_only() -> None:
    gates = Gates(fast=FAST, contract=CONTRACT)
    swarm = Swarm("a", spec("b", pipeline="single"), settings=settings(default_pipeline="contract-first", gates=gates))
    swarm.phase("a")
    swarm.phase("a", files=(), already_satisfied=True)
    assert swarm.attempt("a").failure is not None, "on its own base a contract is never satisfied"
    swarm.hold("a")
    swarm.landed("b")
    swarm.release("a")
    swarm.phase("a", files=())
    assert swarm.attempt("a").failure is not None, "and without the word that it is, nothing changed is nothing done"
    swarm.begin("a")
    swarm.end("a", files=(), already_satisfied=True)
    assert swarm.ticket("a").phase.name == "review"


def test_a_ticket_without_a_contract_is_never_already_satisfied() -> None:
    swarm = Swarm("a", "b")
    swarm.hold("a")
    swarm.landed("b")
    swarm.release("a")
    swarm.phase("a", files=(), already_satisfied=True)
    assert swarm.attempt("a").failure is not None


def test_a_contract_holds_all_files_that_test_writers_changed_even_in_attempts_that_did_not_succeed() -> None:
    swarm = contract_first()
    swarm.begin("a")
    first_start = swarm.attempt("a").start
    swarm.end("a", gates="green", files=("tests/test_one.py",))
    swarm.phase("a", gates="red", files=("tests/test_two.py",))
    contract = swarm.ticket("a").contract
    assert contract is not None
    assert contract.files == ("tests/test_one.py", "tests/test_two.py")
    assert contract.base == first_start
    assert contract.commit == swarm.ticket("a").work


# ── disputes ──


def test_a_contract_is_disputed_once_and_then_stands() -> None:
    swarm = contract_first()
    swarm.phase("a")
    events = swarm.phase("a", dispute="test_x asks for the impossible")
    assert [event.kind for event in events][-2:] == ["AttemptSucceeded", "ContractDisputed"]
    assert swarm.ticket("a").phase.name == "contract"
    assert swarm.ticket("a").failures == 0, "a dispute is nobody's failure"
    assert [item.source for item in swarm.ticket("a").feedback] == ["dispute"]
    swarm.phase("a")
    swarm.phase("a", dispute="still impossible")
    failure = swarm.attempt("a").failure
    assert failure is not None
    assert (failure.failure_class, swarm.ticket("a").phase.name) == (F.BAD_RESULT, "implementation")
    assert "disputed before and stands" in failure.message


def test_without_a_contract_there_is_nothing_to_dispute() -> None:
    swarm = Swarm("a")
    swarm.phase("a", dispute="no")
    assert swarm.attempt("a").failure is not None


def test_only_an_implementer_disputes() -> None:
    swarm = contract_first()
    swarm.phase("a", dispute="I dispute what I have just written")
    assert swarm.ticket("a").phase.name == "implementation"
    assert swarm.ticket("a").contract is not None
    assert swarm.ticket("a").contract.commit == swarm.ticket("a").work
    assert swarm.ticket("a").disputes == 0


def test_a_disputed_contract_is_changed_where_it_can_still_fail_and_keeps_its_other_files() -> None:
    swarm = contract_first()
    swarm.phase("a", files=("tests/test_one.py", "tests/test_two.py"))
    contract = swarm.ticket("a").contract
    assert contract is not None
    swarm.phase("a", gates="red", files=("src/a.py",))
    built = swarm.ticket("a").work
    swarm.phase("a", dispute="test_two is wrong")
    assert swarm.ticket("a").work == contract.commit != built, "not on top of what is built, where tests would pass"
    swarm.phase("a", files=("tests/test_two.py",))
    changed = swarm.ticket("a").contract
    assert changed is not None
    assert changed.files == contract.files
    assert changed.base == contract.base
    assert swarm.ticket("a").reference == swarm.attempt("a", 3).head, "what was built is there to look at"


# ── reviews ──


def test_changes_that_a_reviewer_asks_for_go_back_to_the_implementer_with_the_findings() -> None:
    swarm = contract_first()
    swarm.phase("a")
    swarm.phase("a")
    work = swarm.ticket("a").work
    finding = Finding(file="src/a.py", line=3, text="no")
    swarm.phase("a", verdict=Verdict.CHANGES_REQUESTED, findings=(finding,))
    ticket = swarm.ticket("a")
    assert (ticket.phase.name, ticket.work, ticket.failures) == ("implementation", work, 0)
    assert ticket.feedback[0].findings == (finding,)
    assert ticket.feedback[0].text == "- src/a.py:3: no"


def test_changes_without_a_finding_still_say_something() -> None:
    swarm = contract_first()
    swarm.phase("a")
    swarm.phase("a")
    swarm.phase("a", verdict=Verdict.CHANGES_REQUESTED, summary="I don't like it")
    assert "I don't like it" in swarm.ticket("a").feedback[0].text


def test_rounds_of_changes_are_bounded() -> None:
    bounds = Bounds(max_change_rounds=3)
    swarm = Swarm("a", settings=settings(default_pipeline="contract-first", bounds=bounds))
    swarm.phase("a")
    for _ in range(3):
        assert swarm.ticket("a").status is TicketStatus.READY
        swarm.phase("a")
        swarm.phase("a", verdict=Verdict.CHANGES_REQUESTED)
    assert swarm.ticket("a").status is TicketStatus.FAILED
    assert "changes were asked for 3 times" in swarm.ticket("a").reason


def test_a_verifier_that_finds_red_sends_the_ticket_back_and_charges_nobody() -> None:
    swarm = Swarm("a", settings=settings(default_pipeline="plan-code-verify", gates=Gates(fast=FAST, full=FULL)))
    swarm.phase("a")
    assert swarm.ticket("a").plan == "first this, then that"
    swarm.phase("a")
    swarm.phase("a", gates={"full": {"outcome": "red", "tail": "1 failed"}})
    ticket = swarm.ticket("a")
    assert (ticket.phase.name, ticket.change_rounds, ticket.failures) == ("implementation", 1, 0)
    assert ticket.feedback[0].source == "verifier"
    assert "1 failed" in ticket.feedback[0].text
    swarm.phase("a")
    swarm.phase("a", gates={"full": "unavailable"})
    assert (ticket.phase.name, ticket.interruptions) == ("verify", 1)
    swarm.later(600)
    swarm.phase("a")
    assert ticket.status is TicketStatus.LANDING


# ── where the next attempt begins ──


@pytest.mark.parametrize("failure", ["crashed", "hung", "timed_out", "quota", "try_later", "refused", "auth"])
def test_after_a_failure_in_the_middle_the_next_attempt_begins_anew_with_the_snapshot_to_look_at(failure: str) -> None:
    swarm = Swarm("a")
    swarm.begin("a")
    snapshot = swarm.snapshot("a")
    swarm.end("a", failure=failure)
    assert (swarm.ticket("a").work, swarm.ticket("a").reference) == (None, snapshot)


@pytest.mark.parametrize("how", ["lost", "released", "held"])
def test_after_an_interruption_the_next_attempt_begins_anew_with_the_snapshot_to_look_at(how: str) -> None:
    swarm = Swarm("a")
    swarm.begin("a")
    snapshot = swarm.snapshot("a")
    if how == "lost":
        swarm.lose("a")
    elif how == "released":
        swarm.release_lease("a")
    else:
        swarm.do(cmd.HoldTicket(ticket=A, by="ada"))
    assert (swarm.ticket("a").work, swarm.ticket("a").reference) == (None, snapshot)


@pytest.mark.parametrize("how", ["red gate", "gate unavailable", "bad result"])
def test_after_an_end_in_good_order_the_next_attempt_goes_on_from_its_tree(how: str) -> None:
    swarm = Swarm("a")
    swarm.begin("a", conversation="c1")
    if how == "bad result":
        swarm.end("a", failure="bad_result")
    else:
        swarm.end("a", gates="red" if how == "red gate" else "unavailable")
    ticket = swarm.ticket("a")
    assert ticket.work == swarm.attempt("a").head is not None
    assert ticket.conversation_epoch == 1


def test_files_of_an_attempt_that_is_gone_on_from_are_the_tickets_files() -> None:
    swarm = Swarm("a")
    swarm.phase("a", gates="red", files=("secret.yml",))
    swarm.phase("a", gates="green", files=("src/a.py",))
    assert swarm.ticket("a").files == ("secret.yml", "src/a.py")


def test_nothing_changed_begins_anew() -> None:
    swarm = Swarm("a")
    swarm.begin("a", conversation="c1")
    swarm.end("a", files=())
    assert (swarm.ticket("a").work, swarm.ticket("a").conversation_epoch) == (None, None)


@pytest.mark.parametrize("how", ["lost", "released", "quota", "overloaded"])
def test_an_interrupted_conversation_may_be_gone_on_with(how: str) -> None:
    swarm = Swarm("a")
    swarm.begin("a", conversation="c1")
    if how == "lost":
        swarm.lose("a")
    elif how == "released":
        swarm.release_lease("a")
    else:
        swarm.end("a", failure=how)
    assert swarm.ticket("a").conversation_epoch == 1


def test_an_agent_that_has_no_conversation_has_none_to_go_on_with() -> None:
    swarm = Swarm("a")
    swarm.begin("a")
    swarm.lose("a")
    assert swarm.ticket("a").conversation_epoch is None


def test_the_next_attempt_is_told_of_the_last_failure_only_and_of_what_sent_the_ticket_here() -> None:
    swarm = contract_first()
    swarm.phase("a")
    swarm.phase("a")
    swarm.phase("a", verdict=Verdict.CHANGES_REQUESTED, findings=(Finding(text="rename it"),))
    swarm.phase("a", gates={"contract": "green", "fast": {"outcome": "red", "tail": "first"}})
    swarm.phase("a", gates={"contract": "green", "fast": {"outcome": "red", "tail": "second"}})
    told = swarm.ticket("a").feedback
    assert [item.source for item in told] == ["reviewer", "failure"]
    assert "second" in told[1].text
    assert "first" not in told[1].text


# ── conflicts escalate ──


def test_a_conflict_is_first_given_with_its_markers_and_then_made_anew_on_the_tip() -> None:
    swarm = Swarm("a", "b")
    swarm.phase("a", files=("x.py",))
    work = swarm.ticket("a").work
    swarm.merge(conflicts=("x.py",))
    assert swarm.ticket("a").conflict == 1
    swarm.begin("a", conflicts=("x.py",))
    swarm.end("a", markers=("x.py:1",))
    assert (swarm.ticket("a").conflict, swarm.ticket("a").reference, swarm.ticket("a").work) == (2, work, work)
    swarm.phase("a")
    assert (swarm.ticket("a").conflict, swarm.ticket("a").status) == (0, "landing")


def test_an_agent_that_leaves_a_conflict_untouched_makes_its_change_anew_the_next_time() -> None:
    swarm = Swarm("a")
    swarm.phase("a")
    swarm.merge(conflicts=("x.py",))
    swarm.begin("a", conflicts=("x.py",))
    swarm.end("a", files=())
    assert swarm.ticket("a").conflict == 2


def test_a_crash_amid_a_conflict_shows_the_markers_again() -> None:
    swarm = Swarm("a")
    swarm.phase("a")
    swarm.merge(conflicts=("x.py",))
    swarm.begin("a", conflicts=("x.py",))
    swarm.end("a", failure="crashed")
    assert swarm.ticket("a").conflict == 1


def test_a_conflict_that_was_resolved_on_a_red_gate_is_gone_on_from() -> None:
    swarm = Swarm("a")
    swarm.phase("a")
    swarm.merge(conflicts=("x.py",))
    swarm.begin("a", conflicts=("x.py",))
    swarm.end("a", gates="red")
    assert (swarm.ticket("a").conflict, swarm.ticket("a").work) == (0, swarm.attempt("a").head)


def test_a_conflict_that_shows_at_the_beginning_of_an_attempt_counts_too() -> None:
    swarm = contract_first()
    swarm.phase("a")
    swarm.begin("a", conflicts=("x.py",))
    assert swarm.ticket("a").conflict == 1


# ── late and twice ──


def test_a_late_result_is_kept_and_changes_nothing() -> None:
    swarm = Swarm("a")
    swarm.begin("a")
    report, receipts = swarm.report("a")
    swarm.lose("a")
    swarm.begin("a", worker="w2")
    before = swarm.ticket("a").status, swarm.ticket("a").work, swarm.session.spending.usd
    (kept,) = swarm.complete("a", report, receipts, epoch=1)
    assert isinstance(kept, ev.LateResultKept)
    assert report.work is not None
    assert (kept.commit, swarm.attempt("a", 1).late) == (report.work.commit, True)
    assert (swarm.ticket("a").status, swarm.ticket("a").work, swarm.session.spending.usd) == before
    again = cmd.CompleteAttempt(ticket=A, epoch=1, report=report)
    assert swarm.refused(again).refusal is Kind.STALE


def test_a_late_result_without_work_names_the_last_snapshot() -> None:
    swarm = Swarm("a")
    swarm.begin("a")
    snapshot = swarm.snapshot("a")
    swarm.lose("a")
    (kept,) = swarm.complete("a", Report(summary="late"), epoch=1)
    assert isinstance(kept, ev.LateResultKept)
    assert (kept.commit, kept.summary) == (snapshot, "late")


def test_a_late_result_is_kept_even_when_the_session_is_over() -> None:
    swarm = Swarm("a")
    swarm.begin("a")
    report, _ = swarm.report("a")
    swarm.do(cmd.CancelSession(by="ada"))
    assert [event.kind for event in swarm.complete("a", report, epoch=1)] == ["LateResultKept"]


@pytest.mark.parametrize("failure", [None, "crashed", "hung", "quota"])
def test_a_completion_told_twice_changes_nothing_and_is_no_error(failure: str | None) -> None:
    swarm = Swarm("a")
    swarm.begin("a")
    report, receipts = swarm.report("a", failure=failure)
    swarm.complete("a", report, receipts)
    assert swarm.complete("a", report, receipts) == []
    if failure is not None:
        swarm.later(3600)
        swarm.begin("a", worker="w2")
        assert swarm.complete("a", report, receipts, epoch=1) == [], "not even when the next attempt is under way"
        assert swarm.ticket("a").live_epoch == 2


# ── a base that was red ──


def red_base(*failing: str, **fields: object) -> Swarm:
    gates = Gates(fast=FAST, full=FULL, allow_red_base_by="ada")
    swarm = Swarm(spec("a", **fields), base_gate=None, settings=settings(gates=gates))
    swarm.gate("red", failing=failing)
    return swarm


def test_a_red_base_ends_the_session_before_it_begins() -> None:
    swarm = Swarm("a", base_gate=None)
    swarm.gate("red", failing=("t::old",))
    assert (swarm.session.status, swarm.session.outcome) == ("finalized", "failed")
    assert "red on the base" in swarm.session.detail


NOT_SET_UP = {"outcome": "unavailable", "setup_failed": True, "reason": "the set-up `npm ci` exited with 1"}


def with_lock_file() -> Settings:
    return settings(gates=Gates(fast=FAST), workspace=WorkspaceSettings(setup="npm ci", setup_inputs=("lock",)))


def test_a_base_that_can_not_be_set_up_ends_the_session_before_it_begins() -> None:
    swarm = Swarm("a", base_gate=None, settings=with_lock_file())
    swarm.gate(NOT_SET_UP)
    assert (swarm.session.status, swarm.session.outcome) == ("finalized", "failed")
    assert swarm.session.detail == "on the base the set-up `npm ci` exited with 1"


def test_a_base_gate_that_could_not_run_for_another_reason_is_tried_again() -> None:
    swarm = Swarm("a", base_gate=None)
    swarm.gate("unavailable")
    assert swarm.session.status == "draft"
    swarm.later(60)
    swarm.gate("green")
    assert swarm.session.status == "active"


@pytest.mark.parametrize(("changed", "charged"), [(("lock",), True), (("code",), False)])
def test_only_who_changed_what_the_set_up_reads_is_blamed_where_it_fails(
    changed: tuple[str, ...], charged: bool
) -> None:
    swarm = Swarm("a", settings=with_lock_file())
    swarm.phase("a", gates={"fast": NOT_SET_UP}, files=changed)
    failure = swarm.attempt("a").failure
    assert failure is not None
    assert (failure.failure_class is F.SETUP_BROKEN) == charged
    assert swarm.ticket("a").failures == int(charged)
    assert swarm.ticket("a").work is None or not charged, "the next one does not begin where nothing can be set up"


def test_a_merge_that_can_not_be_set_up_comes_back_to_the_ticket_that_changed_the_lock_file() -> None:
    swarm = Swarm("a", settings=with_lock_file())
    swarm.phase("a", files=("lock",))
    swarm.merge()
    bounced = next(event for event in swarm.gate(NOT_SET_UP) if isinstance(event, ev.LandingBounced))
    assert "the set-up `npm ci` exited with 1" in bounced.detail


def test_a_red_base_that_a_person_allows_is_begun_with_and_its_failing_tests_are_known() -> None:
    swarm = red_base("t::old", "t::older")
    assert swarm.session.status == "active"
    assert swarm.session.base_failing == ("t::old", "t::older")


def test_on_an_allowed_red_base_a_ticket_is_blamed_only_for_what_it_broke() -> None:
    swarm = red_base("t::old", "t::older")
    swarm.phase("a", gates={"fast": {"outcome": "red", "failing": ("t::old", "t::new")}})
    assert swarm.attempt("a").failure is not None
    swarm.phase("a", gates={"fast": {"outcome": "red", "failing": ("t::old",)}})
    assert swarm.ticket("a").status is TicketStatus.LANDING
    swarm.merge()
    assert [event.kind for event in swarm.gate("red", failing=("t::new",))][-1] == "LandingBounced"


def test_on_an_allowed_red_base_a_red_gate_that_names_no_test_counts_as_red() -> None:
    swarm = red_base("t::old")
    swarm.phase("a", gates={"fast": {"outcome": "red"}})
    assert swarm.attempt("a").failure is not None


def test_an_allowed_red_base_is_begun_with_even_if_its_failing_tests_cannot_be_told() -> None:
    swarm = red_base()
    assert swarm.session.status == "active"
    swarm.phase("a", gates="green")
    assert swarm.ticket("a").status is TicketStatus.LANDING


def test_a_gate_behind_a_forgiven_red_one_must_have_run() -> None:
    swarm = red_base("t::old", gate="mine")
    swarm.begin("a")
    report, receipts = swarm.report("a", gates={"fast": {"outcome": "red", "failing": ("t::old",)}})
    assert [run.name for run in report.gate_runs] == ["fast", "ticket"]
    swarm.complete("a", report.model_copy(update={"gate_runs": report.gate_runs[:1]}), receipts[:1])
    failure = swarm.attempt("a").failure
    assert failure is not None
    assert failure.failure_class is F.GATE_UNAVAILABLE


def test_a_landing_gate_behind_a_forgiven_red_one_must_have_run() -> None:
    swarm = red_base("t::old", gate="mine")
    swarm.phase("a", gates={"fast": {"outcome": "red", "failing": ("t::old",)}})
    swarm.merge()
    swarm.claim(roles=VERIFIERS)
    gate = next(iter(swarm.session.gates.values()))
    run = gate_run(gate.commands[0], {"outcome": "red", "failing": ("t::old",)})
    command = cmd.CompleteGate(gate=gate.id, epoch=1, runs=(run,), receipts=(receipt(gate.tree, run),))
    assert [event.kind for event in swarm.do(command)] == ["GateLost"]
    assert "was not run" in gate.reason


def test_commands_are_marked_where_a_red_one_may_pass_so_that_those_behind_it_run() -> None:
    gates = Gates(fast=FAST, allow_red_base_by="ada")
    command = gates.named("fast")
    assert command is not None
    assert command.red_may_pass
    assert not FAST.red_may_pass
    assert Gates(fast=FAST).named("fast") == FAST


def test_what_a_gate_outcome_is_called_is_what_ledgers_hold() -> None:
    assert {outcome.value for outcome in GateOutcome} == {"green", "red", "unavailable", "waived"}
