"""What attempts use while they run: whose cap leaves nothing any more must hand back what it has, once.

What an attempt has set aside is its own. What it uses beyond that it takes from what nobody has set aside.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TypeVar

from codeswarm.domain import commands as cmd, events as ev
from codeswarm.domain.budget import NOTHING, ROUNDING_USD, ticket_spent
from codeswarm.domain.results import Usage
from codeswarm.domain.session import Attempt, Session, Spending, Spent, Ticket
from codeswarm.domain.settings import Caps

N = TypeVar("N", int, float)


def of_this_conversation(ticket: Ticket, attempt: Attempt) -> list[Attempt]:
    """The attempts whose conversation this one went on with."""
    if not attempt.resumed:
        return []
    return [e for e in ticket.attempts.values() if e.epoch < attempt.epoch and e.conversation == attempt.conversation]


def own_share(ticket: Ticket, attempt: Attempt, usage: Usage) -> tuple[float | None, int | None]:
    """What of a conversation's figures is this attempt's own, in USD and in tokens; None where that is unknown.

    A conversation tells the whole of itself: what its earlier attempts were charged with is taken off. Figures that are
    lower than they were tell of a conversation that began to count anew.
    """
    earlier = of_this_conversation(ticket, attempt)
    usd = _own(usage.cost_usd, [(e.usage.cost_usd, e.cost_usd) for e in earlier])
    tokens = _own(usage.tokens, [(e.usage.tokens, e.charged_tokens) for e in earlier])
    return usd, tokens


def _own(figure: N | None, earlier: Iterable[tuple[N | None, N]]) -> N | None:
    """`earlier`: the figure that each attempt before told, and what it was charged with, the first one first."""
    last: float = 0
    charged: float = 0
    for told, cost in earlier:
        if told is not None:
            charged = 0 if told < last else charged  # what was charged before is not in the figures any more
            last = told
        charged += cost
    if figure is None or figure < last:
        return figure
    return type(figure)(max(figure - charged, 0))


def counts(session: Session, usage: Usage) -> bool:
    """Whether what this costs counts against caps in USD."""
    return not usage.subscription or session.settings.budget.count_subscription


def metered(session: Session, ticket: Ticket, attempt: Attempt, usage: Usage) -> Spent:
    """What a live attempt has used so far, as far as it counts and as far as it is known."""
    usd, tokens = own_share(ticket, attempt, usage)
    return Spent((usd or 0.0) if counts(session, usage) else 0.0, tokens or 0)


def overdrawn(session: Session, told: Iterable[cmd.Told]) -> Iterator[cmd.Overdrawn]:
    """What live attempts have used beyond what they had set aside."""
    for ticket, attempt, usage in _live(session, told):
        used = metered(session, ticket, attempt, usage)
        usd, tokens = max(used.usd - attempt.reserved_usd, 0.0), max(used.tokens - attempt.reserved_tokens, 0)
        if usd or tokens:
            yield cmd.Overdrawn(ticket=ticket.id, role=attempt.role, usd=usd, tokens=tokens)


def _live(session: Session, told: Iterable[cmd.Told]) -> Iterator[tuple[Ticket, Attempt, Usage]]:
    for each in told:
        ticket = session.tickets.get(each.ticket)
        if ticket is not None and ticket.live is not None and ticket.live_epoch == each.epoch:
            yield ticket, ticket.live, each.usage


def meter(session: Session, command: cmd.MeterUsage, now_ms: int) -> list[ev.Event]:
    """Who must hand back, since a cap leaves nothing beyond what it had set aside. Each is told once."""
    beyond = list(overdrawn(session, command.told))
    events: list[ev.Event] = []
    for own in beyond:
        ticket = session.tickets[own.ticket]
        assert ticket.live is not None
        if ticket.live.breach is None and (found := _used_up(session, ticket, own, beyond)) is not None:
            cap, detail = found
            events.append(ev.BudgetBreached(ticket=ticket.id, epoch=ticket.live.epoch, cap=cap, detail=detail))
    return events


def _used_up(
    session: Session, ticket: Ticket, own: cmd.Overdrawn, beyond: list[cmd.Overdrawn]
) -> tuple[str, str] | None:
    """The first cap that leaves nothing for an attempt which has used more than it had set aside, and by how much."""
    budget, spent, attempt = session.settings.budget, ticket_spent(ticket), ticket.live
    assert attempt is not None
    if ticket.planning is None:
        aside = Spending(spent.usd, spent.tokens, attempt.reserved_usd, attempt.reserved_tokens)
        caps = Caps(usd=budget.per_ticket_usd, tokens=budget.per_ticket_tokens)
        if found := _over(caps, aside, own, [own], "the ticket"):
            return "ticket", found
    of_role = [each for each in beyond if each.role is attempt.role]
    taken = session.role_spending.get(attempt.role, NOTHING)
    if found := _over(budget.roles.get(attempt.role, Caps()), taken, own, of_role, f"the role {attempt.role}"):
        return "role", found
    if found := _over(Caps(usd=budget.usd, tokens=budget.tokens), session.spending, own, beyond, "the session"):
        return "session", found
    return None


def _over(caps: Caps, taken: Spending, own: cmd.Overdrawn, beyond: list[cmd.Overdrawn], whose: str) -> str | None:
    usd = taken.usd + taken.reserved_usd + sum(each.usd for each in beyond)
    if caps.usd is not None and own.usd and usd + ROUNDING_USD >= caps.usd:
        return f"{usd:.2f} of {caps.usd:.2f} USD of {whose} are spent or set aside"
    tokens = taken.tokens + taken.reserved_tokens + sum(each.tokens for each in beyond)
    if caps.tokens is not None and own.tokens and tokens >= caps.tokens:
        return f"{tokens} of {caps.tokens} tokens of {whose} are used or set aside"
    return None
