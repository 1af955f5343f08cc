"""What an attempt's end means for its ticket."""

from __future__ import annotations

from codeswarm.domain.events.base import Event
from codeswarm.domain.ids import TicketId
from codeswarm.domain.results import (
    Finding,
)
from codeswarm.domain.states import WaitReason


class ChangesRequested(Event):
    """The ticket is sent back to its implementer with remarks."""

    ticket: TicketId
    epoch: int
    findings: tuple[Finding, ...]
    """The remarks."""
    by: str
    """`reviewer`, `verifier`, or a person who rejected a landing."""


class ContractDisputed(Event):
    """Its implementer says that the contract is wrong: it goes back to the test writer, once."""

    ticket: TicketId
    epoch: int
    reason: str


class TicketQueued(Event):
    """All phases are done: the ticket waits for its landing."""

    ticket: TicketId


class TicketWaiting(Event):
    """It waits for a person, for budget, or for an agent that is not parked."""

    ticket: TicketId
    reason: WaitReason
    detail: str = ""


class TicketReleased(Event):
    """From hold or from waiting back to where it stood; whether it may land is told by what follows."""

    ticket: TicketId
    by: str
    """A person; `policy` where an agent is there again."""
    agent: str = ""
    """The agent that a worker has for it after all, by another account than the one that is parked."""
    account: str = ""
    """A digest of that account."""


class TicketHeld(Event):
    """On hold: nothing is done on it until it is released."""

    ticket: TicketId
    reason: str
    by: str


class TicketFailed(Event):
    """Too many failures: nothing is done on it until a person retries it."""

    ticket: TicketId
    reason: str


class TicketRetried(Event):
    """A person gives a failed ticket a new generation."""

    ticket: TicketId
    by: str


class TicketCancelled(Event):
    """Out of the plan for good; what depends on it stays blocked."""

    ticket: TicketId
    by: str
    reason: str = ""
