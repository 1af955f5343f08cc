"""What live attempts use: caps of sessions, roles and tickets, and who is told to hand back."""

from typing import Any

import pytest

from codeswarm.domain import commands as cmd, events as ev
from codeswarm.domain.ids import TicketId
from codeswarm.domain.pipeline import Role
from codeswarm.domain.results import FailureClass, Usage, UsageWindow
from codeswarm.domain.settings import BudgetSettings, Caps
from codeswarm.domain.states import SuspendReason, TicketStatus
from tests.support.sessions import AGENTS, Swarm, of_kind, settings


def swarm_with(*tickets: str, **budget: Any) -> Swarm:
    return Swarm(*tickets, settings=settings(budget=BudgetSettings(**budget)))


def told(swarm: Swarm, **usd: float) -> tuple[cmd.Told, ...]:
    """Cumulative figures by ticket."""
    return tuple(
        cmd.Told(ticket=TicketId(id_), epoch=swarm.ticket(id_).epoch, usage=Usage(cost_usd=each, input_tokens=10))
        for id_, each in usd.items()
    )


def meter(swarm: Swarm, **usd: float) -> list[str]:
    """The tickets whose agents are told to hand back."""
    breaches = of_kind(swarm.do(cmd.MeterUsage(told=told(swarm, **usd))), ev.BudgetBreached)
    return [event.ticket for event in breaches]


def hand_back(swarm: Swarm, id_: str, usd: float) -> list[ev.Event]:
    return swarm.end(id_, failure=FailureClass.OVER_BUDGET, usage=Usage(cost_usd=usd))


# ── who is told ──


def test_what_was_set_aside_for_an_attempt_is_its_own_though_others_have_used_up_the_rest() -> None:
    swarm = swarm_with("a", "b", usd=2.0)
    swarm.begin("a")
    swarm.begin("b")
    assert meter(swarm, a=1.4, b=0.5) == []
    assert meter(swarm, a=1.5, b=0.5) == ["a"]
    assert swarm.attempt("b").breach is None


def test_several_that_use_up_a_cap_together_are_each_told_once() -> None:
    swarm = swarm_with("a", "b", "c", usd=3.0)
    for id_ in "abc":
        swarm.begin(id_)
    assert meter(swarm, a=1.3, b=1.2, c=0.4) == ["a", "b"]
    assert meter(swarm, a=1.3, b=1.3, c=0.5) == []
    assert meter(swarm, a=1.3, b=1.3, c=0.6) == ["c"]
    assert meter(swarm, a=1.4, b=1.4, c=0.7) == []


def test_without_caps_nobody_is_ever_told() -> None:
    swarm = swarm_with("a")
    swarm.begin("a")
    assert meter(swarm, a=1e6) == []


def test_the_cap_of_a_ticket_tells_only_who_works_on_it() -> None:
    swarm = swarm_with("a", "b", per_ticket_usd=1.0)
    swarm.begin("a")
    swarm.begin("b")
    assert meter(swarm, a=0.99, b=0.99) == []
    assert meter(swarm, a=0.99, b=1.01) == ["b"]
    assert swarm.attempt("b").breach is not None
    assert swarm.attempt("b").breach.cap == "ticket"
    assert "1.01 of 1.00 USD of the ticket" in swarm.attempt("b").breach.detail


def test_tokens_have_caps_of_their_own() -> None:
    swarm = swarm_with("a", per_ticket_tokens=200_000)
    swarm.begin("a")
    key = {"ticket": TicketId("a"), "epoch": 1}
    for tokens, breached in ((199_999, 0), (200_000, 1)):
        usage = Usage(input_tokens=tokens - 1, output_tokens=1)
        events = swarm.do(cmd.MeterUsage(told=(cmd.Told(**key, usage=usage),)))
        assert len(of_kind(events, ev.BudgetBreached)) == breached


def test_a_cost_that_nobody_knows_breaches_nothing_and_stays_what_was_set_aside() -> None:
    swarm = swarm_with("a", "b", usd=1.0)
    swarm.begin("a")
    swarm.begin("b")
    silent = cmd.Told(ticket=TicketId("b"), epoch=1, usage=Usage(input_tokens=10**9))
    assert swarm.do(cmd.MeterUsage(told=(*told(swarm, a=0.5), silent))) == []
    events = swarm.do(cmd.MeterUsage(told=(*told(swarm, a=0.51), silent)))
    assert [event.ticket for event in of_kind(events, ev.BudgetBreached)] == ["a"]


def test_figures_of_an_attempt_that_is_over_count_for_nothing() -> None:
    swarm = swarm_with("a", usd=1.0)
    swarm.begin("a")
    late = told(swarm, a=5.0)
    swarm.lose("a")
    assert swarm.do(cmd.MeterUsage(told=late)) == []


def test_of_a_conversation_that_goes_on_only_what_is_new_is_metered() -> None:
    swarm = swarm_with("a", per_ticket_usd=2.0)
    swarm.begin("a", conversation="c1")
    swarm.end("a", failure="quota", usage=Usage(cost_usd=1.2, input_tokens=5))
    swarm.later(1000)
    swarm.begin("a", conversation="c1", resumed=True)
    assert meter(swarm, a=1.9) == []
    assert meter(swarm, a=2.0) == ["a"]


def test_a_conversation_that_began_to_count_anew_is_metered_in_full() -> None:
    swarm = swarm_with("a", per_ticket_usd=2.0)
    swarm.begin("a", conversation="c1")
    swarm.end("a", failure="quota", usage=Usage(cost_usd=1.2))
    swarm.later(1000)
    swarm.begin("a", conversation="c1", resumed=True)
    assert meter(swarm, a=0.81) == ["a"]
    hand_back(swarm, "a", 0.9)
    assert swarm.session.spending.usd == pytest.approx(2.1)


def test_what_was_charged_before_it_began_to_count_anew_is_taken_off_nothing() -> None:
    swarm = swarm_with("a", usd=100.0)
    for resumed, figure in enumerate((10.0, 3.0, 12.0)):
        swarm.begin("a", conversation="c1", resumed=bool(resumed))
        swarm.end("a", failure="quota", usage=Usage(cost_usd=figure, input_tokens=int(figure)))
        swarm.later(100_000_000)
    assert [e.charged_usd for e in swarm.session.tickets[TicketId("a")].attempts.values()] == [10.0, 3.0, 9.0]
    assert [e.charged_tokens for e in swarm.session.tickets[TicketId("a")].attempts.values()] == [10, 3, 9]


# ── what follows ──


def test_a_ticket_that_reached_its_own_cap_waits_for_a_person_uncharged_and_with_its_work() -> None:
    swarm = swarm_with("a", "b", per_ticket_usd=1.0)
    swarm.begin("a", conversation="c1")
    assert meter(swarm, a=1.01) == ["a"]
    ended = hand_back(swarm, "a", 1.05)
    assert [event.kind for event in ended][-2:] == ["AttemptFailed", "TicketWaiting"]
    ticket = swarm.ticket("a")
    assert (ticket.status, ticket.waiting, ticket.failures) == (TicketStatus.WAITING, "budget", 0)
    assert ticket.work == swarm.attempt("a").head
    assert ticket.conversation_epoch == 1
    assert swarm.claim(roles=AGENTS) == "b"


def test_who_releases_a_ticket_that_waits_for_budget_gives_it_as_much_again() -> None:
    swarm = swarm_with("a", per_ticket_usd=1.0)
    swarm.begin("a")
    meter(swarm, a=1.01)
    hand_back(swarm, "a", 1.05)
    swarm.release("a")
    swarm.begin("a")
    assert meter(swarm, a=0.99) == []
    assert meter(swarm, a=1.0) == ["a"]


def test_at_the_cap_of_the_session_it_is_suspended_once_all_have_handed_back_and_goes_on_with_more() -> None:
    swarm = swarm_with("a", "b", usd=2.0)
    swarm.begin("a", conversation="c1")
    swarm.begin("b")
    assert meter(swarm, a=1.0, b=1.0) == ["a", "b"]
    hand_back(swarm, "a", 1.1)
    assert swarm.session.status == "active"
    hand_back(swarm, "b", 1.1)
    assert swarm.session.suspend_reason is SuspendReason.BUDGET
    assert {ticket.status for ticket in swarm.session.tickets.values()} == {TicketStatus.READY}
    swarm.do(cmd.ResumeSession(by="ada", budget_usd=4.0))
    assert swarm.claim(roles=AGENTS) in ("a", "b")


def test_success_that_comes_at_the_moment_of_the_breach_is_success() -> None:
    swarm = swarm_with("a", per_ticket_usd=1.0)
    swarm.begin("a")
    meter(swarm, a=1.5)
    swarm.end("a", usage=Usage(cost_usd=1.5))
    assert swarm.ticket("a").status is TicketStatus.LANDING


def test_a_claim_counts_what_others_use_beyond_what_they_had_set_aside() -> None:
    swarm = swarm_with("a", "b", usd=2.0)
    swarm.begin("a")
    beyond = cmd.Overdrawn(ticket=TicketId("a"), role=Role.IMPLEMENTER, usd=1.2)
    claim = cmd.Claim(worker="w1", roles=AGENTS, overdrawn=(beyond,))
    assert swarm.do(claim) == []
    assert swarm.claim(roles=AGENTS) == "b"


def test_a_lost_attempt_is_charged_what_it_had_told_at_least() -> None:
    swarm = swarm_with("a", usd=5.0)
    swarm.begin("a")
    swarm.do(cmd.LoseLease(subject="a", epoch=1, reason="fell silent", usage=Usage(cost_usd=1.5)))
    assert (swarm.session.spending.usd, swarm.session.spending.unknown) == (1.5, 1)


# ── roles ──


def roles_swarm(**budget: Any) -> Swarm:
    chosen = settings(default_pipeline="plan-code-verify", budget=BudgetSettings(**budget))
    return Swarm("a", "b", settings=chosen)


def test_a_role_without_money_rests_while_the_others_go_on() -> None:
    swarm = roles_swarm(roles={Role.PLANNER: Caps(usd=0.6)})
    swarm.begin("a")
    swarm.end("a", usage=Usage(cost_usd=0.4))
    assert swarm.claim(roles=frozenset({Role.PLANNER})) is None
    assert swarm.claim(roles=AGENTS) == "a", "its implementer has no cap"


def test_when_only_a_role_without_money_is_left_the_session_is_suspended_and_says_which() -> None:
    swarm = roles_swarm(roles={Role.PLANNER: Caps(usd=0.6)})
    swarm.begin("a")
    assert meter(swarm, a=0.7) == ["a"]
    assert swarm.attempt("a").breach is not None
    assert swarm.attempt("a").breach.cap == "role"
    hand_back(swarm, "a", 0.75)
    assert swarm.session.suspend_reason is SuspendReason.BUDGET
    assert "0.75 of 0.60 USD spent by the role planner" in swarm.session.detail


def test_a_role_goes_on_with_a_cap_that_was_raised() -> None:
    swarm = roles_swarm(roles={Role.PLANNER: Caps(usd=0.6, tokens=10**6)})
    swarm.begin("a")
    meter(swarm, a=0.7)
    hand_back(swarm, "a", 0.75)
    swarm.do(cmd.ResumeSession(by="ada", role_budgets={Role.PLANNER: Caps(usd=2.0)}))
    assert swarm.session.settings.budget.roles[Role.PLANNER] == Caps(usd=2.0, tokens=10**6)
    assert swarm.claim(roles=AGENTS) in ("a", "b")


# ── subscriptions ──


@pytest.mark.parametrize(("counted", "spent"), [(False, 0.0), (True, 1.5)])
def test_what_a_subscription_pays_counts_only_where_a_person_wants_it(counted: bool, spent: float) -> None:
    swarm = swarm_with("a", usd=1.0, count_subscription=counted)
    swarm.begin("a")
    usage = Usage(cost_usd=1.5, input_tokens=10, subscription=True)
    events = swarm.do(cmd.MeterUsage(told=(cmd.Told(ticket=TicketId("a"), epoch=1, usage=usage),)))
    assert bool(events) is counted
    swarm.end("a", usage=usage)
    spending = swarm.session.spending
    assert (spending.usd, spending.subscription_usd, spending.unknown) == (spent, 1.5 - spent, 0)


# ── a share of the quota for the person ──

HOUR_MS = 3_600_000


def windowed(swarm: Swarm, used: float, resets_ms: int | None) -> list[ev.Event]:
    window = UsageWindow(name="seven_day", used=used, resets_ms=resets_ms)
    return swarm.do(cmd.KeepQuota(ticket=TicketId("a"), epoch=1, windows=(window,)))


def test_beyond_the_share_that_is_left_to_the_person_the_agent_is_parked_until_the_window_begins_anew() -> None:
    swarm = Swarm("a", "b", settings=settings(roles={"*": ("claude:opus",)}, budget=BudgetSettings(quota_reserve=0.3)))
    swarm.begin("a")
    assert windowed(swarm, 0.7, swarm.now_ms + HOUR_MS) == []
    (parked,) = of_kind(windowed(swarm, 0.71, swarm.now_ms + HOUR_MS), ev.AgentParked)
    assert (parked.agent, parked.why, parked.until_ms) == ("claude:*", FailureClass.QUOTA, swarm.now_ms + HOUR_MS)
    assert parked.detail == "71% of seven day is used, and 30% is left to you (budget.quota_reserve)"
    assert windowed(swarm, 0.72, swarm.now_ms + HOUR_MS + 5) == [], "it is told once"
    assert swarm.claim(roles=AGENTS) is None
    swarm.end("a")
    assert swarm.ticket("a").status is TicketStatus.LANDING, "who is at work ends what it does"


@pytest.mark.parametrize(("reserve", "in_ms"), [(0.0, HOUR_MS), (0.3, -1), (0.3, None)])
def test_nobody_is_parked_without_a_reserve_or_for_a_window_that_is_over(reserve: float, in_ms: int | None) -> None:
    budget = BudgetSettings(quota_reserve=reserve)
    swarm = Swarm("a", settings=settings(roles={"*": ("claude:opus",)}, budget=budget))
    swarm.begin("a")
    assert windowed(swarm, 1.0, None if in_ms is None else swarm.now_ms + in_ms) == []
