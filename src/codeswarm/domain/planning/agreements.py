"""Tickets that begin together and share an interface: a planner first says what their contracts must agree on.

Its work stands before them in the graph, so nothing waits in another way than tickets always do.
"""

from __future__ import annotations

from collections.abc import Sequence

from codeswarm.domain import dag, events as ev
from codeswarm.domain.ids import TicketId
from codeswarm.domain.planning.asking import can_plan, request
from codeswarm.domain.session import Session
from codeswarm.domain.states import Purpose
from codeswarm.domain.ticket import TicketSpec

MOST = 20
"""Agreements that one plan asks for."""

Shared = list[tuple[tuple[TicketId, ...], str]]
"""Tickets, and the interfaces that they share."""


def agreements(session: Session, specs: Sequence[TicketSpec]) -> list[ev.Event]:
    """What a planner is asked when these tickets come into the session."""
    shared = shared_by(specs)
    if not shared:
        return []
    if not can_plan(session):
        return [_nobody(shared)]
    taken = {spec.id for spec in specs}
    events: list[ev.Event] = []
    for about, name in shared[:MOST]:
        asked = request(session, Purpose.INTERFACES, name, "policy", about=about, taken=taken)
        taken.add(asked.ticket)
        events.append(asked)
    return [*events, _nobody(shared[MOST:])] if shared[MOST:] else events


def shared_by(specs: Sequence[TicketSpec]) -> Shared:
    """Tickets of one wave that share interfaces, and the names of these. Each group of tickets is told once."""
    if not any(spec.interfaces for spec in specs):
        return []
    here = {spec.id: spec for spec in specs}
    groups: dict[tuple[TicketId, ...], list[str]] = {}
    for wave in dag.waves({spec.id: [b for b in spec.blocked_by if b in here] for spec in specs}):
        names = dict.fromkeys(name for id_ in wave for name in here[id_].interfaces)
        for name in names:
            about = tuple(id_ for id_ in wave if name in here[id_].interfaces)
            if len(about) > 1:
                groups.setdefault(about, []).append(name)
    return [(about, ", ".join(names)) for about, names in groups.items()]


def _nobody(shared: Shared) -> ev.Noted:
    what = "; ".join(f"{name}: {', '.join(ids)}" for ids, name in shared)
    return ev.Noted(subject="interfaces", what=f"no planner settles what tickets share: {what}"[:2000])
