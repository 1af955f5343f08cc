"""The machines on one page: every state, and which may follow which.

`evolve` refuses a move that is not drawn here, so a wrong decision stops loudly instead of being recorded.
A ticket is stored as READY from the start; `pending` is that same state seen while a blocker is open.
"""

from __future__ import annotations

from enum import StrEnum


class SessionStatus(StrEnum):
    DRAFT = "draft"
    ACTIVE = "active"
    AWAITING_REVIEW = "awaiting_review"
    SUSPENDED = "suspended"
    FINALIZED = "finalized"
    CANCELLED = "cancelled"


class TicketStatus(StrEnum):
    PENDING = "pending"
    READY = "ready"
    IN_PROGRESS = "in_progress"
    WAITING = "waiting"
    LANDING = "landing"
    COMPLETE = "complete"
    FAILED = "failed"
    ON_HOLD = "on_hold"
    CANCELLED = "cancelled"


class AttemptStatus(StrEnum):
    LEASED = "leased"
    RUNNING = "running"
    GATING = "gating"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    TIMED_OUT = "timed_out"
    LOST = "lost"
    CANCELLED = "cancelled"


class AgentState(StrEnum):
    """What a running agent is at, seen from outside. It is no fact: nobody decides by it but its own worker."""

    SPAWNING = "spawning"
    """Its process is coming up."""
    THINKING = "thinking"
    """It waits for its model."""
    RUNNING_COMMAND = "running_command"
    """Something that it started is at work."""
    WAITING_PERSON = "waiting_person"
    """It has asked a person, who has not answered yet."""
    RATE_LIMITED = "rate_limited"
    """Its provider told it to wait."""
    STALLED = "stalled"
    """It gives no sign of life for longer than what it is at can explain."""
    GONE = "gone"
    """Its process has ended, and nobody was told."""


class Visit(StrEnum):
    """Whether a person has taken over an attempt."""

    NONE = ""
    ASKED = "asked"
    ATTACHED = "attached"


class Handover(StrEnum):
    """How a person leaves an attempt that they had taken over."""

    HAND_BACK = "hand_back"
    """The agent goes on in its conversation."""
    COMPLETE = "complete"
    """The work goes to its gate as it stands."""
    DISCARD = "discard"
    """The attempt ends, and the next one begins anew; the work is kept in refs."""
    LEAVE = "leave"
    """Of a ticket at rest: it rests as before, and whoever takes it over next finds what was done."""


class SuspendReason(StrEnum):
    PAUSED = "paused"
    STOPPED = "stopped"
    MELTDOWN = "meltdown"
    BUDGET = "budget"
    APPROVAL_EXPIRED = "approval_expired"
    MISSING_WORKER = "missing_worker"
    GATE_UNAVAILABLE = "gate_unavailable"
    NO_PLAN = "no_plan"
    NO_AGENT = "no_agent"


class WaitReason(StrEnum):
    PERSON = "person"
    QUOTA = "quota"
    BUDGET = "budget"


class Outcome(StrEnum):
    """How a session was finalized."""

    SAVED = "saved"
    PARTIAL = "partial"
    FAILED = "failed"
    PLANNED = "planned"
    """Only a plan was asked for, and it is made."""


class Purpose(StrEnum):
    """What a planner is asked for."""

    GOAL = "goal"
    """The session's plan."""
    DELEGATION = "delegation"
    """More tickets, in a person's words."""
    PROPOSALS = "proposals"
    """Whether tickets that agents proposed while they worked are to be built."""
    INTERFACES = "interfaces"
    """What tickets that share an interface must agree on before they start."""
    ANSWER = "answer"
    """The final answer for the person, from what landed."""


STOPS = frozenset({SessionStatus.DRAFT, SessionStatus.ACTIVE})
"""Where there is something to stop; elsewhere a session rests already, or waits for a person."""

S, T, A = SessionStatus, TicketStatus, AttemptStatus

SESSION_MOVES: dict[SessionStatus, frozenset[SessionStatus]] = {
    S.DRAFT: frozenset({S.ACTIVE, S.SUSPENDED, S.FINALIZED, S.CANCELLED}),
    S.ACTIVE: frozenset({S.AWAITING_REVIEW, S.SUSPENDED, S.FINALIZED, S.CANCELLED}),
    S.AWAITING_REVIEW: frozenset({S.ACTIVE, S.SUSPENDED, S.FINALIZED, S.CANCELLED}),
    S.SUSPENDED: frozenset({S.DRAFT, S.ACTIVE, S.AWAITING_REVIEW, S.FINALIZED, S.CANCELLED}),
    S.FINALIZED: frozenset(),
    S.CANCELLED: frozenset(),
}

TICKET_MOVES: dict[TicketStatus, frozenset[TicketStatus]] = {
    T.READY: frozenset({T.IN_PROGRESS, T.WAITING, T.COMPLETE, T.FAILED, T.ON_HOLD, T.CANCELLED}),
    T.IN_PROGRESS: frozenset({T.READY, T.WAITING, T.LANDING, T.COMPLETE, T.FAILED, T.ON_HOLD, T.CANCELLED}),
    T.WAITING: frozenset({T.READY, T.IN_PROGRESS, T.LANDING, T.ON_HOLD, T.CANCELLED}),
    T.LANDING: frozenset({T.COMPLETE, T.READY, T.WAITING, T.FAILED, T.ON_HOLD, T.CANCELLED}),
    T.COMPLETE: frozenset({T.READY}),
    T.FAILED: frozenset({T.READY, T.IN_PROGRESS, T.CANCELLED}),
    T.ON_HOLD: frozenset({T.READY, T.IN_PROGRESS, T.WAITING, T.LANDING, T.CANCELLED}),
    T.CANCELLED: frozenset(),
}

ATTEMPT_MOVES: dict[AttemptStatus, frozenset[AttemptStatus]] = {
    A.LEASED: frozenset({A.RUNNING, A.FAILED, A.TIMED_OUT, A.LOST, A.CANCELLED}),
    A.RUNNING: frozenset({A.GATING, A.SUCCEEDED, A.FAILED, A.TIMED_OUT, A.LOST, A.CANCELLED}),
    A.GATING: frozenset({A.SUCCEEDED, A.FAILED, A.TIMED_OUT, A.LOST, A.CANCELLED}),
    A.SUCCEEDED: frozenset(),
    A.FAILED: frozenset(),
    A.TIMED_OUT: frozenset(),
    A.LOST: frozenset(),
    A.CANCELLED: frozenset(),
}

LIVE_ATTEMPT = frozenset({A.LEASED, A.RUNNING, A.GATING})
FINAL_SESSION = frozenset({S.FINALIZED, S.CANCELLED})
SETTLED_TICKET = frozenset({T.COMPLETE, T.FAILED, T.CANCELLED})
"""Where a ticket rests until a person says otherwise."""
