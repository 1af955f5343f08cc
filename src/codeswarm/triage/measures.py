"""What the graph says of each ticket: how much lies behind it, how much leads through it, who waits for it.

Edges go from a ticket to what it waits for, so that rank flows to those who are waited for. Cycles are told, and cut
where a walk in the order of the plan closes them, for whatever needs a graph without any.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import rustworkx as rx

from codeswarm.domain.dag import critical_path, dependents_of, in_order, tails, without_cycles
from codeswarm.triage.items import Item

EXACT_WORK = 30_000_000
"""Betweenness is computed exactly up to so many steps (nodes times nodes and edges): about half a second."""
SAMPLED_STEPS = 250_000
"""Beyond that: from as many tickets, evenly spread, as can be walked from in so many steps."""
FEWEST_SOURCES = 8
WIDTH = 8192
"""Tickets whose followers are counted at once."""
DIGITS = 9
"""Sums of many floats differ in their last digits with the number of threads; the order of tickets must not."""

Edges = Mapping[str, Sequence[str]]


@dataclass(frozen=True, slots=True)
class Measures:
    """Each by ticket."""

    road_s: dict[str, float]
    """Seconds on the longest road from its start to the end of the plan."""
    unblocks: dict[str, int]
    """How many wait for it, at once or through others."""
    direct: dict[str, int]
    pagerank: dict[str, float]
    betweenness: dict[str, float]
    sources: int
    """How many tickets betweenness was computed from; all of them: it is exact."""
    critical_path: list[str]
    cycles: list[list[str]]
    followers: dict[str, list[str]] = field(default_factory=dict)


def measure(items: Sequence[Item]) -> Measures:
    known = {item.id for item in items}
    edges = {item.id: [id_ for id_ in item.blocked_by if id_ in known] for item in items}
    acyclic, _ = without_cycles(edges)
    seconds = {item.id: item.seconds for item in items}
    followers = dependents_of(edges)
    pagerank, betweenness, sources, cycles = _centrality(edges)
    return Measures(
        road_s=tails(acyclic, seconds),
        unblocks=_followers(acyclic),
        direct={id_: len(found) for id_, found in followers.items()},
        pagerank=pagerank,
        betweenness=betweenness,
        sources=sources,
        critical_path=critical_path(acyclic, seconds),
        cycles=cycles,
        followers=followers,
    )


def _followers(acyclic: Edges) -> dict[str, int]:
    """Ticket → how many wait for it, through however many others: sets as bits, some thousand tickets at a time."""
    dependents = dependents_of(acyclic)
    order = list(reversed(in_order(acyclic)))
    counts = dict.fromkeys(acyclic, 0)
    for start in range(0, len(order), WIDTH):
        bits = {id_: 1 << place for place, id_ in enumerate(order[start : start + WIDTH])}
        seen: dict[str, int] = {}
        for id_ in order:
            found = 0
            for dependent in dependents[id_]:
                found |= seen[dependent]
            counts[id_] += found.bit_count()
            seen[id_] = found | bits.get(id_, 0)
    return counts


def _centrality(edges: Edges) -> tuple[dict[str, float], dict[str, float], int, list[list[str]]]:
    """PageRank, betweenness, from how many tickets, and the knots of tickets that wait for each other."""
    ids = list(edges)
    if not ids:
        return {}, {}, 0, []
    place = {id_: number for number, id_ in enumerate(ids)}
    graph = rx.PyDiGraph(multigraph=False)
    graph.add_nodes_from(ids)
    graph.add_edges_from_no_data([(place[id_], place[to]) for id_, blockers in edges.items() for to in blockers])
    rank = rx.pagerank(graph)
    knots = [sorted(knot) for knot in rx.strongly_connected_components(graph) if len(knot) > 1]
    selves = [[number, number] for number, id_ in enumerate(ids) if id_ in edges[id_]]
    cycles = [[ids[n] for n in knot] for knot in sorted(knots + [[n] for n, _ in selves])]
    if len(ids) * (len(ids) + graph.num_edges()) <= EXACT_WORK:
        exact = rx.betweenness_centrality(graph)
        through, sources = {id_: exact[number] for number, id_ in enumerate(ids)}, len(ids)
    else:
        through, sources = sampled_betweenness(edges)
    return _rounded({id_: rank[n] for n, id_ in enumerate(ids)}), _rounded(through), sources, cycles


def _rounded(values: Mapping[str, float]) -> dict[str, float]:
    return {id_: round(value, DIGITS) for id_, value in values.items()}


def sampled_betweenness(edges: Edges) -> tuple[dict[str, float], int]:
    """Betweenness estimated from some tickets, evenly spread over the plan, and how many these were.

    After Brandes and Pich, Centrality Estimation in Large Networks, 2007; the library has it only from all of them.
    """
    ids = list(edges)
    place = {id_: number for number, id_ in enumerate(ids)}
    onward = [[place[to] for to in edges[id_]] for id_ in ids]
    sums = [0.0] * len(ids)
    walked = sources = 0
    # In the order of reversed binary digits every beginning of the list is spread evenly over the whole.
    width = max(1, (len(ids) - 1).bit_length())
    for number in (int(f"{n:0{width}b}"[::-1], 2) for n in range(1 << width)):
        if number >= len(ids):
            continue
        if sources >= FEWEST_SOURCES and walked >= SAMPLED_STEPS:
            break
        walked += _add_dependencies(number, onward, sums)
        sources += 1
    pairs = max(1, (len(ids) - 1) * (len(ids) - 2))
    return {id_: sums[n] * len(ids) / sources / pairs for n, id_ in enumerate(ids)}, sources


def _add_dependencies(source: int, onward: Sequence[Sequence[int]], sums: list[float]) -> int:
    """Add to each node its share of the shortest paths from `source`; how many edges were walked."""
    distance, paths = {source: 0}, {source: 1.0}
    order, before = [source], {source: list[int]()}
    walked = 0
    for node in order:
        for to in onward[node]:
            walked += 1
            if to not in distance:
                distance[to], paths[to], before[to] = distance[node] + 1, 0.0, []
                order.append(to)
            if distance[to] == distance[node] + 1:
                paths[to] += paths[node]
                before[to].append(node)
    share = dict.fromkeys(order, 0.0)
    for node in reversed(order):
        for earlier in before[node]:
            share[earlier] += paths[earlier] / paths[node] * (1 + share[node])
        if node != source:
            sums[node] += share[node]
    return walked
