"""Money and tokens are set aside before work starts, so that agents that run at once can't overspend together.

What attempts that run have used beyond that is known from `metering`; what they have cost at their end from `evolving`.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from codeswarm.domain import commands as cmd
from codeswarm.domain.pipeline import Role
from codeswarm.domain.session import Session, Spending, Spent, Ticket
from codeswarm.domain.settings import Caps

ROUNDING_USD = 1e-9
"""Sums of decimal fractions are off by less than this; a cap of 0.3 holds three times 0.1."""
NOTHING = Spending()


@dataclass(frozen=True, slots=True)
class Reservation:
    usd: float = 0.0
    tokens: int = 0
    role: Role = Role.VERIFIER
    """For this one no agent starts: nothing is spent, and no cap stands in the way."""

    @property
    def agent(self) -> bool:
        return self.role is not Role.VERIFIER


def reservation(session: Session, ticket: Ticket) -> Reservation:
    """What an attempt sets aside. Nothing where nothing is bounded, and nothing where no agent starts."""
    budget, role = session.settings.budget, ticket.phase.role
    if role is Role.VERIFIER:
        return Reservation()
    return Reservation(
        usd=budget.reserve_usd if budget.in_usd else 0.0,
        tokens=budget.reserve_tokens if budget.in_tokens else 0,
        role=role,
    )


# ── what can be begun ────────────────────────────────────────────────────────────────────────────────────────


def affordable(session: Session, wanted: Reservation, overdrawn: Iterable[cmd.Overdrawn] = ()) -> bool:
    """Whether the session's caps hold `wanted` on top of all that is spent and set aside.

    `overdrawn`: what those who are at work have used beyond what they had set aside.
    """
    if not wanted.agent:
        return True
    budget = session.settings.budget
    return _hold(budget.usd, budget.tokens, session.spending, wanted, overdrawn)


def role_affordable(session: Session, wanted: Reservation, overdrawn: Iterable[cmd.Overdrawn] = ()) -> bool:
    """Whether the caps of its role hold `wanted`, too."""
    caps = session.settings.budget.roles.get(wanted.role)
    if caps is None or not wanted.agent:
        return True
    of_role = [beyond for beyond in overdrawn if beyond.role is wanted.role]
    return _hold(caps.usd, caps.tokens, session.role_spending.get(wanted.role, NOTHING), wanted, of_role)


def ticket_affordable(session: Session, ticket: Ticket, wanted: Reservation) -> bool:
    """Whether the caps per ticket hold `wanted` on top of what its attempts have cost. Planners build no ticket."""
    budget = session.settings.budget
    unbounded = budget.per_ticket_usd is None and budget.per_ticket_tokens is None
    if unbounded or ticket.planning is not None or not wanted.agent:
        return True
    spent = ticket_spent(ticket)
    return _hold(budget.per_ticket_usd, budget.per_ticket_tokens, Spending(spent.usd, spent.tokens), wanted)


def _hold(
    cap_usd: float | None,
    cap_tokens: int | None,
    taken: Spending,
    wanted: Reservation,
    overdrawn: Iterable[cmd.Overdrawn] = (),
) -> bool:
    usd, tokens = taken.usd + taken.reserved_usd, taken.tokens + taken.reserved_tokens
    for beyond in overdrawn:
        usd, tokens = usd + beyond.usd, tokens + beyond.tokens
    return _holds(cap_usd, usd, wanted.usd) and _holds(cap_tokens, tokens, wanted.tokens)


def _holds(cap: float | None, taken: float, wanted: float) -> bool:
    """Whether `wanted` fits under a cap. One that is used up holds nothing, not even what sets nothing aside."""
    return cap is None or (taken + ROUNDING_USD < cap and taken + wanted <= cap + ROUNDING_USD)


def ticket_spent(ticket: Ticket) -> Spent:
    """What counts against the ticket's caps: its finished attempts, one that didn't say as what it had set aside."""
    attempts, before = ticket.attempts.values(), ticket.forgiven
    usd = sum(attempt.charged_usd for attempt in attempts) - before.usd
    return Spent(usd, sum(attempt.charged_tokens for attempt in attempts) - before.tokens)


# ── words ────────────────────────────────────────────────────────────────────────────────────────────────────


def shortage(session: Session, next_one: Reservation) -> str:
    """Why nothing more can be started, for a person."""
    budget, spending = session.settings.budget, session.spending
    parts = list(_short(Caps(usd=budget.usd, tokens=budget.tokens), spending, next_one, ""))
    if affordable(session, next_one):
        taken, caps = session.role_spending.get(next_one.role, NOTHING), budget.roles.get(next_one.role, Caps())
        parts = list(_short(caps, taken, next_one, f" by the role {next_one.role}"))
    if spending.unknown:
        parts.append(f"{spending.unknown} attempts did not say what they cost and count as reserved")
    return "; ".join(parts)


def _short(caps: Caps, taken: Spending, next_one: Reservation, whose: str) -> Iterator[str]:
    if caps.usd is not None:
        aside = f"and the next attempt sets {next_one.usd:.2f} aside"
        yield f"{taken.usd:.2f} of {caps.usd:.2f} USD spent{whose}, {aside}"
    if caps.tokens is not None:
        aside = f"and the next attempt sets {next_one.tokens} aside"
        yield f"{taken.tokens} of {caps.tokens} tokens spent{whose}, {aside}"


def spent_on(session: Session, ticket: Ticket) -> str:
    """Why a ticket waits, for a person."""
    budget, spent = session.settings.budget, ticket_spent(ticket)
    usd = [] if budget.per_ticket_usd is None else [f"{spent.usd:.2f} USD"]
    return " and ".join(usd + ([] if budget.per_ticket_tokens is None else [f"{spent.tokens} tokens"])) + " spent on it"


def as_much_again(session: Session) -> tuple[float | None, int | None]:
    """New caps in USD and in tokens for a session that has used its own up; None for one that is not short.

    They hold as much again as the old ones did, and one attempt at least.
    """
    budget = session.settings.budget
    caps = Caps(usd=budget.usd, tokens=budget.tokens)
    return _more(caps, session.spending, budget.reserve_usd, budget.reserve_tokens)


def roles_as_much_again(session: Session) -> dict[Role, Caps]:
    """The same for the roles that have used theirs up."""
    budget, found = session.settings.budget, {}
    for role, caps in budget.roles.items():
        spent = session.role_spending.get(role, NOTHING)
        usd, tokens = _more(caps, spent, budget.reserve_usd, budget.reserve_tokens)
        if usd is not None or tokens is not None:
            found[role] = Caps(usd=usd, tokens=tokens)
    return found


def _more(caps: Caps, spent: Spending, reserve_usd: float, reserve_tokens: int) -> tuple[float | None, int | None]:
    usd = tokens = None
    if caps.usd is not None and not _holds(caps.usd, spent.usd, reserve_usd):
        usd = math.ceil(100 * (spent.usd + max(caps.usd, reserve_usd))) / 100
    if caps.tokens is not None and not _holds(caps.tokens, spent.tokens, reserve_tokens):
        tokens = spent.tokens + max(caps.tokens, reserve_tokens)
    return usd, tokens
