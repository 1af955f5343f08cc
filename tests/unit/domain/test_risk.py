from __future__ import annotations

from codeswarm.domain import events as ev
from codeswarm.domain.risk import MOST, Risk
from codeswarm.domain.settings import BudgetSettings, Gates, Policy
from tests.support.sessions import FAST, Swarm, settings, spec


def asked(swarm: Swarm) -> ev.ApprovalRequested:
    return swarm.of_kind(ev.ApprovalRequested)[-1]


def test_a_small_reviewed_change_with_a_contract_is_nothing_to_worry_about() -> None:
    swarm = Swarm("a", settings=settings(default_pipeline="contract-first", policy=Policy(approve_landing=True)))
    swarm.phases("a")
    assert (asked(swarm).risk, asked(swarm).reasons) == (0, ())


def test_what_was_hard_on_the_way_and_what_is_touched_is_told_the_heaviest_first() -> None:
    policy = Policy(approve_landing=True, sensitive=(".github/**",))
    swarm = Swarm("a", spec("b", "a"), settings=settings(policy=policy))
    swarm.phase("a", gates="red")
    swarm.phases("a", files=(".github/ci.yml",))
    request = asked(swarm)
    assert request.reasons == (
        "touches sensitive files: .github/ci.yml",
        "no contract was written before it was built",
        "nobody has reviewed it",
        "1 attempt at it failed",
        "1 ticket behind it",
    )
    assert request.risk == 40 + 15 + 10 + 5 + 2


def test_a_landing_without_any_gate_says_who_wanted_it_so() -> None:
    swarm = Swarm("a", settings=settings(gates=Gates(fast=FAST, waived_by="ada"), policy=Policy(approve_landing=True)))
    swarm.phases("a")
    assert "no gate runs: ada said so" in asked(swarm).reasons


def test_a_plan_is_looked_at_before_it_is_built() -> None:
    policy = Policy(approve_plan=True, sensitive=("**/migrations/**",))
    tickets = [spec("a", files=("db/migrations/1.sql",)), spec("b", acceptance=("done",))]
    swarm = Swarm(*tickets, settings=settings(policy=policy))
    assert asked(swarm).reasons == (
        "will touch sensitive files: db/migrations/1.sql",
        "no acceptance criteria, so nobody can tell when they are done: a",
        "no budget is set",
    )
    calm = Swarm(spec("b", acceptance=("done",)), settings=settings(policy=policy, budget=BudgetSettings(usd=9.0)))
    assert (asked(calm).risk, asked(calm).reasons) == (0, ())


def test_a_score_never_exceeds_its_scale() -> None:
    assert Risk.of([(80, "one"), (70, "two"), (0, "none")]) == Risk(MOST, ("one", "two"))
