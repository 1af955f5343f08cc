"""What a report says, as data. `codeswarm report --json` prints it; text and page are drawn from it alone.

Every text in it that an agent, a repository or a ticket wrote is as they wrote it, though cut to its share of the page:
whoever draws it makes it harmless.
"""

from __future__ import annotations

from codeswarm.domain.model import Frozen
from codeswarm.domain.results import Finding
from codeswarm.domain.states import AttemptStatus, SessionStatus, TicketStatus


class Ask(Frozen):
    """Something that a person must do or decide now."""

    what: str
    why: str = ""
    commands: tuple[str, ...] = ()
    """To be pasted; several are a choice, or steps in their order."""


class Cost(Frozen):
    """What attempts cost, as far as their agents said."""

    usd: float = 0.0
    """The sum of those that did say."""
    subscription_usd: float = 0.0
    """What subscriptions paid for beside it, at the price that it would have had without."""
    attempts: int = 0
    """Ended ones in which an agent ran."""
    unknown: int = 0
    """Of these, how many did not say: never taken for 0."""
    running: int = 0
    tokens: int | None = None
    """None: no attempt said."""


class CostRow(Frozen):
    """What one agent cost in one role."""

    role: str
    agent: str
    attempts: int
    failed: int
    seconds: float
    cost: Cost


class FileChange(Frozen):
    path: str
    added: int | None
    """None: a binary file."""
    deleted: int | None


class Change(Frozen):
    """What a ticket changes: its landing, or its work where it has not landed."""

    old: str
    new: str
    files: tuple[FileChange, ...] = ()
    more_files: int = 0
    """How many are not named."""
    added: int = 0
    deleted: int = 0
    patch: str = ""
    whole: bool = True
    """Whether `patch` is all of it."""
    command: str = ""
    """Shows the whole."""


class Proof(Frozen):
    """A receipt: the router's word that a command had an outcome on a tree, or a person's word in its stead."""

    receipt: str
    name: str
    command: str
    outcome: str
    tree: str
    log: str
    """SHA-256 of the command's output; empty where nothing was run."""
    exit_code: int | None = None
    duration_s: float | None = None
    tests: int | None = None
    worker: str = ""
    by: str = ""
    """Who waived it."""
    known_failing: tuple[str, ...] = ()
    genuine: bool | None = None
    """Whether its signature is our key's. None: the key is not here."""


class Review(Frozen):
    """Findings, and what became of them."""

    epoch: int
    by: str
    at_ms: int
    asked_for_changes: bool
    findings: tuple[Finding, ...] = ()
    more: int = 0
    then: str = ""


class AttemptLine(Frozen):
    epoch: int
    phase: str
    role: str
    number: int
    agent: str
    worker: str
    status: AttemptStatus
    leased_ms: int
    ended_ms: int | None
    why: str = ""
    """Why it failed, was lost or cancelled."""
    summary: str = ""
    cost_usd: float | None = None
    tokens: int | None = None
    gates: tuple[str, ...] = ()
    """What its own gates showed."""
    late: bool = False
    kept: str = ""
    """The ref that holds its files."""


class Undo(Frozen):
    """How to take a landed ticket back."""

    commands: tuple[str, ...] = ()
    note: str = ""
    dependents: tuple[str, ...] = ()
    """Landed tickets that build on it, directly or not, newest first."""
    with_dependents: tuple[str, ...] = ()


class Trouble(Frozen):
    """Why a ticket did not land, and where its work is."""

    reason: str
    tail: str = ""
    kept: tuple[str, ...] = ()
    commands: tuple[str, ...] = ()


class TicketPart(Frozen):
    """One ticket."""

    id: str
    title: str
    status: TicketStatus
    wave: int
    """From 1."""
    phase: str
    proposed: bool = False
    """It waits for a person's word on its plan."""
    description: str = ""
    acceptance: tuple[str, ...] = ()
    blocked_by: tuple[str, ...] = ()
    asked_by: str = ""
    labels: tuple[str, ...] = ()
    contract: tuple[tuple[str, tuple[str, ...]], ...] = ()
    """(heading, sentences)."""
    contract_files: tuple[str, ...] = ()
    landed: str = ""
    landed_ms: int | None = None
    change: Change | None = None
    proofs: tuple[Proof, ...] = ()
    reviews: tuple[Review, ...] = ()
    attempts: tuple[AttemptLine, ...] = ()
    """The newest ones."""
    earlier_attempts: int = 0
    """How many older ones are not told."""
    bounces: tuple[str, ...] = ()
    decisions: tuple[str, ...] = ()
    messages: tuple[str, ...] = ()
    undo: Undo | None = None
    trouble: Trouble | None = None
    cost: Cost = Cost()
    seconds: float = 0.0
    """Of all its attempts together."""


class Bar(Frozen):
    """A stretch of time that something took, for the time chart."""

    kind: str
    """attempt · gate"""
    about: str
    """The ticket, or the gate's purpose."""
    label: str
    outcome: str
    """succeeded · failed · timed_out · lost · cancelled · running · green · red · abandoned"""
    from_ms: int
    to_ms: int


class Mark(Frozen):
    """A moment: a landing, a bounce, a save."""

    kind: str
    """landed · bounced · caught_up · saved · refused · suspended · resumed"""
    about: str
    label: str
    at_ms: int


class NoteLine(Frozen):
    """A fallback, a refusal, something left undone."""

    at_ms: int
    about: str
    what: str
    next_step: str = ""


class GateLine(Frozen):
    """A gate on the session as a whole: on the base, on the tip."""

    purpose: str
    state: str
    at_ms: int
    proofs: tuple[Proof, ...] = ()
    tail: str = ""


class Report(Frozen):
    """The whole page."""

    session: str
    name: str
    goal: str
    by: str
    status: SessionStatus
    base_branch: str
    base: str
    tip: str
    started_ms: int
    until_ms: int
    """When it ended or came to rest; where it goes on, when this was made."""
    made_ms: int
    live: bool
    headline: str
    facts: tuple[str, ...]
    asks: tuple[Ask, ...] = ()
    answer: str = ""
    """The planner's words for the person, where there are any."""
    counts: dict[str, int] = {}
    cost: Cost = Cost()
    cost_per_landed_usd: float | None = None
    """None: nothing has landed, or somebody did not say."""
    costs: tuple[CostRow, ...] = ()
    tickets: tuple[TicketPart, ...] = ()
    more_tickets: int = 0
    gates: tuple[GateLine, ...] = ()
    bars: tuple[Bar, ...] = ()
    marks: tuple[Mark, ...] = ()
    notes: tuple[NoteLine, ...] = ()
    more_notes: int = 0
    undo_all: tuple[str, ...] = ()
    """Takes back all that was saved."""
    ledger_seq: int = 0
    ledger_hash: str = ""
    cuts: tuple[str, ...] = ()
    """What was too much for one page, and where the whole is."""
