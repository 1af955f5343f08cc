"""What goes wrong, and when: each chance for a fault has a name, and the seed and that name decide whether it strikes.

So a fault can be left out without moving any other, which is how a failing history is made smaller; and those that are
left can be named on a command line.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass, field
from enum import StrEnum
from hashlib import blake2b
from typing import TypeVar

T = TypeVar("T")


class Fault(StrEnum):
    """Every kind of thing that goes wrong, or that a person does in between."""

    # ── machines ──
    WORKER_CRASH = "worker_crash"
    """A worker process is killed within an attempt; its leases are given up at once, or run out."""
    SLOT_DIES = "slot_dies"
    ROUTER_CRASH = "router_crash"
    """The router is killed around a commit: what was not durable is gone."""
    DISK_FULL = "disk_full"
    CLOCK_FORWARD = "clock_forward"
    CLOCK_BACK = "clock_back"
    # ── messages ──
    LOST_REQUEST = "lost_request"
    LOST_ANSWER = "lost_answer"
    """It was taken; the worker does not know, and sends it again."""
    LATE = "late"
    DUPLICATED = "duplicated"
    REORDERED = "reordered"
    LEASE_EXPIRES = "lease_expires"
    """Heartbeats do not get through for longer than a term, and the worker goes on."""
    # ── agents and gates ──
    AGENT_FAILS = "agent_fails"
    """By one of the failure classes."""
    AGENT_SLOW = "agent_slow"
    """Beyond its time-out."""
    AGENT_HANGS = "agent_hangs"
    PHASE_GATE_RED = "phase_gate_red"
    LANDING_GATE_RED = "landing_gate_red"
    FULL_GATE_RED = "full_gate_red"
    BASE_GATE_RED = "base_gate_red"
    GATE_UNAVAILABLE = "gate_unavailable"
    CONFLICT = "conflict"
    BRANCH_MOVED = "branch_moved"
    SAVE_REFUSED = "save_refused"
    CHANGES_ASKED = "changes_asked"
    DISPUTE = "dispute"
    PROPOSAL = "proposal"
    COST_UNKNOWN = "cost_unknown"
    # ── persons ──
    APPROVAL_REJECTED = "approval_rejected"
    APPROVAL_IGNORED = "approval_ignored"
    APPROVAL_LATE = "approval_late"
    """Answered again when it is closed."""
    HOLD = "hold"
    ADD_TICKETS = "add_tickets"
    CANCEL_TICKET = "cancel_ticket"
    PAUSE = "pause"
    STOP = "stop"
    MESSAGE = "message"
    SAVE_ASKED = "save_asked"
    CANCEL_SESSION = "cancel_session"


LEAST_RATE = 0.055
MOST_RATE = 0.14


def unit(seed: int, name: str) -> float:
    """A number in [0, 1) fixed by its arguments."""
    digest = blake2b(f"{seed}|{name}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") / 2**64


@dataclass(frozen=True, slots=True)
class Strike:
    """A fault that struck."""

    name: str
    at_s: float


@dataclass
class Faults:
    """The dice of one history."""

    seed: int
    only: Collection[str] | None = None
    """Names of the faults that strike and no others; None: as the seed has it."""
    stopped: bool = False
    """From now on nothing goes wrong any more."""
    chances: Counter[str] = field(default_factory=Counter)
    hits: Counter[str] = field(default_factory=Counter)
    struck: list[Strike] = field(default_factory=list)
    rates: dict[Fault, float] = field(init=False)

    def __post_init__(self) -> None:
        span = MOST_RATE - LEAST_RATE
        self.rates = {fault: LEAST_RATE + span * unit(self.seed, f"rate {fault}") ** 2 for fault in Fault}

    def strikes(self, fault: Fault, at_s: float, *where: object) -> bool:
        """Whether this chance for a fault is taken. `where` names the chance, once in a history."""
        if self.stopped:
            return False
        name = ":".join((fault, *map(str, where)))
        self.chances[fault] += 1
        hit = unit(self.seed, name) < self.rates[fault] if self.only is None else name in self.only
        if hit:
            self.hits[fault] += 1
            self.struck.append(Strike(name, at_s))
        return hit

    def draw(self, *what: object) -> float:
        """A number in [0, 1) that the seed and `what` fix."""
        return unit(self.seed, ":".join(map(str, what)))

    def between(self, low: float, high: float, *what: object) -> float:
        return low + (high - low) * self.draw(*what)

    def choose(self, choices: tuple[T, ...], *what: object) -> T:
        return choices[int(self.draw(*what) * len(choices))]
