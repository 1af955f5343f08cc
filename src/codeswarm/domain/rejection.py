"""A refused command is a value: what was refused, why, and what to do."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Refusal(StrEnum):
    """Kinds of refusals; the edge maps each once to an exit code and an HTTP status."""

    UNKNOWN = "unknown"
    """The thing named does not exist."""
    STALE = "stale"
    """The lease's epoch, or the commit expected, is no longer the current one."""
    WRONG_STATE = "wrong_state"
    """It exists, but not in a state in which this can be done."""
    INVALID = "invalid"
    """The command itself makes no sense."""


@dataclass(frozen=True, slots=True)
class Rejection:
    refusal: Refusal
    reason: str
    hint: str = ""


def unknown(what: str, hint: str = "") -> Rejection:
    return Rejection(refusal=Refusal.UNKNOWN, reason=what, hint=hint)


def stale(what: str, hint: str = "") -> Rejection:
    return Rejection(refusal=Refusal.STALE, reason=what, hint=hint)


def wrong_state(what: str, hint: str = "") -> Rejection:
    return Rejection(refusal=Refusal.WRONG_STATE, reason=what, hint=hint)


def invalid(what: str, hint: str = "") -> Rejection:
    return Rejection(refusal=Refusal.INVALID, reason=what, hint=hint)
