"""What an attempt cost, once it has ended: what it had set aside becomes what it spent."""

from __future__ import annotations

from codeswarm.domain.metering import counts, own_share
from codeswarm.domain.results import Usage
from codeswarm.domain.session import Attempt, Session, Spending, Ticket
from codeswarm.domain.states import AttemptStatus


def settle_spending(session: Session, ticket: Ticket, attempt: Attempt, usage: Usage) -> None:
    """Turn what was reserved into what was spent. Unknown is charged as reserved: it is never taken for 0."""
    attempt.usage = usage
    books = (session.spending, session.role_spending.setdefault(attempt.role, Spending()))
    for book in books:
        book.reserved_usd -= attempt.reserved_usd
        book.reserved_tokens -= attempt.reserved_tokens
    usd, tokens = own_share(ticket, attempt, usage)
    if not attempt.agent:
        usd, tokens = usd or 0.0, tokens or 0
    lost = attempt.status is AttemptStatus.LOST
    cost = _at_least(usd, attempt.reserved_usd, lost)
    if counts(session, usage):
        attempt.charged_usd = cost
    elif usd is not None:
        attempt.subscription_usd = usd
    attempt.charged_tokens = int(_at_least(tokens, attempt.reserved_tokens, lost))
    for book in books:
        book.usd += attempt.charged_usd
        book.tokens += attempt.charged_tokens
        book.subscription_usd += attempt.subscription_usd
        book.unknown += bool(attempt.agent) and not attempt.cost_known


def _at_least(used: float | None, reserved: float, lost: bool) -> float:
    """What is charged: what was used; as reserved where that is unknown. A lost one has used what it told at least."""
    if used is None:
        return reserved
    return max(used, reserved) if lost else used
