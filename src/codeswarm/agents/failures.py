"""Failure classes by table: an adapter says what it saw at the end of a turn, and the first row that fits names it.

A table is data, one per adapter, in the order in which it is read. Words stand before statuses in it, since one status
may mean several things: HTTP 429 is a burst or a spent quota.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from codeswarm.domain.results import FailureClass


@dataclass(frozen=True, slots=True)
class Sign:
    """What was seen at a bad end."""

    text: str = ""
    """What it said, in any case of letters."""
    status: int | None = None
    """The HTTP status that it tells of."""
    kinds: frozenset[str] = frozenset()
    """The wire's and the CLI's own names of the error."""


@dataclass(frozen=True, slots=True)
class Row:
    """A class, and what tells of it: any of these words, statuses or kinds."""

    failure_class: FailureClass
    words: tuple[str, ...] = ()
    """In small letters."""
    statuses: tuple[int, ...] = ()
    kinds: tuple[str, ...] = ()

    def fits(self, sign: Sign) -> bool:
        said = sign.text.lower()
        by_name = not sign.kinds.isdisjoint(self.kinds)
        return by_name or sign.status in self.statuses or any(word in said for word in self.words)


Table = Sequence[Row]

BY_STATUS: tuple[Row, ...] = (
    Row(FailureClass.QUOTA, statuses=(402,)),
    Row(FailureClass.AUTH, statuses=(401, 403, 451)),
    Row(FailureClass.UNKNOWN_MODEL, statuses=(404,)),
    Row(FailureClass.CONTEXT_OVERFLOW, statuses=(413,)),
    Row(FailureClass.RATE_LIMITED, statuses=(429,)),
    Row(FailureClass.OVERLOADED, statuses=(408, 425, *range(500, 600))),
)
"""What statuses mean where no word says more: the end of most tables. Above 511 they are those of gateways.

Where a provider may not serve (451), a person must choose another: it is told as a login that is refused.
"""


def classify(sign: Sign, table: Table) -> FailureClass:
    """The class of the first row that fits; what nobody can name is a crash."""
    return next((row.failure_class for row in table if row.fits(sign)), FailureClass.CRASHED)
