"""Which ticket next: a queue of ready tickets by a static key, and a finer look at the best few.

The key never changes while a ticket waits (priority, deadline, length of the road behind it, since when it is
ready), so that age grows by itself and nothing is re-sorted. Only the best `LOOK` by key are compared by what
changes with every lease: predicted overlap with work in progress, and where the ticket was worked on before.
"""

from __future__ import annotations

import math
from bisect import bisect_left, insort
from collections.abc import Iterator
from dataclasses import dataclass, field
from heapq import merge

from codeswarm.domain.ids import TicketId
from codeswarm.domain.pipeline import Role

LOOK = 32
FOR_EVER = 2**62
"""Later than any moment: what backs off is due by then, too."""

Key = tuple[int, float, float, int, int]
"""(priority, deadline or inf, −road in seconds, ready since in ms, place in the plan); smaller is better."""

Lane = tuple[Role, frozenset[str]]
"""Tickets that the same workers can take: the next phase's role, and the labels required."""


def score_key(priority: int, deadline_ms: int | None, road_s: float, ready_ms: int, place: int) -> Key:
    return (priority, math.inf if deadline_ms is None else deadline_ms, -road_s, ready_ms, place)


@dataclass(slots=True)
class _LaneQueue:
    due: list[tuple[Key, TicketId]] = field(default_factory=list)
    later: list[tuple[int, Key, TicketId]] = field(default_factory=list)
    """Backing off: (not before, key, ticket)."""


@dataclass(slots=True)
class ReadyQueue:
    """Ready tickets by lane, best first. Insertion and removal are a bisection and a shift of pointers."""

    lanes: dict[Lane, _LaneQueue] = field(default_factory=dict)
    known: set[TicketId] = field(default_factory=set)
    """Those of them that somebody has worked on before."""
    _where: dict[TicketId, tuple[Lane, Key, int]] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self._where)

    def __contains__(self, ticket: TicketId) -> bool:
        return ticket in self._where

    def add(self, ticket: TicketId, lane: Lane, key: Key, not_before_ms: int, *, known: bool = False) -> None:
        """Add a ticket that is not in the queue. `not_before_ms` = 0: at once."""
        queue = self.lanes.setdefault(lane, _LaneQueue())
        if not_before_ms:
            insort(queue.later, (not_before_ms, key, ticket))
        else:
            insort(queue.due, (key, ticket))
        self._where[ticket] = (lane, key, not_before_ms)
        if known:
            self.known.add(ticket)

    def discard(self, ticket: TicketId) -> None:
        """Remove a ticket; one that is not here is no error."""
        place = self._where.pop(ticket, None)
        if place is None:
            return
        self.known.discard(ticket)
        lane, key, not_before_ms = place
        queue = self.lanes[lane]
        if not_before_ms:
            del queue.later[bisect_left(queue.later, (not_before_ms, key, ticket))]
        else:
            del queue.due[bisect_left(queue.due, (key, ticket))]
        if not queue.due and not queue.later:
            del self.lanes[lane]

    def best(self, now_ms: int, roles: frozenset[Role], labels: frozenset[str] | None) -> Iterator[TicketId]:
        """Tickets that may be claimed now, best key first. `labels` None: any ticket, whatever it requires."""
        streams = []
        for (role, requires), queue in self.lanes.items():
            if role in roles and (labels is None or requires <= labels):
                streams.append(queue.due)
                if queue.later and (due := _now_due(queue, now_ms)):
                    streams.append(due)
        only = streams[0] if len(streams) == 1 else merge(*streams)
        return (ticket for _, ticket in only)

    def roles(self) -> set[Role]:
        """Those of the next phases of all that are here."""
        return {role for role, _ in self.lanes}

    def of_role(self, role: Role) -> list[TicketId]:
        """All tickets whose next phase has this role, those that back off included."""
        queues = [queue for (of, _), queue in self.lanes.items() if of is role]
        return [
            id_ for queue in queues for id_ in (*(due[-1] for due in queue.due), *(later[-1] for later in queue.later))
        ]

    def next_due_ms(self, now_ms: int) -> int | None:
        """When the next ticket that still backs off becomes claimable."""
        still = (queue.later[bisect_left(queue.later, (now_ms + 1,)) :] for queue in self.lanes.values())
        return min((later[0][0] for later in still if later), default=None)


def _now_due(queue: _LaneQueue, now_ms: int) -> list[tuple[Key, TicketId]]:
    end = bisect_left(queue.later, (now_ms + 1,))
    return sorted((key, ticket) for _, key, ticket in queue.later[:end])


def may_overlap(one: tuple[str, ...], other: tuple[str, ...]) -> bool:
    """Whether two sets of predicted globs could name one file, judged by their fixed beginnings."""
    return any(_prefix_overlap(a, b) for a in one for b in other)


def _prefix_overlap(a: str, b: str) -> bool:
    fixed_a, fixed_b = _fixed(a), _fixed(b)
    if fixed_a == a and fixed_b == b:
        return a == b
    return fixed_a.startswith(fixed_b) or fixed_b.startswith(fixed_a)


def _fixed(glob: str) -> str:
    for place, char in enumerate(glob):
        if char in "*?[":
            return glob[:place]
    return glob
