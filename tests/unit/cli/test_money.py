"""What is said of money: unknown is never nothing, and what a subscription pays is about."""

from __future__ import annotations

from typing import Any

import pytest

from codeswarm.cli.roles import role_budgets
from codeswarm.cli.status import _cost
from codeswarm.cli.words import agent_vital
from codeswarm.errors import UsageError
from codeswarm.ledger.views import _per_landed
from codeswarm.plain import money


def told(agents: tuple[float | None, ...] = (), **session: Any) -> str:
    row = {"cost_usd": 0.0, "subscription_usd": 0.0, "cost_unknown": 0, "landed": 0, **session}
    found = {"cost_per_landed_usd": _per_landed(row), "agents": [{"usd": usd} for usd in agents]}
    return _cost(row, found)


@pytest.mark.parametrize(
    ("session", "words"),
    [
        ({"cost_unknown": 2}, "cost unknown"),
        ({}, "cost $0.00"),
        ({"cost_usd": 1.2, "landed": 3}, "cost $1.20, $0.40 per landed ticket"),
        (
            {"cost_usd": 1.2, "landed": 3, "cost_unknown": 1},
            "cost $1.20, per landed ticket unknown, 1 attempt unknown",
        ),
        ({"subscription_usd": 3.0, "landed": 2}, "cost ≈ $3.00 by subscription, ≈ $1.50 per landed ticket"),
        (
            {"cost_usd": 1.0, "subscription_usd": 3.0, "landed": 2},
            "cost $1.00 and ≈ $3.00 by subscription, ≈ $2.00 per landed ticket",
        ),
        ({"cost_usd": 1.0, "subscription_usd": None}, "cost $1.00"),
    ],
)
def test_what_a_session_cost_and_each_of_its_landed_tickets(session: dict[str, Any], words: str) -> None:
    assert told(**session) == words


def test_what_those_who_are_at_work_have_used_is_told_beside_it() -> None:
    assert told((0.25, None, 0.5), cost_usd=1.0) == "cost $1.00, and $0.75 so far by 3 agents at work"
    assert told((None,)) == "cost $0.00"


@pytest.mark.parametrize(
    ("used", "words"), [({"usd": 0.5, "tokens": 9}, ", $0.50"), ({"tokens": 12_000}, ", 12,000 tokens"), ({}, "")]
)
def test_what_an_agent_has_used_stands_beside_what_it_is_at(used: dict[str, Any], words: str) -> None:
    agent = {
        "vital": {"state": "thinking", "for_s": 5.0, "doing": "", "until_ms": None},
        "heard_s": 1.0,
        "silent": False,
        **used,
    }
    assert agent_vital(agent, 0).endswith(words)


def test_money_is_about_where_a_subscription_pays() -> None:
    assert [money(1.2), money(0.0, 3.4), money(1, 2)] == [
        "$1.20",
        "≈ $3.40 by subscription",
        "$1.00 and ≈ $2.00 by subscription",
    ]


def test_new_caps_of_roles_are_read_together() -> None:
    found = role_budgets(["reviewer=5", "planner=0.5"], ["reviewer=1000"])
    assert found == {"reviewer": {"usd": 5.0, "tokens": 1000}, "planner": {"usd": 0.5}}


@pytest.mark.parametrize(
    ("usd", "tokens"),
    [
        (["reviewr=5"], []),
        (["reviewer=much"], []),
        ([], ["planner=1.5"]),
        (["planner=-1"], []),
        (["planner=nan"], []),
        ([], ["planner=0"]),
    ],
)
def test_what_is_no_role_or_no_cap_is_refused_with_a_way_out(usd: list[str], tokens: list[str]) -> None:
    with pytest.raises(UsageError) as refused:
        role_budgets(usd, tokens)
    assert refused.value.hint.startswith(("--role-usd", "--role-tokens"))
