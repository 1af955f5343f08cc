from __future__ import annotations

import pytest

from codeswarm.domain import commands as cmd, events as ev, leasing
from codeswarm.domain.ids import TicketId
from codeswarm.domain.pipeline import Role
from codeswarm.domain.rejection import Refusal as Kind
from codeswarm.domain.results import FailureClass, Report
from codeswarm.domain.settings import Bounds
from codeswarm.domain.states import AttemptStatus, SuspendReason, TicketStatus
from tests.support.sessions import AGENTS, VERIFIERS, Swarm, commit, settings, spec

A = TicketId("a")
NO_WAIT = Bounds(backoff_base_s=0, max_interruptions=4)


def words(epoch: int) -> list[cmd.Command]:
    """Everything that a lease's holder may say, in one epoch's name."""
    key = {"ticket": A, "epoch": epoch}
    return [
        cmd.PrepareAttempt(**key, start=commit("start")),
        cmd.StartAttempt(**key, sandbox="none"),
        cmd.NameConversation(**key, conversation="c-7"),
        cmd.BeginGating(**key, commit=commit("head")),
        cmd.RecordSnapshot(**key, commit=commit("wip"), files=1),
        cmd.ReportDenied(**key, host="evil.example:443", why="it is not listed"),
        cmd.DeliverMessage(**key, message=1, how="prompt"),
        cmd.ReleaseLease(subject=A, epoch=epoch, reason="stop"),
        cmd.LoseLease(subject=A, epoch=epoch, reason="silent"),
    ]


# ── one owner ──


def test_a_ticket_is_leased_once_until_that_lease_is_over() -> None:
    swarm = Swarm("a")
    assert swarm.claims(worker="w1") == ["a"]
    assert swarm.claim("w2") is None
    swarm.lose("a")
    assert swarm.claim("w2") == "a"
    assert [(event.epoch, event.worker) for event in swarm.of_kind(ev.AttemptLeased)] == [(1, "w1"), (2, "w2")]


def test_a_lease_names_phase_base_agent_and_counts_attempts() -> None:
    swarm = Swarm("a")
    swarm.begin("a")
    swarm.end("a", gates="red")
    swarm.claim()
    first, second = swarm.of_kind(ev.AttemptLeased)
    assert (first.phase, first.attempt, first.base, first.agent) == (
        "implementation",
        1,
        swarm.session.tip,
        "command:agent",
    )
    assert (second.epoch, second.attempt) == (2, 2)


@pytest.mark.parametrize("number", range(7))
def test_every_word_with_an_old_epoch_is_stale_and_changes_nothing(number: int) -> None:
    swarm = Swarm("a")
    swarm.do(cmd.SendMessage(by="ada", text="hello"))
    swarm.claim()
    swarm.lose("a")
    swarm.claim("w2")
    before = list(swarm.events)
    rejection = swarm.refused(words(1)[number])
    assert rejection.refusal is Kind.STALE
    assert swarm.events == before
    assert swarm.ticket("a").live_epoch == 2


@pytest.mark.parametrize("number", range(7))
def test_an_epoch_that_never_was_is_unknown(number: int) -> None:
    swarm = Swarm("a")
    assert swarm.refused(words(7)[number]).refusal is Kind.UNKNOWN


def test_a_ticket_that_never_was_is_unknown() -> None:
    swarm = Swarm("a")
    lost = cmd.LoseLease(subject=TicketId("nobody"), epoch=1, reason="x")
    assert swarm.refused(lost).refusal is Kind.UNKNOWN


# ── the steps of an attempt ──


def test_an_attempt_goes_leased_running_gating_succeeded() -> None:
    swarm = Swarm("a")
    seen = []
    swarm.claim()
    seen.append(swarm.attempt("a").status)
    swarm.do(cmd.PrepareAttempt(ticket=A, epoch=1, start=commit("start")))
    swarm.do(cmd.StartAttempt(ticket=A, epoch=1, sandbox="bubblewrap"))
    seen.append(swarm.attempt("a").status)
    swarm.do(cmd.BeginGating(ticket=A, epoch=1, commit=commit("head")))
    seen.append(swarm.attempt("a").status)
    swarm.end("a")
    seen.append(swarm.attempt("a").status)
    assert seen == ["leased", "running", "gating", "succeeded"]


def test_steps_out_of_order_are_refused_with_the_reason() -> None:
    swarm = Swarm("a")
    swarm.claim()
    start = cmd.StartAttempt(ticket=A, epoch=1, sandbox="none")
    assert "no commit to begin with" in swarm.refused(start).reason
    assert "not running" in swarm.refused(cmd.BeginGating(ticket=A, epoch=1, commit=commit("x"))).reason
    assert "not running" in swarm.refused(cmd.NameConversation(ticket=A, epoch=1, conversation="c")).reason
    assert "never started" in swarm.refused(cmd.CompleteAttempt(ticket=A, epoch=1, report=Report())).reason


def test_steps_told_twice_are_no_error_and_change_nothing() -> None:
    swarm = Swarm("a")
    swarm.begin("a")
    assert swarm.do(cmd.StartAttempt(ticket=A, epoch=1, sandbox="other")) == []
    swarm.do(cmd.NameConversation(ticket=A, epoch=1, conversation="its own name"))
    assert swarm.do(cmd.NameConversation(ticket=A, epoch=1, conversation="its own name")) == []
    assert swarm.attempt("a").conversation == "its own name"
    swarm.do(cmd.BeginGating(ticket=A, epoch=1, commit=commit("head")))
    assert swarm.do(cmd.BeginGating(ticket=A, epoch=1, commit=commit("head"))) == []
    assert swarm.attempt("a").sandbox == "none"


def test_an_attempt_is_prepared_once() -> None:
    swarm = Swarm("a")
    swarm.begin("a")
    again = cmd.PrepareAttempt(ticket=A, epoch=1, start=commit("other"))
    assert "prepared already" in swarm.refused(again).reason


def test_a_phase_that_writes_nothing_is_not_given_conflicts() -> None:
    swarm = Swarm("a", settings=settings(default_pipeline="contract-first"))
    swarm.phase("a")
    swarm.phase("a")
    swarm.claim()
    conflicted = cmd.PrepareAttempt(ticket=A, epoch=3, start=commit("x"), conflicts=("a.py",))
    assert "writes nothing" in swarm.refused(conflicted).reason


def test_an_attempt_may_fail_before_it_was_started() -> None:
    swarm = Swarm("a")
    swarm.claim()
    swarm.end("a", failure=FailureClass.SETUP_FAILED)
    assert swarm.attempt("a").status is AttemptStatus.FAILED


# ── interruptions: nobody's fault, but bounded ──


def test_a_first_loss_is_tried_again_at_once_and_the_next_ones_wait_longer_and_longer() -> None:
    bounds = Bounds(backoff_base_s=10, backoff_jitter=0)
    swarm = Swarm("a", settings=settings(bounds=bounds))
    waits = []
    for _ in range(4):
        assert swarm.claim() == "a"
        (lost,) = [event for event in swarm.lose("a") if isinstance(event, ev.AttemptLost)]
        waits.append((lost.retry_at_ms - swarm.now_ms) / 1000)
        swarm.later(waits[-1])
    assert waits == [0, 10, 20, 40]


@pytest.mark.parametrize("how", ["lost", "released", "setup_failed", "try_later", "worker_error", "cancelled"])
def test_interruptions_are_not_charged_but_put_the_ticket_on_hold_when_they_go_on(how: str) -> None:
    swarm = Swarm("a", settings=settings(bounds=NO_WAIT))
    for number in range(1, 5):
        assert swarm.ticket("a").status is TicketStatus.READY
        swarm.begin("a")
        if how == "lost":
            swarm.lose("a")
        elif how == "released":
            swarm.release_lease("a")
        else:
            swarm.end("a", failure=how)
        assert swarm.ticket("a").interruptions == number
    assert swarm.ticket("a").failures == 0
    assert swarm.ticket("a").status is TicketStatus.ON_HOLD
    assert "interrupted 4 times in phase implementation" in swarm.ticket("a").reason


def test_a_phase_that_succeeds_forgets_the_interruptions_before_it() -> None:
    swarm = Swarm("a", settings=settings(default_pipeline="contract-first", bounds=NO_WAIT))
    for _ in range(3):
        swarm.begin("a")
        swarm.lose("a")
    swarm.phase("a")
    assert (swarm.ticket("a").phase.name, swarm.ticket("a").interruptions) == ("implementation", 0)


def test_a_released_ticket_begins_to_count_interruptions_anew() -> None:
    swarm = Swarm("a", settings=settings(bounds=NO_WAIT))
    for _ in range(4):
        swarm.begin("a")
        swarm.lose("a")
    swarm.do(cmd.ReleaseTicket(ticket=A, by="ada"))
    assert (swarm.ticket("a").status, swarm.ticket("a").interruptions) == ("ready", 0)


# ── gates as leases ──


def test_a_gate_that_is_lost_or_given_back_is_leased_again_with_the_next_epoch() -> None:
    swarm = Swarm("a", base_gate=None, settings=settings(bounds=NO_WAIT))
    gate = swarm.claim(roles=VERIFIERS)
    assert gate == "@base-1"
    swarm.do(cmd.LoseLease(subject=gate, epoch=1, reason="silent"))
    assert swarm.claim(roles=VERIFIERS) == gate
    stale = swarm.refused(cmd.LoseLease(subject=gate, epoch=1, reason="silent"))
    assert stale.refusal is Kind.STALE
    swarm.do(cmd.ReleaseLease(subject=gate, epoch=2, reason="stop"))
    assert swarm.claim(roles=VERIFIERS) == gate
    swarm.finish_gate(gate)
    assert swarm.refused(cmd.LoseLease(subject=gate, epoch=3, reason="late")).refusal is Kind.STALE


def test_a_gate_that_was_given_back_needs_no_rest_but_one_that_was_lost_does() -> None:
    swarm = Swarm("a", base_gate=None)
    gate = swarm.claim(roles=VERIFIERS)
    assert gate is not None
    swarm.do(cmd.ReleaseLease(subject=gate, epoch=1, reason="stop"))
    assert swarm.claim(roles=VERIFIERS) == gate
    swarm.do(cmd.LoseLease(subject=gate, epoch=2, reason="silent"))
    assert swarm.claim(roles=VERIFIERS) is None
    swarm.later(60)
    assert swarm.claim(roles=VERIFIERS) == gate


def test_a_gate_that_can_never_be_run_suspends_the_session_instead_of_spinning() -> None:
    swarm = Swarm("a", base_gate=None, settings=settings(bounds=NO_WAIT))
    for _ in range(3):
        swarm.gate("unavailable")
        assert swarm.session.status == "draft"
    swarm.gate("unavailable")
    assert swarm.session.suspend_reason is SuspendReason.GATE_UNAVAILABLE
    assert "could not be run 4 times" in swarm.session.detail
    swarm.do(cmd.ResumeSession(by="ada"))
    swarm.gate()
    assert swarm.session.status == "active"


# ── what can be claimed, as a list ──


def test_work_lists_gates_and_then_tickets_best_first_with_what_they_require() -> None:
    swarm = Swarm(spec("b", priority=4), spec("a", requires=("gpu",)), "c")
    swarm.phases("c")
    swarm.merge()
    items = [(item.subject, item.role, item.requires) for item in leasing.work(swarm.session, swarm.now_ms)]
    assert items == [
        ("@landing-2", Role.VERIFIER, frozenset()),
        ("a", Role.IMPLEMENTER, frozenset({"gpu"})),
        ("b", Role.IMPLEMENTER, frozenset()),
    ]


def test_a_suspended_session_gives_no_lease_at_all_but_lets_what_runs_come_to_its_end() -> None:
    swarm = Swarm("a", "b", "c")
    swarm.phases("a")
    swarm.merge()
    swarm.begin("b")
    swarm.do(cmd.SuspendSession(reason=SuspendReason.PAUSED, by="ada"))
    assert swarm.claim() is None
    assert list(leasing.work(swarm.session, swarm.now_ms)) == []
    swarm.end("b")
    assert swarm.ticket("b").status is TicketStatus.LANDING
    swarm.do(cmd.ResumeSession(by="ada"))
    assert swarm.claims(roles=AGENTS | VERIFIERS) == ["@landing-2", "c"]


# ── found later ──


def test_files_of_a_dead_attempt_are_kept_as_its_snapshot_and_shown_to_the_next_one() -> None:
    swarm = Swarm("a")
    swarm.begin("a")
    alive = cmd.RecordSalvage(ticket=A, epoch=1, commit=commit("found"), files=3)
    assert "alive" in swarm.refused(alive).reason
    swarm.lose("a")
    assert [event.kind for event in swarm.do(alive)] == ["WorkSalvaged"]
    assert swarm.do(alive) == [], "found twice is no error"
    assert (swarm.attempt("a").snapshot, swarm.ticket("a").reference) == (commit("found"), commit("found"))


def test_files_are_still_kept_when_the_session_is_over() -> None:
    swarm = Swarm("a")
    swarm.begin("a")
    swarm.do(cmd.CancelSession(by="ada"))
    found = cmd.RecordSalvage(ticket=A, epoch=1, commit=commit("found"), files=3)
    assert [event.kind for event in swarm.do(found)] == ["WorkSalvaged"]


# ── hosts ──


def test_a_denied_host_is_told_once_for_each_attempt_and_only_so_many_are() -> None:
    swarm = Swarm("a")
    swarm.begin("a")
    epoch = swarm.session.tickets[A].epoch

    def denied(host: str) -> list[str]:
        report = cmd.ReportDenied(ticket=A, epoch=epoch, host=host, why="it is not listed", hint="list it")
        return [event.kind for event in swarm.do(report)]

    assert denied("evil.example:443") == ["HostDenied"]
    assert denied("evil.example:443") == [], "a report that comes twice is no second fact"
    told = [denied(f"h{number}.example:443") for number in range(leasing.MOST_DENIED + 5)]
    assert told.count(["HostDenied"]) == leasing.MOST_DENIED - 1
    event = swarm.of_kind(ev.HostDenied)[0]
    assert (event.host, event.reason, event.next_step) == ("evil.example:443", "it is not listed", "list it")
