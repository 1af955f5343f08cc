"""Which of a role's agents does an attempt: first choice first, past those that can't, up after a red gate."""

from __future__ import annotations

from typing import Any

import pytest

from codeswarm.domain import commands as cmd, events as ev
from codeswarm.domain.ids import TicketId
from codeswarm.domain.results import Failure, FailureClass as F
from codeswarm.domain.settings import Bounds, Gates, Policy
from codeswarm.domain.states import TicketStatus
from tests.support.sessions import CONTRACT, FAST, Swarm, settings

SMALL, OTHER, LARGE = CHOICES = ("claude:small", "codex:other", "claude:large")
NO_WAIT = Bounds(backoff_base_s=0, backoff_jitter=0, max_bursts=2, burst_window_s=100)
A = TicketId("a")


def cascade(*tickets: str, **fields: Any) -> Swarm:
    return Swarm(*(tickets or ("a",)), settings=settings(**{"roles": {"*": CHOICES}, "bounds": NO_WAIT, **fields}))


def agents(swarm: Swarm) -> list[str]:
    return [event.agent for event in swarm.of_kind(ev.AttemptLeased)]


# ── the first that can ──


@pytest.mark.parametrize("failure", [F.QUOTA, F.UNKNOWN_MODEL])
def test_the_next_choice_goes_on_at_once_and_uncharged(failure: F) -> None:
    swarm = cascade()
    swarm.phase("a", failure=failure)
    swarm.phase("a")
    assert agents(swarm) == [SMALL, OTHER]
    assert swarm.of_kind(ev.AttemptFailed)[0].charged is False
    assert swarm.ticket("a").failures == 0


@pytest.mark.parametrize("failure", [F.AUTH, F.MISSING])
def test_a_refused_login_and_a_missing_cli_are_so_for_all_of_its_models(failure: F) -> None:
    swarm = cascade(roles={"*": (SMALL, LARGE, OTHER)})
    swarm.phase("a", failure=failure)
    swarm.begin("a")
    assert agents(swarm) == [SMALL, OTHER]
    assert swarm.of_kind(ev.AgentParked)[0].agent == "claude:*"


def test_of_programs_one_says_nothing_of_another() -> None:
    swarm = cascade(roles={"*": ("acp:one", "acp:two")})
    swarm.phase("a", failure=F.AUTH)
    swarm.begin("a")
    assert agents(swarm) == ["acp:one", "acp:two"]


def test_each_role_has_its_own_choices() -> None:
    roles = {"implementer": (SMALL, OTHER), "*": (OTHER, LARGE)}
    swarm = cascade(roles=roles, default_pipeline="contract-first", gates=Gates(fast=FAST, contract=CONTRACT))
    swarm.phase("a")
    swarm.phase("a", failure=F.QUOTA)
    swarm.phase("a")
    swarm.phase("a")
    assert agents(swarm) == [OTHER, SMALL, OTHER, OTHER]


def test_a_worker_that_lacks_a_choice_goes_on_with_the_next_and_one_that_lacks_all_gets_nothing() -> None:
    swarm = cascade()
    assert swarm.claim(agents={"codex"}) == "a"
    assert swarm.attempt("a").agent == OTHER
    swarm.lose("a")
    assert swarm.claim(agents={"gemini"}) is None
    assert swarm.ticket("a").status is TicketStatus.READY, "it waits for a worker, not for an agent"


def test_what_is_parked_for_one_account_is_there_for_another() -> None:
    swarm = cascade(roles={"*": (SMALL,)})
    mine, theirs = {"claude": "mine"}, {"claude": "theirs"}
    swarm.begin("a", accounts=mine)
    swarm.end("a", failure=F.QUOTA)
    assert swarm.claim(accounts=mine) is None
    assert swarm.statuses() == {"a": "waiting"}
    assert swarm.claim("w2", accounts=theirs) is None, "first it is told that the ticket can go on"
    assert swarm.claim("w2", accounts=theirs) == "a"
    assert (swarm.attempt("a").agent, swarm.attempt("a").account) == (SMALL, "theirs")


# ── too much at once ──


def burst(swarm: Swarm, id_: str = "a") -> None:
    swarm.phase(id_, failure=F.RATE_LIMITED)


def test_bursts_back_off_and_after_some_the_next_attempt_alone_goes_to_another_choice() -> None:
    swarm = cascade()
    burst(swarm)
    burst(swarm)
    passed = swarm.of_kind(ev.AgentPassedOver)
    assert [(event.ticket, event.agent, event.bursts) for event in passed] == [("a", SMALL, 2)]
    swarm.phase("a", failure=F.CRASHED)
    swarm.begin("a")
    assert agents(swarm) == [SMALL, SMALL, OTHER, SMALL]
    assert not swarm.session.parked


def test_bursts_long_ago_count_for_nothing() -> None:
    swarm = cascade()
    burst(swarm)
    swarm.later(101)
    burst(swarm)
    assert not swarm.of_kind(ev.AgentPassedOver)
    burst(swarm)
    assert swarm.of_kind(ev.AgentPassedOver)


def test_bursts_of_one_ticket_are_not_anothers() -> None:
    swarm = cascade("a", "b")
    swarm.claims()
    for id_ in ("a", "b"):
        swarm.end(id_, failure=F.OVERLOADED)
    assert not swarm.of_kind(ev.AgentPassedOver)


def test_where_there_is_no_other_choice_bursts_only_back_off_and_are_bounded() -> None:
    bounds = Bounds(backoff_base_s=8, backoff_jitter=0, max_bursts=1, max_interruptions=4)
    swarm = cascade(roles={"*": (SMALL,)}, bounds=bounds)
    for wait_s in (8, 16, 32):
        burst(swarm)
        swarm.later(wait_s - 1)
        assert swarm.claim() is None
        swarm.later(1)
    burst(swarm)
    assert swarm.ticket("a").status is TicketStatus.ON_HOLD
    assert not swarm.of_kind(ev.AgentPassedOver)


def test_a_burst_that_is_to_last_longer_than_any_backoff_is_a_quota_by_another_name() -> None:
    swarm = cascade()
    swarm.begin("a")
    back_ms = swarm.now_ms + 3_600_000
    swarm.end("a", failure=Failure(failure_class=F.RATE_LIMITED, message="come back", retry_at_ms=back_ms))
    (parked,) = swarm.of_kind(ev.AgentParked)
    assert (parked.agent, parked.why, parked.until_ms) == (SMALL, F.RATE_LIMITED, back_ms)
    swarm.begin("a")
    assert agents(swarm) == [SMALL, OTHER]


# ── escalation ──

UP = Policy(escalate=("implementer",))


def test_a_red_gate_hands_the_next_attempt_to_the_next_choice_as_often_as_there_is_one() -> None:
    swarm = cascade(policy=UP, bounds=Bounds(max_attempts=4))
    for _ in range(4):
        swarm.phase("a", gates="red")
    assert agents(swarm) == [SMALL, OTHER, LARGE, LARGE]
    told = [(event.instead_of, event.agent, event.rung) for event in swarm.of_kind(ev.TicketEscalated)]
    assert told == [(SMALL, OTHER, 1), (OTHER, LARGE, 2)]
    assert swarm.ticket("a").status is TicketStatus.FAILED


@pytest.mark.parametrize("policy", [Policy(), Policy(escalate=("reviewer",))])
def test_without_such_a_policy_for_the_role_a_red_gate_escalates_nothing(policy: Policy) -> None:
    swarm = cascade(policy=policy)
    swarm.phase("a", gates="red")
    swarm.begin("a")
    assert agents(swarm) == [SMALL, SMALL]


def test_the_last_red_gate_of_a_ticket_escalates_nothing_any_more() -> None:
    swarm = cascade(policy=Policy(escalate=("*",)), bounds=Bounds(max_attempts=1))
    swarm.phase("a", gates="red")
    assert swarm.ticket("a").status is TicketStatus.FAILED
    assert not swarm.of_kind(ev.TicketEscalated)


def test_other_failures_do_not_escalate() -> None:
    swarm = cascade(policy=UP)
    swarm.phase("a", failure=F.CRASHED)
    swarm.begin("a")
    assert agents(swarm) == [SMALL, SMALL]


def test_an_escalated_ticket_stays_where_it_is_when_it_comes_back_until_a_person_retries_it() -> None:
    swarm = cascade(policy=UP, bounds=Bounds(max_attempts=2))
    swarm.phase("a", gates="red")
    swarm.phase("a")
    swarm.merge(conflicts=("a.py",))
    swarm.phase("a", gates="red")
    assert agents(swarm) == [SMALL, OTHER, OTHER]
    swarm.phase("a", gates="red")
    assert swarm.ticket("a").status is TicketStatus.FAILED
    swarm.do(cmd.RetryTicket(ticket=A, by="ada"))
    swarm.begin("a")
    assert agents(swarm)[-2:] == [LARGE, SMALL]


def test_where_the_stronger_choice_is_parked_a_weaker_one_goes_on() -> None:
    swarm = cascade("a", policy=UP, roles={"*": (SMALL, LARGE)}, bounds=Bounds(max_attempts=9))
    swarm.phase("a", gates="red")
    swarm.phase("a", failure=F.QUOTA)
    swarm.phase("a", gates="red")
    assert agents(swarm) == [SMALL, LARGE, SMALL]
    assert len(swarm.of_kind(ev.TicketEscalated)) == 1, "it is up already"
    swarm.later(10_000)
    swarm.begin("a")
    assert agents(swarm)[-1] == LARGE


def test_workers_of_two_accounts_do_not_send_a_ticket_to_and_fro() -> None:
    swarm = cascade(roles={"*": (SMALL,)})
    mine, theirs = {"claude": "mine"}, {"claude": "theirs"}
    swarm.begin("a", accounts=mine)
    swarm.end("a", failure=F.QUOTA)
    assert swarm.claim(accounts=mine) is None
    assert swarm.claim("w2", accounts=theirs) is None
    before = len(swarm.events)
    for _ in range(3):
        assert swarm.claim(accounts=mine) is None
    assert len(swarm.events) == before, "the other worker's account is known now"
    assert swarm.claim("w2", accounts=theirs) == "a"
