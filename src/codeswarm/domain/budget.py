"""Money and tokens are set aside before work starts, so that agents that run at once can't overspend together."""

from __future__ import annotations

import math
from dataclasses import dataclass

from codeswarm.domain.pipeline import Role
from codeswarm.domain.session import Session, Ticket

ROUNDING_USD = 1e-9
"""Sums of decimal fractions are off by less than this; a cap of 0.3 holds three times 0.1."""


@dataclass(frozen=True, slots=True)
class Reservation:
    usd: float = 0.0
    tokens: int = 0
    agent: bool = True
    """Whether an agent starts: without one nothing is spent, and no cap stands in the way."""


def reservation(session: Session, ticket: Ticket) -> Reservation:
    """What an attempt sets aside. Nothing where the session has no budget, and nothing where no agent starts."""
    budget = session.settings.budget
    if ticket.phase.role is Role.VERIFIER:
        return Reservation(agent=False)
    return Reservation(
        usd=budget.reserve_usd if budget.usd is not None or budget.per_ticket_usd is not None else 0.0,
        tokens=budget.reserve_tokens if budget.tokens is not None else 0,
    )


def affordable(session: Session, wanted: Reservation) -> bool:
    """Whether the session's caps hold `wanted` on top of all that is spent and set aside."""
    budget, spending = session.settings.budget, session.spending
    if not wanted.agent:
        return True
    if budget.usd is not None and not _holds(budget.usd, spending.usd + spending.reserved_usd, wanted.usd):
        return False
    return budget.tokens is None or _holds(budget.tokens, spending.tokens + spending.reserved_tokens, wanted.tokens)


def ticket_affordable(session: Session, ticket: Ticket, wanted: Reservation) -> bool:
    """Whether the cap per ticket holds `wanted` on top of what its attempts have cost. Planners build no ticket."""
    cap = session.settings.budget.per_ticket_usd
    return (
        cap is None
        or ticket.planning is not None
        or not wanted.agent
        or _holds(cap, ticket_cost_usd(ticket), wanted.usd)
    )


def _holds(cap: float, taken: float, wanted: float) -> bool:
    """Whether `wanted` fits under a cap. One that is used up holds nothing, not even what sets nothing aside."""
    return taken + ROUNDING_USD < cap and taken + wanted <= cap + ROUNDING_USD


def ticket_cost_usd(ticket: Ticket) -> float:
    """What the ticket's finished attempts cost; one that didn't say counts as what it had set aside."""
    return sum(attempt.charged_usd for attempt in ticket.attempts.values())


def shortage(session: Session, next_one: Reservation) -> str:
    """Why nothing more can be started, for a person."""
    budget, spending = session.settings.budget, session.spending
    parts = []
    if budget.usd is not None:
        aside = f"and the next attempt sets {next_one.usd:.2f} aside"
        parts.append(f"{spending.usd:.2f} of {budget.usd:.2f} USD spent, {aside}")
    if budget.tokens is not None:
        aside = f"and the next attempt sets {next_one.tokens} aside"
        parts.append(f"{spending.tokens} of {budget.tokens} tokens spent, {aside}")
    if spending.unknown:
        parts.append(f"{spending.unknown} attempts did not say what they cost and count as reserved")
    return "; ".join(parts)


def as_much_again(session: Session) -> tuple[float | None, int | None]:
    """New caps in USD and in tokens for a session that has used its own up; None for one that is not short.

    They hold as much again as the old ones did, and one attempt at least.
    """
    budget, spent = session.settings.budget, session.spending
    usd = tokens = None
    if budget.usd is not None and not _holds(budget.usd, spent.usd, budget.reserve_usd):
        usd = math.ceil(100 * (spent.usd + max(budget.usd, budget.reserve_usd))) / 100
    if budget.tokens is not None and not _holds(budget.tokens, spent.tokens, budget.reserve_tokens):
        tokens = spent.tokens + max(budget.tokens, budget.reserve_tokens)
    return usd, tokens
