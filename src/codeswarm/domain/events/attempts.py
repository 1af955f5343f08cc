"""Attempts."""

from __future__ import annotations

from codeswarm.domain.events.base import Event
from codeswarm.domain.ids import Commit, TicketId, WorkerId
from codeswarm.domain.results import (
    Failure,
    LeftOut,
    Report,
    Usage,
)


class AttemptLeased(Event):
    """A worker has the right to run an attempt, for as long as it renews its lease."""

    ticket: TicketId
    epoch: int
    phase: str
    """The phase of its pipeline."""
    attempt: int
    """Counts from 1 among the ticket's attempts at this phase, losses and later rounds included."""
    worker: WorkerId
    agent: str
    """The agent spec; empty for a verifier phase, which starts none."""
    account: str = ""
    """A digest of what the agent logs in with, where its worker told one."""
    base: Commit
    """The integration tip at the time of the lease."""
    reserved_usd: float = 0.0
    """Set aside for it until its cost is known."""
    reserved_tokens: int = 0
    """The same in tokens."""
    visitor: str = ""
    """The person who has taken a ticket at rest over: the attempt is theirs, and no agent runs in it."""


class AttemptPrepared(Event):
    """The router has made the commit that this attempt begins with."""

    ticket: TicketId
    epoch: int
    start: Commit
    """The commit: the work so far with the tip merged in."""
    conflicts: tuple[str, ...] = ()
    """Files that hold conflict markers in `start`."""


class AttemptStarted(Event):
    """Its agent runs."""

    ticket: TicketId
    epoch: int
    sandbox: str
    """The kind of walls."""
    conversation: str = ""
    """The agent's own name for its conversation, if it has one."""
    resumed: bool = False
    """It goes on in an earlier attempt's conversation, from that attempt's files."""
    lacks: tuple[str, ...] = ()
    """Walls and limits that could not be had where it runs, and why."""
    told: str = ""
    """Digest of what it was told: its prompt, with the instructions of its role, and its bundle."""


class ConversationNamed(Event):
    """Its agent has said what it calls the conversation, by which a later attempt goes on with it."""

    ticket: TicketId
    epoch: int
    conversation: str
    """The agent's own name for it."""


class AttemptGating(Event):
    """Its work commit is at the gate of its phase."""

    ticket: TicketId
    epoch: int
    commit: Commit
    """The work commit."""


class BudgetBreached(Event):
    """It came to a cap: its agent says in one more turn what is left to be done, and the attempt ends."""

    ticket: TicketId
    epoch: int
    cap: str
    """`session`, `role` or `ticket`."""
    detail: str
    """How much of it is used."""


class SnapshotTaken(Event):
    """Its changes so far are in its wip ref."""

    ticket: TicketId
    epoch: int
    commit: Commit
    """What the wip ref stands at."""
    files: int
    """How many files differ from the start."""
    left_out: tuple[LeftOut, ...] = ()
    """What no ref holds, and why."""


class WorkSalvaged(Event):
    """The workspace of an attempt whose worker died was found, and its files are in the attempt's wip ref now."""

    ticket: TicketId
    epoch: int
    commit: Commit
    """What the wip ref stands at."""
    files: int
    """How many files differ from the start."""
    left_out: tuple[LeftOut, ...] = ()
    """What no ref holds, and why."""


class CommitsKept(Event):
    """Commits that an agent made by itself, beside its files: they stand under refs of their own."""

    ticket: TicketId
    epoch: int
    refs: tuple[str, ...]
    """Their names in the store."""


class HostDenied(Event):
    """Its agent asked for a host that it may not reach. At most one for each host, and a bounded number in all."""

    ticket: TicketId
    epoch: int
    host: str
    """As it was asked for, with its port."""
    reason: str
    next_step: str = ""
    """What to set where that host is wanted."""


class AttemptSucceeded(Event):
    """It did what its phase is for."""

    ticket: TicketId
    epoch: int
    report: Report
    """What the worker reports of it."""


class AttemptFailed(Event):
    """Ended by its own fault, or by a cause with a bound of its own; `failure` says which."""

    ticket: TicketId
    epoch: int
    failure: Failure
    """What was wrong."""
    charged: bool
    """Whether it counts against `policy.max_attempts`."""
    report: Report
    """What the worker reports of it."""
    retry_at_ms: int


class AttemptTimedOut(Event):
    """It took longer than `policy.attempt_timeout_s`."""

    ticket: TicketId
    epoch: int
    failure: Failure
    """What was wrong."""
    charged: bool
    """Whether it counts against `policy.max_attempts`."""
    report: Report
    """What the worker reports of it."""
    retry_at_ms: int


class AttemptLost(Event):
    """Its worker fell silent or died; nothing is known but what it had snapshotted."""

    ticket: TicketId
    epoch: int
    reason: str
    retry_at_ms: int
    usage: Usage = Usage()
    """What it had told of before: the least that it has used."""


class AttemptCancelled(Event):
    """Ended on request (stop --now, hold, cancel), not by any fault."""

    ticket: TicketId
    epoch: int
    reason: str
    report: Report = Report()
    """What the worker reports of it."""
    retry_at_ms: int


class LateResultKept(Event):
    """A completion came with an old epoch: it changed nothing, and its work stays in a ref."""

    ticket: TicketId
    epoch: int
    commit: Commit | None
    """Its work; none where nothing had changed."""
    summary: str = ""
    """The agent's last words."""
