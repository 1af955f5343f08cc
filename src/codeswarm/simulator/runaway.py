"""An agent that spends without end: what its heartbeats tell, and whether it is told in time that a cap is reached."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

from codeswarm.domain.ids import TicketId
from codeswarm.domain.results import Usage
from codeswarm.domain.session import Session
from codeswarm.domain.settings import Caps
from codeswarm.engine.leases import Leased, Pulse
from codeswarm.simulator.router import Router

MOST_USD_S, LEAST_USD_S = 0.05, 0.02
HAND_BACK_S = 20.0
"""What its last turn takes at most."""
PATIENCE = 3
"""So many answered heartbeats in a row may it tell of more than a cap before it must have been told: a breach that a
full disk did not take is found anew at the next one.
"""


@dataclass(slots=True)
class Runaway:
    """It has begun to spend at a moment, so many USD a second."""

    began_s: float
    usd_s: float
    told: asyncio.Event = field(default_factory=asyncio.Event)
    """That it must hand back."""
    _due: int = 0
    _router: Router | None = None

    def usage(self, now_s: float) -> Usage:
        return Usage(cost_usd=round((now_s - self.began_s) * self.usd_s, 6), input_tokens=1000)

    def hear(self, leased: Leased, router: Router, usage: Usage, pulse: Pulse) -> str:
        """Take an answer to what was told. What is broken by it, if anything."""
        if pulse.hand_back is not None:
            self.told.set()
        if self.told.is_set() or router is not self._router or router.room.problem is not None:
            self._due, self._router = 0, router
            return ""
        self._due = self._due + 1 if _beyond(router.kernel.session(leased.session), leased, usage) else 0
        if self._due <= PATIENCE:
            return ""
        return f"attempt {leased.subject}:{leased.epoch} told {self._due} times of more than a cap, and heard nothing"


def _beyond(session: Session, leased: Leased, usage: Usage) -> bool:
    """Whether an attempt alone has used more than a cap that it is under."""
    ticket, budget = session.tickets[TicketId(leased.subject)], session.settings.budget
    of_role = budget.roles.get(ticket.phase.role, Caps()).usd
    of_ticket = None if ticket.planning is not None else budget.per_ticket_usd
    caps = [cap for cap in (budget.usd, of_ticket, of_role) if cap is not None]
    return any((usage.cost_usd or 0.0) > cap + budget.reserve_usd for cap in caps)
