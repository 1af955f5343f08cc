"""A refused command is a value: what was refused, why, and what to do."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
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
    """`reason` says what can't be done; `why`, what stands behind that; `hint` is a command. None is left out."""

    refusal: Refusal
    reason: str
    hint: str
    why: str


def unknown(what: str, hint: str, why: str) -> Rejection:
    return Rejection(refusal=Refusal.UNKNOWN, reason=what, hint=hint, why=why)


def stale(what: str, hint: str, why: str) -> Rejection:
    return Rejection(refusal=Refusal.STALE, reason=what, hint=hint, why=why)


def wrong_state(what: str, hint: str, why: str) -> Rejection:
    return Rejection(refusal=Refusal.WRONG_STATE, reason=what, hint=hint, why=why)


def invalid(what: str, hint: str, why: str) -> Rejection:
    return Rejection(refusal=Refusal.INVALID, reason=what, hint=hint, why=why)


def no_session_yet() -> Rejection:
    return unknown(
        "there is no session here yet", "codeswarm run 'WHAT YOU WANT'", "nothing was begun in this repository"
    )


def closest(wanted: str, known: Iterable[str], otherwise: str) -> str:
    """What may have been meant, for a command that is offered; `otherwise` where nothing is near."""
    return next(iter(difflib.get_close_matches(wanted, list(known), n=1, cutoff=0.4)), otherwise)


MOST_NAMED = 5


def known_names(wanted: str, known: Iterable[str]) -> str:
    """Why a name means nothing: the one that may have been meant, else those that there are."""
    names = list(known)
    if close := difflib.get_close_matches(wanted, names, n=1):
        return f"did you mean {close[0]!r}?"
    more = f" and {len(names) - MOST_NAMED} more" if len(names) > MOST_NAMED else ""
    return f"there are {', '.join(names[:MOST_NAMED])}{more}" if names else "there is none at all yet"
