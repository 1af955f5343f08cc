"""The plan."""

from __future__ import annotations

from pydantic import JsonValue

from codeswarm.domain.events.base import Event
from codeswarm.domain.ids import TicketId
from codeswarm.domain.states import Purpose
from codeswarm.domain.ticket import KeptSource, TicketSpec


class PlanningRequested(Event):
    """A planner is asked. What it does is a ticket of its own, which lands nothing."""

    ticket: TicketId
    """The planning ticket."""
    purpose: Purpose
    """goal · delegation · proposals · interfaces · answer"""
    text: str
    """What is wanted, in words."""
    by: str
    """Who asks: a person, an attempt that proposes tickets, or policy."""
    about: tuple[TicketId, ...] = ()
    """For interfaces: the tickets that share one."""
    proposed: tuple[dict[str, JsonValue], ...] = ()
    """For proposals: what agents wrote."""


class PlanningFinished(Event):
    """The planner has answered; or did not, and the work goes on without."""

    ticket: TicketId
    """The planning ticket."""
    result: str = ""
    """Words for people and agents: an agreement, a final answer. A plan stands in `PlanProposed`."""


class PlanProposed(Event):
    """The tickets of the session."""

    plan: int
    """Counts from 1 within the session."""
    tickets: tuple[TicketSpec, ...]
    by: str
    planning: TicketId | None = None
    """The planning ticket that it comes from: a rejected plan goes back there. None: from a person."""
    adds: bool = False
    """These tickets come on top of the plan; otherwise they are the plan."""


class PlanAccepted(Event):
    """The tickets may be worked on."""

    plan: int
    by: str


class PlanRejected(Event):
    """A person said no to the tickets."""

    plan: int
    by: str
    why: str
    back: bool = False
    """It goes back to its planner, with the reason."""


class TicketsAdded(Event):
    """More work on top of an accepted plan. What the new tickets wait for may be old or new."""

    tickets: tuple[TicketSpec, ...]
    by: str


class SourceKept(Event):
    """The foreign file that tickets were made of is among the artifacts, as it was."""

    source: KeptSource
    """What it is, what it was called, and where its bytes are."""


class TicketEdited(Event):
    """A ticket is to be read in another way from its next attempt on."""

    ticket: TicketId
    spec: TicketSpec
    """The whole of it, as it is now."""
    changed: tuple[str, ...]
    """The keys that are not as they were."""
    by: str


class BlockersChanged(Event):
    """A ticket waits for other tickets from here on."""

    ticket: TicketId
    blocked_by: tuple[TicketId, ...]
    """All of them."""
    by: str
