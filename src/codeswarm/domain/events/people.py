"""People."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from codeswarm.domain.events.base import Event
from codeswarm.domain.ids import ApprovalId, TicketId
from codeswarm.domain.states import Handover


class ApprovalRequested(Event):
    """A person must see something before it goes on."""

    approval: ApprovalId
    subject: str
    """plan · landing · execution"""
    evidence: str
    """plan: its number; landing: the work commit that the approval binds to; execution: a digest of the question."""
    why: str
    expires_at_ms: int
    """From then on silence is a no, in milliseconds since 1970."""
    needed: int = 1
    """How many distinct people must say yes."""
    ticket: TicketId | None = None
    """Whose landing it is, or whose agent asks."""
    risk: int = 0
    """From 0 to 100: how much there is to look at."""
    reasons: tuple[str, ...] = ()
    """What the risk is made of, the heaviest first."""
    epoch: int | None = None
    """The attempt that asks before it runs something."""
    command: str = ""
    """What it wants to run."""
    cwd: str = ""
    """Where, as its sandbox shows it."""


class ApprovalGiven(Event):
    """One person's yes."""

    approval: ApprovalId
    by: str
    note: str = ""
    """A remark."""


class ApprovalGranted(Event):
    """Enough distinct people have said yes."""

    approval: ApprovalId


class ApprovalRejected(Event):
    """A person's no."""

    approval: ApprovalId
    by: str
    why: str


class ApprovalExpired(Event):
    """Nobody answered in time: that is a no."""

    approval: ApprovalId


class ApprovalVoided(Event):
    """The question is moot."""

    approval: ApprovalId
    reason: str


class ApprovalUsed(Event):
    """An agent was told the answer to its question. It is told once: the same again is another question."""

    approval: ApprovalId
    ticket: TicketId
    epoch: int
    call: str
    """The agent's own name for what it asked."""


class MessageSent(Event):
    """A person's word to agents."""

    message: int
    by: str
    text: Annotated[str, Field(max_length=100_000)]
    """The words."""
    ticket: TicketId | None = None
    """None: to every ticket's next attempt."""


class MessageDelivered(Event):
    """An agent got it."""

    message: int
    ticket: TicketId
    epoch: int
    how: str
    """injected into a running turn · prompt of a new attempt"""


class AttachRequested(Event):
    """A person wants to take over an attempt; its agent is interrupted."""

    ticket: TicketId
    epoch: int
    by: str
    at_rest: bool = False
    """No agent is at work on the ticket: an attempt of the person's own is to begin."""


class PersonAttached(Event):
    """The person has the workspace, and supervision waits for them."""

    ticket: TicketId
    epoch: int
    by: str
    to: str
    """conversation (the agent's own, by its own program) · shell"""


class PersonDetached(Event):
    """The person has left it again."""

    ticket: TicketId
    epoch: int
    by: str
    how: Handover
    """hand_back: the agent goes on · complete: its work goes to the gate · discard: the attempt ends · leave: so it
    does, and the ticket rests as before, its work kept for whoever takes it over next"""
    note: str = ""
    """What they said of it, or why they were taken to have left."""
