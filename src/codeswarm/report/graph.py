"""The plan as a picture: tickets in columns by wave, edges between them, laid out so that few edges cross.

A small layered drawing, as Sugiyama's: an edge over several waves passes through a place of its own in each of them, so
it never runs through another ticket; and a few sweeps put each ticket near its neighbours.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

SWEEPS = 6
THIN = 0.3
"""The height of a place that only an edge passes through; a ticket's is 1."""
MOST_PASSING = 20_000
"""Places that edges pass through; where there would be more, long edges run straight."""
_Node = tuple[str, int]
"""(ticket, 0), or (the edge's number, its wave) for a place that an edge passes through."""


@dataclass(frozen=True, slots=True)
class Edge:
    """From a blocker to what it blocks, over the places (column, row) in between, both ends included."""

    blocker: str
    ticket: str
    places: tuple[tuple[int, float], ...]


@dataclass(frozen=True, slots=True)
class Layout:
    """Where everything stands: columns and rows as numbers, the drawer gives them a size."""

    places: dict[str, tuple[int, float]]
    """Ticket → (column, middle of its row)."""
    edges: tuple[Edge, ...]
    columns: int
    rows: float


def lay_out(waves: Mapping[str, int], blocked_by: Mapping[str, Sequence[str]]) -> Layout:
    """Lay out tickets. `waves`: ticket → its column; blockers that are not in it are left out."""
    roads = [
        (blocker, ticket)
        for ticket, blockers in blocked_by.items()
        for blocker in dict.fromkeys(blockers)
        if blocker in waves and ticket in waves and waves[blocker] < waves[ticket]
    ]
    columns: list[list[_Node]] = [[] for _ in range(max(waves.values(), default=-1) + 1)]
    for ticket, wave in waves.items():
        columns[wave].append((ticket, 0))
    crowded = sum(waves[ticket] - waves[blocker] - 1 for blocker, ticket in roads) > MOST_PASSING
    chains = [_chain(number, road, waves, [] if crowded else columns) for number, road in enumerate(roads)]
    _untangle(columns, chains)
    height = max((sum(map(_height, column)) for column in columns), default=0.0)
    place: dict[_Node, tuple[int, float]] = {}
    for x, column in enumerate(columns):
        y = (height - sum(map(_height, column))) / 2
        for node in column:
            place[node] = (x, y + _height(node) / 2)
            y += _height(node)
    return Layout(
        places={ticket: place[ticket, 0] for ticket in waves},
        edges=tuple(Edge(*road, tuple(place[n] for n in chain)) for road, chain in zip(roads, chains, strict=True)),
        columns=len(columns),
        rows=height,
    )


def _height(node: _Node) -> float:
    return THIN if node[1] else 1.0


def _chain(number: int, road: tuple[str, str], waves: Mapping[str, int], columns: list[list[_Node]]) -> list[_Node]:
    """The nodes that an edge goes through; those in between are made."""
    blocker, ticket = road
    between = [(str(number), wave) for wave in range(waves[blocker] + 1, waves[ticket])] if columns else []
    for node in between:
        columns[node[1]].append(node)
    return [(blocker, 0), *between, (ticket, 0)]


def _untangle(columns: list[list[_Node]], chains: list[list[_Node]]) -> None:
    """Order each column by where the neighbours of its nodes stand, sweeping to and fro."""
    before: dict[_Node, list[_Node]] = {}
    behind: dict[_Node, list[_Node]] = {}
    for chain in chains:
        for left, right in pairwise(chain):
            before.setdefault(right, []).append(left)
            behind.setdefault(left, []).append(right)
    for sweep in range(SWEEPS):
        forward = sweep % 2 == 0
        order = range(1, len(columns)) if forward else range(len(columns) - 2, -1, -1)
        for x in order:
            _sort(columns[x], columns[x - 1 if forward else x + 1], before if forward else behind)


def _sort(column: list[_Node], fixed: list[_Node], neighbours: Mapping[_Node, list[_Node]]) -> None:
    """By the mean place of each node's neighbours in the fixed column; a node without any stays where it is."""
    rank = {node: place / max(len(fixed) - 1, 1) for place, node in enumerate(fixed)}
    own = {node: place / max(len(column) - 1, 1) for place, node in enumerate(column)}

    def wanted(node: _Node) -> float:
        near = [rank[other] for other in neighbours.get(node, ()) if other in rank]
        return sum(near) / len(near) if near else own[node]

    column.sort(key=wanted)
