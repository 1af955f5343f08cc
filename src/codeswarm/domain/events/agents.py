"""Agents: which of them are left alone, and which of its choices a ticket goes to."""

from __future__ import annotations

from codeswarm.domain.events.base import Event
from codeswarm.domain.ids import TicketId
from codeswarm.domain.results import FailureClass


class AgentParked(Event):
    """Nothing is sent to an agent until it is back: its quota is spent, or a person must mend something first.

    Tickets go on with the next choice of their role, or wait.
    """

    agent: str
    """The agent spec; `KIND:*` is every model of a CLI whose login was refused, or that is not there."""
    account: str
    """A digest of what it logs in with; empty where its worker told none. Another account is another agent."""
    why: FailureClass
    """quota · rate_limited · overloaded · auth · unknown_model · missing"""
    detail: str
    """What the other side said."""
    since_ms: int
    """When it was seen, in milliseconds since 1970."""
    until_ms: int | None = None
    """When it is back; none: once a person says so."""
    times: int = 1
    """How often in a row, without a success in between."""
    told_by: str = ""
    """The session that saw it; empty: this one."""


class AgentUnparked(Event):
    """It may be used again."""

    agent: str
    """The agent spec; `KIND:*` is every model of a CLI."""
    account: str
    """A digest of what it logs in with."""
    by: str = ""
    """A person; empty: its time has come."""
    told_by: str = ""
    """The session in which the person said so; empty: this one."""


class AgentPassedOver(Event):
    """It was asked for too much at once too often: the ticket's next attempt goes to another choice of its role."""

    ticket: TicketId
    epoch: int
    agent: str
    """The agent spec that is left out once."""
    bursts: int
    """How often it refused within `policy.burst_window_s`."""


class TicketEscalated(Event):
    """Its gate was red: from here on the phase is the next choice's, which sees what the last one left."""

    ticket: TicketId
    epoch: int
    phase: str
    """The phase of its pipeline."""
    agent: str
    """The agent spec that it goes to."""
    instead_of: str
    """The agent spec whose work was red."""
    rung: int
    """Which choice of the role that is, counted from 0."""
