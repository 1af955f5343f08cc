from __future__ import annotations

import pytest
from hypothesis import given, strategies as st

from codeswarm.domain import commands as cmd, events as ev
from codeswarm.domain.budget import Reservation, affordable, as_much_again
from codeswarm.domain.pipeline import Role
from codeswarm.domain.results import Usage
from codeswarm.domain.settings import BudgetSettings, Gates
from codeswarm.domain.states import SuspendReason, TicketStatus
from tests.support.sessions import AGENTS, FAST, FULL, Swarm, settings


def swarm_with(*tickets: str, **budget: float) -> Swarm:
    return Swarm(*tickets, settings=settings(budget=BudgetSettings(**budget)))


def many(count: int) -> list[str]:
    return [f"t{number}" for number in range(count)]


# ── set aside before work starts ──


@given(st.integers(1, 25), st.sampled_from((0.1, 0.3, 0.5, 0.7, 1.0)), st.sampled_from((0.3, 0.9, 1.0, 2.0, 3.0)))
def test_claims_at_once_never_reserve_more_than_the_budget_and_as_much_as_fits(
    count: int, reserve: float, usd: float
) -> None:
    swarm = swarm_with(*many(count), usd=usd, reserve_usd=reserve)
    claimed = swarm.claims(worker="w")
    assert len(claimed) == min(count, round(usd / reserve * 1000) // 1000)
    assert swarm.session.spending.reserved_usd <= usd + 1e-9


def test_tokens_are_set_aside_as_money_is() -> None:
    swarm = swarm_with(*many(5), tokens=350_000, reserve_tokens=100_000)
    assert len(swarm.claims()) == 3
    assert swarm.session.spending.reserved_tokens == 300_000


def test_without_a_budget_nothing_is_set_aside() -> None:
    swarm = swarm_with("a")
    swarm.claim()
    assert (swarm.attempt("a").reserved_usd, swarm.attempt("a").reserved_tokens) == (0.0, 0)


def test_what_was_set_aside_becomes_what_it_cost() -> None:
    swarm = swarm_with(*many(4), usd=1.0, reserve_usd=0.5)
    swarm.begin("t0")
    swarm.begin("t1")
    assert swarm.claim() is None
    swarm.end("t0", usage=Usage(cost_usd=0.1, input_tokens=10, output_tokens=5))
    spending = swarm.session.spending
    assert (round(spending.usd, 6), spending.tokens, spending.reserved_usd, spending.unknown) == (0.1, 15, 0.5, 0)
    assert swarm.claim() is None, "0.1 + 0.5 + 0.5 is more than 1.0"
    swarm.end("t1", usage=Usage(cost_usd=0.1))
    assert swarm.claim() == "t2"


@pytest.mark.parametrize("how", ["lost", "released", "unknown", "crashed"])
def test_a_cost_that_is_not_known_is_charged_as_reserved_and_never_taken_for_nothing(how: str) -> None:
    swarm = swarm_with("a", usd=5.0, tokens=1_000_000)
    swarm.begin("a")
    if how == "lost":
        swarm.lose("a")
    elif how == "released":
        swarm.release_lease("a")
    else:
        swarm.end("a", failure="crashed" if how == "crashed" else None)
    spending = swarm.session.spending
    assert (spending.usd, spending.tokens, spending.reserved_usd, spending.unknown) == (0.5, 100_000, 0.0, 1)


def test_tokens_alone_say_nothing_about_money() -> None:
    swarm = swarm_with("a", usd=5.0, tokens=1_000_000)
    swarm.begin("a")
    swarm.end("a", usage=Usage(input_tokens=7))
    assert (swarm.session.spending.usd, swarm.session.spending.tokens, swarm.session.spending.unknown) == (0.5, 7, 1)


# ── conversations that go on ──


def test_a_conversation_that_was_gone_on_with_is_charged_once() -> None:
    swarm = swarm_with("a", usd=50.0)
    swarm.begin("a", conversation="c1")
    swarm.end("a", failure="quota", usage=Usage(cost_usd=1.0, input_tokens=100))
    swarm.later(1000)
    swarm.begin("a", conversation="c1", resumed=True)
    swarm.end("a", failure="quota", usage=Usage(cost_usd=1.5, input_tokens=130))
    swarm.later(1000)
    swarm.begin("a", conversation="c1", resumed=True)
    swarm.end("a", usage=Usage(cost_usd=1.75, input_tokens=180))
    assert swarm.session.spending.usd == pytest.approx(1.75)
    assert swarm.session.spending.tokens == 180
    assert [round(swarm.attempt("a", epoch).charged_usd, 6) for epoch in (1, 2, 3)] == [1.0, 0.5, 0.25]


def test_what_a_lost_attempt_was_charged_as_reserved_is_taken_off_when_its_conversation_tells_the_whole() -> None:
    swarm = swarm_with("a", usd=50.0, tokens=10_000_000)
    swarm.begin("a", conversation="c1")
    swarm.lose("a")
    assert (swarm.session.spending.usd, swarm.session.spending.tokens) == (0.5, 100_000)
    swarm.begin("a", conversation="c1", resumed=True)
    swarm.end("a", usage=Usage(cost_usd=0.75, input_tokens=150_000))
    assert (swarm.session.spending.usd, swarm.session.spending.tokens) == (0.75, 150_000)


def test_an_attempt_never_earns_money_back() -> None:
    swarm = swarm_with("a", usd=50.0)
    swarm.begin("a", conversation="c1")
    swarm.lose("a")
    swarm.begin("a", conversation="c1", resumed=True)
    swarm.end("a", usage=Usage(cost_usd=0.25))
    assert swarm.session.spending.usd == 0.5


def test_another_conversation_is_charged_by_itself() -> None:
    swarm = swarm_with("a", usd=50.0)
    swarm.begin("a", conversation="c1")
    swarm.end("a", gates="red", usage=Usage(cost_usd=1.0))
    swarm.begin("a", conversation="c2")
    swarm.end("a", usage=Usage(cost_usd=1.0))
    assert swarm.session.spending.usd == 2.0


# ── when it is spent ──


def test_a_session_that_can_afford_nothing_more_is_suspended_and_says_why() -> None:
    swarm = swarm_with("a", "b", usd=1.0)
    swarm.begin("a")
    swarm.end("a", gates="red", usage=Usage(cost_usd=0.8))
    assert swarm.session.suspend_reason is SuspendReason.BUDGET
    assert "0.80 of 1.00 USD spent" in swarm.session.detail


def test_resumed_with_a_higher_cap_it_goes_on_and_without_one_it_is_suspended_again() -> None:
    swarm = swarm_with("a", usd=1.0)
    swarm.begin("a")
    swarm.end("a", gates="red", usage=Usage(cost_usd=0.8))
    swarm.do(cmd.ResumeSession(by="ada"))
    assert swarm.session.suspend_reason is SuspendReason.BUDGET
    swarm.do(cmd.ResumeSession(by="ada", budget_usd=2.0))
    assert swarm.claim() == "a"


def test_what_is_under_way_ends_before_the_session_is_suspended() -> None:
    swarm = swarm_with("a", "b", "c", usd=1.0)
    swarm.begin("a")
    swarm.begin("b")
    swarm.end("a", usage=Usage(cost_usd=0.9))
    assert swarm.claim() is None
    assert swarm.session.status == "active"
    swarm.end("b", usage=Usage(cost_usd=0.9))
    swarm.merge()
    swarm.gate()
    swarm.land()
    swarm.merge()
    swarm.gate()
    swarm.land()
    assert swarm.session.suspend_reason is SuspendReason.BUDGET


def test_a_ticket_that_has_used_up_its_own_cap_waits_and_the_others_go_on() -> None:
    swarm = swarm_with("a", "b", per_ticket_usd=1.0)
    swarm.begin("a")
    swarm.end("a", gates="red", usage=Usage(cost_usd=0.7))
    assert swarm.claim() == "b"
    assert swarm.claim() is None
    assert (swarm.ticket("a").status, swarm.ticket("a").waiting) == (TicketStatus.WAITING, "budget")
    assert "0.70 USD spent" in swarm.ticket("a").waiting_detail


def test_a_claim_passes_over_tickets_without_money_of_their_own_and_leases_the_next() -> None:
    swarm = swarm_with("a", "b", per_ticket_usd=1.0)
    swarm.begin("a")
    swarm.end("a", gates="red", usage=Usage(cost_usd=0.7))
    events = swarm.do(cmd.Claim(worker="w1", roles=AGENTS))
    assert [event.kind for event in events] == ["TicketWaiting", "AttemptLeased"]
    assert swarm.session.in_progress == {"b": "implementer"}


def test_a_verifier_starts_no_agent_and_is_never_out_of_money() -> None:
    gates = Gates(fast=FAST, full=FULL)
    budget = BudgetSettings(usd=2.0, per_ticket_usd=1.5)
    swarm = Swarm("a", settings=settings(default_pipeline="plan-code-verify", gates=gates, budget=budget))
    swarm.begin("a")
    swarm.end("a", usage=Usage(cost_usd=0.1))
    swarm.begin("a")
    swarm.end("a", usage=Usage(cost_usd=5.0))
    assert swarm.session.status == "active", "the verification can still be run"
    swarm.phase("a")
    assert swarm.ticket("a").status is TicketStatus.LANDING
    assert swarm.attempt("a").reserved_usd == 0.0


def test_a_worker_of_every_role_is_given_the_verification_that_costs_nothing_where_agents_cost_too_much() -> None:
    gates = Gates(fast=FAST, full=FULL)
    swarm = Swarm(
        "a",
        "b",
        settings=settings(default_pipeline="plan-code-verify", gates=gates, budget=BudgetSettings(usd=1.1)),
    )
    swarm.hold("b")
    swarm.begin("a")
    swarm.end("a", usage=Usage(cost_usd=0.2))
    swarm.begin("a")
    swarm.release("b")
    swarm.end("a", usage=Usage(cost_usd=0.8))
    assert swarm.claim("fresh") == "a"


def test_a_cap_that_is_used_up_starts_nothing_even_where_nothing_is_set_aside() -> None:
    swarm = swarm_with("a", "b", usd=1.0, reserve_usd=0)
    swarm.begin("a")
    swarm.end("a", gates="red", usage=Usage(cost_usd=1.0))
    assert swarm.claim() is None
    assert swarm.session.suspend_reason is SuspendReason.BUDGET


def test_what_it_cost_is_an_event_like_everything_else() -> None:
    swarm = swarm_with("a", usd=1.0)
    swarm.begin("a")
    swarm.end("a", usage=Usage(cost_usd=0.25))
    (leased,) = swarm.of_kind(ev.AttemptLeased)
    (succeeded,) = swarm.of_kind(ev.AttemptSucceeded)
    assert (leased.reserved_usd, succeeded.report.usage.cost_usd) == (0.5, 0.25)


@given(st.floats(0, 5), st.integers(0, 2000), st.sampled_from((0.1, 0.5, 1.0)), st.sampled_from((0.3, 0.9, 2.0)))
def test_as_much_again_is_enough_to_go_on_with(spent_usd: float, spent_tokens: int, reserve: float, usd: float) -> None:
    swarm = swarm_with("a", usd=usd, reserve_usd=reserve, tokens=700, reserve_tokens=100)
    swarm.session.spending.usd, swarm.session.spending.tokens = spent_usd, spent_tokens
    more_usd, more_tokens = as_much_again(swarm.session)
    assert affordable(swarm.session, Reservation(reserve, 100, Role.IMPLEMENTER)) == (
        more_usd is None and more_tokens is None
    )
    caps = {"usd": more_usd or usd, "tokens": more_tokens or 700}
    budget = swarm.session.settings.budget.model_copy(update=caps)
    swarm.session.settings = swarm.session.settings.model_copy(update={"budget": budget})
    assert affordable(swarm.session, Reservation(reserve, 100, Role.IMPLEMENTER))
    assert as_much_again(swarm.session) == (None, None)
