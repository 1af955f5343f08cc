"""The one door for change: decide, evolve, settle.

A command's own events come first; then the consequences for the session, until none follows. All of them belong
to that command and are appended as one batch, so no reader ever sees a half-drawn conclusion.
"""

from __future__ import annotations

from codeswarm.domain.commands import Command
from codeswarm.domain.decide import decide
from codeswarm.domain.events import Event
from codeswarm.domain.evolve import evolve
from codeswarm.domain.rejection import Rejection
from codeswarm.domain.session import Session
from codeswarm.domain.settle import settle

MAX_CONSEQUENCES = 20


def handle(session: Session, command: Command, now_ms: int) -> list[Event] | Rejection:
    """Decide `command` and apply what follows to `session`, which is changed unless the command is refused.

    Raises: IllegalMove or RuntimeError where the domain contradicts itself; the caller then drops the session
    from memory, since it may be half changed.
    """
    decision = decide(session, command, now_ms)
    if isinstance(decision, Rejection) or not decision:
        return decision  # where nothing happened nothing follows: what could follow was drawn the last time
    events: list[Event] = []
    following = decision
    for _ in range(MAX_CONSEQUENCES):
        for event in following:
            evolve(session, event, now_ms)
        events += following
        following = settle(session, now_ms)
        if not following:
            return events
    raise RuntimeError(f"session {session.id}: consequences of {command.kind} do not come to an end")
