"""What a person may do to one ticket, in each state it can be in."""

from __future__ import annotations

import pytest

from codeswarm.domain import commands as cmd
from codeswarm.domain.ids import TicketId
from codeswarm.domain.rejection import Refusal as Kind
from codeswarm.domain.results import Usage
from codeswarm.domain.settings import Bounds, BudgetSettings, Policy
from codeswarm.domain.states import TicketStatus
from tests.support.sessions import Swarm, settings, spec

A = TicketId("a")
HOLD = cmd.HoldTicket(ticket=A, by="ada", reason="not now")
RELEASE = cmd.ReleaseTicket(ticket=A, by="ada")
RETRY = cmd.RetryTicket(ticket=A, by="ada")
CANCEL = cmd.CancelTicket(ticket=A, by="ada", reason="never")

STATES = ("ready", "pending", "in_progress", "waiting", "landing", "complete", "failed", "on_hold", "cancelled")


def in_state(state: str) -> Swarm:
    """A swarm whose ticket `a` is in a state; `z` keeps the session going."""
    policy = Policy(approve_landing=state == "waiting")
    a = spec("a", "y") if state == "pending" else spec("a")
    tickets = [a, spec("y"), spec("z")] if state == "pending" else [a, spec("z")]
    swarm = Swarm(*tickets, settings=settings(policy=policy, bounds=Bounds(max_attempts=1)))
    if state == "in_progress":
        swarm.begin("a")
    elif state in ("waiting", "landing"):
        swarm.phases("a")
    elif state == "complete":
        swarm.landed("a")
    elif state == "failed":
        swarm.phase("a", gates="red")
    elif state == "on_hold":
        swarm.do(HOLD)
    elif state == "cancelled":
        swarm.do(CANCEL)
    assert swarm.ticket("a").shown_status == state
    return swarm


ALLOWED = {
    "hold": {"ready", "pending", "in_progress", "waiting", "landing"},
    "release": {"on_hold"},
    "retry": {"failed"},
    "cancel": set(STATES) - {"complete", "cancelled"},
}
COMMANDS = {"hold": HOLD, "release": RELEASE, "retry": RETRY, "cancel": CANCEL}


@pytest.mark.parametrize("state", STATES)
@pytest.mark.parametrize("verb", list(COMMANDS))
def test_each_verb_is_taken_where_it_makes_sense_and_refused_with_the_state_elsewhere(verb: str, state: str) -> None:
    swarm = in_state(state)
    if state in ALLOWED[verb]:
        swarm.do(COMMANDS[verb])
    else:
        rejection = swarm.refused(COMMANDS[verb])
        assert rejection.refusal is Kind.WRONG_STATE
        assert rejection.reason


@pytest.mark.parametrize("command", list(COMMANDS.values()))
def test_a_ticket_that_is_not_there_is_unknown(command: cmd.Command) -> None:
    swarm = Swarm("b")
    assert swarm.refused(command).refusal is Kind.UNKNOWN


def test_a_refusal_names_the_verb_that_would_help() -> None:
    assert "retry" in in_state("failed").refused(RELEASE).hint
    assert "release" in in_state("on_hold").refused(RETRY).hint
    assert "retry" in in_state("failed").refused(HOLD).hint


@pytest.mark.parametrize("verb", ["hold", "cancel"])
def test_work_under_way_is_ended_and_not_charged(verb: str) -> None:
    swarm = in_state("in_progress")
    snapshot = swarm.snapshot("a")
    swarm.do(COMMANDS[verb])
    assert (swarm.attempt("a").status, swarm.ticket("a").live_epoch) == ("cancelled", None)
    assert (swarm.ticket("a").failures, swarm.ticket("a").reference) == (0, snapshot)


def test_a_held_ticket_is_not_leased_until_it_is_released() -> None:
    swarm = in_state("on_hold")
    assert swarm.claims() == ["z"]
    assert swarm.ticket("a").reason == "not now"
    swarm.do(RELEASE)
    assert (swarm.claim(), swarm.ticket("a").reason) == ("a", "")


def test_a_held_ticket_goes_back_to_the_phase_it_was_in() -> None:
    swarm = Swarm("a", settings=settings(default_pipeline="contract-first"))
    swarm.phase("a")
    swarm.hold("a")
    swarm.release("a")
    assert swarm.ticket("a").phase.name == "implementation"


def test_a_held_ticket_whose_blocker_lands_is_ready_once_released() -> None:
    swarm = Swarm("a", spec("b", "a"))
    swarm.hold("b")
    swarm.landed("a")
    assert swarm.statuses()["b"] == "on_hold"
    swarm.release("b")
    assert swarm.claim() == "b"


def test_a_retried_ticket_begins_a_generation_with_clean_counts_and_keeps_its_work() -> None:
    bounds = Bounds(max_attempts=2)
    swarm = Swarm("a", settings=settings(default_pipeline="contract-first", bounds=bounds))
    swarm.phase("a")
    for _ in range(2):
        swarm.phase("a", gates="red")
    work = swarm.ticket("a").work
    swarm.do(RETRY)
    ticket = swarm.ticket("a")
    assert (ticket.status, ticket.generation, ticket.failures, ticket.reason) == ("ready", 2, 0, "")
    assert (ticket.phase.name, ticket.work) == ("implementation", work)
    swarm.begin("a")
    assert (swarm.attempt("a").epoch, swarm.attempt("a").number) == (4, 3), "epochs and attempts count on"


def test_a_ticket_that_bounced_too_often_is_retried_at_its_implementation() -> None:
    swarm = Swarm("a", settings=settings(bounds=Bounds(max_bounces=1)))
    swarm.phases("a")
    swarm.merge(conflicts=("x",))
    assert swarm.ticket("a").status is TicketStatus.FAILED
    swarm.do(RETRY)
    assert (swarm.ticket("a").phase.name, swarm.ticket("a").bounces) == ("implementation", 0)


def test_tickets_behind_a_cancelled_one_stay_pending_and_the_session_comes_to_rest() -> None:
    swarm = Swarm("a", spec("b", "a"))
    swarm.do(CANCEL)
    assert swarm.statuses() == {"a": "cancelled", "b": "pending"}
    assert swarm.session.review_reason == "nothing_landed"


def test_a_ticket_that_waits_for_money_may_be_released_by_a_person() -> None:
    swarm = Swarm("a", "b", settings=settings(budget=BudgetSettings(per_ticket_usd=1.0)))
    swarm.begin("a")
    swarm.end("a", gates="red", usage=Usage(cost_usd=0.9))
    swarm.claims()
    assert swarm.ticket("a").waiting == "budget"
    swarm.do(RELEASE)
    assert swarm.ticket("a").status is TicketStatus.READY


def test_a_ticket_that_waits_for_an_answer_is_not_released_past_it() -> None:
    swarm = in_state("waiting")
    assert swarm.refused(RELEASE).refusal is Kind.WRONG_STATE
