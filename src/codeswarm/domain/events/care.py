"""Care."""

from __future__ import annotations

from codeswarm.domain.events.base import Event
from codeswarm.domain.ids import TicketId, WorkerId


class SlotRestarted(Event):
    """A worker's slot died and was started again."""

    worker: WorkerId
    reason: str


class TranscriptsForgotten(Event):
    """What its agents were told and said is thrown away; the rest stays. The ledger no longer misses it."""

    by: str
    reason: str


class CommandRejected(Event):
    """A person's command was refused. Kept, because nothing fails silently."""

    command: str
    """Its name."""
    reason: str
    hint: str
    """What to do."""
    by: str


class Noted(Event):
    """A fallback, a skip, something left undone: what, why, and the next step."""

    subject: str
    """What it is about."""
    what: str
    """What happened, and why."""
    next_step: str = ""
    """What to do, if anything."""
    ticket: TicketId | None = None
