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
    QUOTA_SPENT = "quota_spent"
    """Of an agent and its account, for a while: whoever works with it meanwhile meets the same."""
    BURST = "burst"
    """Too much at once."""
    AUTH_REFUSED = "auth_refused"
    """An account's login, until somebody has mended it."""
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
    RUNAWAY = "runaway"
    """An agent spends on until it is told that a cap is reached, or until its time is over."""
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
    ATTACH = "attach"
    """A ticket that rests is taken over by hand."""


LEAST_RATE = 0.07
MOST_RATE = 0.14


BYTES = 8
"""Of the number that a seed and a name fix."""
MOST: int = 256**BYTES


def unit(seed: int, name: str) -> float:
    """A number in [0, 1) fixed by its arguments."""
    return _as_unit(blake2b(f"{seed}|{name}".encode(), digest_size=BYTES).digest())


def _as_unit(number: bytes) -> float:
    return int.from_bytes(number, "big") / MOST


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
        self._begun = blake2b(f"{self.seed}|".encode(), digest_size=BYTES)
        span = MOST_RATE - LEAST_RATE
        self.rates = {fault: LEAST_RATE + span * self.draw(f"rate {fault}") ** 2 for fault in Fault}
        self._below = {fault: int(rate * MOST).to_bytes(BYTES, "big") for fault, rate in self.rates.items()}

    def _number(self, name: str) -> bytes:
        begun = self._begun.copy()  # in a third of the time that a new one takes
        begun.update(name.encode())
        return begun.digest()

    def strikes(self, fault: Fault, at_s: float, *where: object) -> bool:
        """Whether this chance for a fault is taken. `where` names the chance, once in a history."""
        if self.stopped:
            return False
        name = ":".join((fault, *map(str, where))) if len(where) != 1 else f"{fault}:{where[0]}"
        self.chances[fault] += 1
        hit = self._number(name) < self._below[fault] if self.only is None else name in self.only
        if hit:
            self.hits[fault] += 1
            self.struck.append(Strike(name, at_s))
        return hit

    def draw(self, *what: object) -> float:
        """A number in [0, 1) that the seed and `what` fix."""
        return _as_unit(self._number(":".join(map(str, what))))

    def between(self, low: float, high: float, *what: object) -> float:
        return low + (high - low) * self.draw(*what)

    def choose(self, choices: tuple[T, ...], *what: object) -> T:
        return choices[int(self.draw(*what) * len(choices))]
