"""How much a person should look before they say yes: a score from 0 to 100, made of reasons that can be read.

The weights are ours and plain on purpose: what counts is that the same facts give the same score, and that each point
of it is said aloud.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from codeswarm.domain.pipeline import Role
from codeswarm.domain.session import Session, Ticket
from codeswarm.domain.states import AttemptStatus
from codeswarm.domain.ticket import ContractKind, TicketSpec

MOST = 100
MANY_FILES = 20
MANY_TICKETS = 20
NAMED = 5
"""Files and tickets that a reason names."""

Factor = tuple[int, str]


@dataclass(frozen=True, slots=True)
class Risk:
    """`score` is the sum of what the reasons weigh, at most 100."""

    score: int = 0
    reasons: tuple[str, ...] = ()

    @classmethod
    def of(cls, factors: Sequence[Factor]) -> Risk:
        heaviest_first = sorted((factor for factor in factors if factor[0]), reverse=True)
        return cls(min(MOST, sum(weight for weight, _ in factors)), tuple(why for _, why in heaviest_first))


def of_landing(session: Session, ticket: Ticket, files: tuple[str, ...], sensitive: Sequence[str]) -> Risk:
    """What speaks for a close look at a ticket's work before it lands."""
    failed = sum(attempt.status is AttemptStatus.FAILED for attempt in ticket.attempts.values())
    reviewed = any(phase.role is Role.REVIEWER for phase in ticket.phases)
    behind = len(session.dependents.get(ticket.id, ()))
    return Risk.of(
        [
            (40 if sensitive else 0, f"touches sensitive files: {_named(sensitive)}"),
            *_gates(session),
            (15 if ticket.contract is None else 0, "no contract was written before it was built"),
            (10 if not reviewed else 0, "nobody has reviewed it"),
            (15 if len(files) > MANY_FILES else 0, f"changes {len(files)} files"),
            (min(5 * failed, 15), _count(failed, "attempt") + " at it failed"),
            (min(5 * ticket.change_rounds, 15), f"changes were asked for {_count(ticket.change_rounds, 'time')}"),
            (min(5 * ticket.bounces, 10), f"its landing was sent back {_count(ticket.bounces, 'time')}"),
            (min(2 * behind, 10), f"{_count(behind, 'ticket')} behind it"),
        ]
    )


def of_plan(session: Session, tickets: Sequence[TicketSpec], sensitive: Sequence[str]) -> Risk:
    """What speaks for a close look at a plan before it is built; `sensitive`: files that its tickets will touch."""
    budget = session.settings.budget
    vague = [spec.id for spec in tickets if not spec.acceptance]
    untested = [spec.id for spec in tickets if spec.contract is ContractKind.NONE]
    return Risk.of(
        [
            (30 if sensitive else 0, f"will touch sensitive files: {_named(sensitive)}"),
            *_gates(session),
            (20 if len(tickets) > MANY_TICKETS else 0, f"it has {len(tickets)} tickets"),
            (15 if vague else 0, f"no acceptance criteria, so nobody can tell when they are done: {_named(vague)}"),
            (10 if budget.usd is None and budget.tokens is None else 0, "no budget is set"),
            (5 if untested else 0, f"without a contract: {_named(untested)}"),
        ]
    )


def _gates(session: Session) -> list[Factor]:
    gates = session.settings.gates
    return [
        (30 if gates.waived_by else 0, f"no gate runs: {gates.waived_by} said so"),
        (10 if gates.allow_red_base_by else 0, f"the base may be red: {gates.allow_red_base_by} said so"),
    ]


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" + ("" if number == 1 else "s")


def _named(names: Sequence[str]) -> str:
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return ", ".join(names[:NAMED]) + more
