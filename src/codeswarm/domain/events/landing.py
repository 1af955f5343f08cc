"""Gates and landing."""

from __future__ import annotations

from codeswarm.domain.events.base import Event
from codeswarm.domain.ids import Commit, GateId, TicketId, Tree, WorkerId
from codeswarm.domain.results import (
    Finding,
    GateCommand,
    GateRun,
    Receipt,
)


class GateRequested(Event):
    """A gate of the queue is due, on a commit."""

    gate: GateId
    purpose: str
    """base · landing · catch_up · full"""
    commit: Commit
    """What is checked out for it. Its tree is what the receipts are for."""
    tree: Tree
    commands: tuple[GateCommand, ...]
    """What is run, one after another."""
    base: Commit
    """Changed files are told against this."""
    ticket: TicketId | None = None
    """Whose landing it is for; none for all other purposes."""


class GateLeased(Event):
    """A worker runs it."""

    gate: GateId
    epoch: int
    worker: WorkerId


class GateFinished(Event):
    """It has an outcome."""

    gate: GateId
    epoch: int
    runs: tuple[GateRun, ...]
    """What each command showed."""
    receipts: tuple[Receipt, ...]
    green: bool
    """Whether all passed."""


class GateLost(Event):
    """It could not be run to its end (a lost worker, exit 75): it will run again."""

    gate: GateId
    epoch: int
    reason: str
    retry_at_ms: int


class GateAbandoned(Event):
    """What it was for is gone."""

    gate: GateId
    reason: str


class ReceiptsRecorded(Event):
    """Receipts of gates that ran within an attempt, or waivers."""

    receipts: tuple[Receipt, ...]
    ticket: TicketId | None = None


class LandingMerged(Event):
    """The merge with the tip is clean, and its commit is in the store."""

    landing: int
    ticket: TicketId | None
    """None: a catch-up with the base branch."""
    old: Commit
    """The tip that it was merged with."""
    work: Commit
    """The ticket's work commit."""
    commit: Commit
    """The very commit that lands once its gate is green."""
    tree: Tree
    commands: tuple[GateCommand, ...]
    """All that must be green on `tree` before it lands."""


class LandingBounced(Event):
    """A landing was sent back; the ticket goes to its implementer with the evidence."""

    landing: int
    ticket: TicketId | None
    reason: str
    """conflict · gate_red · held · gate_unavailable"""
    detail: str = ""
    files: tuple[str, ...] = ()
    """In conflict."""
    findings: tuple[Finding, ...] = ()
    """What the gate remarked."""


class TicketLanded(Event):
    """The commit point: from here on the ticket is landed, wherever the refs may still stand."""

    landing: int
    ticket: TicketId
    old: Commit
    """The tip before."""
    new: Commit
    """The tip now."""
    tree: Tree
    receipts: tuple[str, ...]
    files: tuple[str, ...] = ()
    """What it changed."""


class CaughtUp(Event):
    """Integration took in what the base branch gained meanwhile: the one commit with two parents."""

    landing: int
    old: Commit
    """The tip before."""
    new: Commit
    """The tip now."""
    tree: Tree
    base: Commit
    """The commit of the base branch that was taken in."""
    receipts: tuple[str, ...]
