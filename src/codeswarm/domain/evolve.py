"""How events add up: `evolve(session, event, at_ms)` changes the state, and never judges.

Every handler is total for events that `decide` could have made in that state. A move that `states` doesn't draw
raises `IllegalMove`: a fault of ours or a damaged ledger, never a user's mistake.
"""

from __future__ import annotations

from codeswarm.domain.events import Event
from codeswarm.domain.evolving import agents, attempt, landing, session as session_, ticket
from codeswarm.domain.evolving.moves import HANDLERS, IllegalMove
from codeswarm.domain.session import Session

__all__ = ["IllegalMove", "evolve"]

_LOADED = (agents, attempt, landing, session_, ticket)
"""Importing these fills the table of handlers."""


def evolve(session: Session, event: Event, at_ms: int) -> Session:
    """Apply one event and answer the same, changed session. Raises: IllegalMove, KeyError (damaged history)."""
    HANDLERS[type(event)](session, event, at_ms)
    session.version += 1
    return session
