"""The ticket graph: cycles, waves, and how long a road each ticket still opens.

Graphs are plain mappings `ticket id → ids of its blockers`; every function is linear in tickets plus edges and
needs no recursion, so that ten thousand tickets in one chain are fine.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from graphlib import CycleError, TopologicalSorter
from typing import TypeVar

Id = TypeVar("Id", bound=str)


def dependents_of(blockers: Mapping[Id, Iterable[Id]]) -> dict[Id, list[Id]]:
    """The edges turned round: ticket → the tickets that it blocks."""
    dependents: dict[Id, list[Id]] = {ticket: [] for ticket in blockers}
    for ticket, ids in blockers.items():
        for blocker in ids:
            dependents[blocker].append(ticket)
    return dependents


def find_cycle(blockers: Mapping[Id, Iterable[Id]]) -> list[Id] | None:
    """One cycle, as the list of tickets that each wait for the next (first = last), or None."""
    try:
        TopologicalSorter(blockers).prepare()
    except CycleError as error:
        # graphlib lists the cycle with each node preceding the next; we tell it as "waits for".
        cycle: Sequence[Id] = error.args[1]
        return list(reversed(cycle))
    return None


def find_cycles(blockers: Mapping[Id, Iterable[Id]], most: int) -> list[list[Id]]:
    """Cycles that have no ticket in common, at most `most` of them."""
    left = {ticket: list(ids) for ticket, ids in blockers.items()}
    found: list[list[Id]] = []
    while len(found) < most and (cycle := find_cycle(left)) is not None:
        found.append(cycle)
        gone = set(cycle)
        left = {ticket: [i for i in ids if i not in gone] for ticket, ids in left.items() if ticket not in gone}
    return found


def in_order(blockers: Mapping[Id, Iterable[Id]]) -> list[Id]:
    """All tickets, each after its blockers. Raises: graphlib.CycleError."""
    open_ = {ticket: len(list(ids)) for ticket, ids in blockers.items()}
    dependents = dependents_of(blockers)
    order = [ticket for ticket, blocked_by in open_.items() if not blocked_by]
    for ticket in order:  # it grows while it is read
        for next_ in dependents[ticket]:
            open_[next_] -= 1
            if not open_[next_]:
                order.append(next_)
    if len(order) < len(open_):
        TopologicalSorter(blockers).prepare()
    return order


def waves(blockers: Mapping[Id, Iterable[Id]]) -> list[list[Id]]:
    """Tickets by the length of their longest chain of blockers: a view, only edges block."""
    depth: dict[Id, int] = {}
    for ticket in in_order(blockers):
        depth[ticket] = 1 + max((depth[blocker] for blocker in blockers[ticket]), default=-1)
    result: list[list[Id]] = [[] for _ in range(max(depth.values(), default=-1) + 1)]
    for ticket in blockers:
        result[depth[ticket]].append(ticket)
    return result


def tails(blockers: Mapping[Id, Iterable[Id]], seconds: Mapping[Id, float]) -> dict[Id, float]:
    """Ticket → seconds on the longest road from its start to the end of the plan, itself included."""
    dependents = dependents_of(blockers)
    tail: dict[Id, float] = {}
    for ticket in reversed(in_order(blockers)):
        tail[ticket] = seconds[ticket] + max((tail[next_] for next_ in dependents[ticket]), default=0.0)
    return tail


def critical_path(blockers: Mapping[Id, Iterable[Id]], seconds: Mapping[Id, float]) -> list[Id]:
    """The longest chain by estimated seconds, first ticket first; ties go to the plan's order."""
    if not blockers:
        return []
    tail = tails(blockers, seconds)
    dependents = dependents_of(blockers)
    roots = [ticket for ticket, ids in blockers.items() if not list(ids)]
    path = [max(roots, key=lambda ticket: tail[ticket])]
    while dependents[path[-1]]:
        path.append(max(dependents[path[-1]], key=lambda ticket: tail[ticket]))
    return path


def ancestors(blockers: Mapping[Id, Iterable[Id]]) -> dict[Id, frozenset[Id]]:
    """Ticket → all that must be done before it, however far away. Raises: graphlib.CycleError."""
    found: dict[Id, frozenset[Id]] = {}
    for ticket in in_order(blockers):
        ids = blockers[ticket]
        found[ticket] = frozenset(ids).union(*(found[blocker] for blocker in ids))
    return found


def without_cycles(blockers: Mapping[Id, Iterable[Id]]) -> tuple[dict[Id, list[Id]], list[tuple[Id, Id]]]:
    """The graph without the edges that close a cycle, as a walk in the given order meets them; and these edges."""
    kept: dict[Id, list[Id]] = {ticket: [] for ticket in blockers}
    dropped: list[tuple[Id, Id]] = []
    on_path: set[Id] = set()
    done: set[Id] = set()
    for start in blockers:
        path = [] if start in done else [(start, iter(blockers[start]))]
        on_path.update(ticket for ticket, _ in path)
        while path:
            ticket, rest = path[-1]
            blocker = next(rest, None)
            if blocker is None:
                path.pop()
                on_path.discard(ticket)
                done.add(ticket)
            elif blocker in on_path:
                dropped.append((ticket, blocker))
            else:
                kept[ticket].append(blocker)
                if blocker not in done:
                    on_path.add(blocker)
                    path.append((blocker, iter(blockers[blocker])))
    return kept, dropped
