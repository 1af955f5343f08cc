"""Which ticket next, and why: every measure between 0 and 1, weighed, and the weightiest told in words."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from codeswarm.triage.items import Item, Standing
from codeswarm.triage.measures import Measures, measure

WEIGHTS = {
    "road": 0.25,
    "unblocks": 0.20,
    "priority": 0.20,
    "pagerank": 0.10,
    "bottleneck": 0.10,
    "staleness": 0.10,
    "deadline": 0.05,
}
STALE_MS = 14 * 86_400_000
"""From then on a ticket that nobody touches is as stale as can be."""
SOON_MS = 7 * 86_400_000
TELLING = 0.03
"""A reason that adds less to the score is not told."""
MOST_REASONS = 3
MOST_BOTTLENECKS = 5
LOWEST = 4


@dataclass(frozen=True, slots=True)
class Ranked:
    item: Item
    score: float
    why: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Triage:
    items: list[Item]
    measures: Measures
    ranked: list[Ranked]
    """What can be begun now, best first."""
    now_ms: int


def triage(items: Sequence[Item], now_ms: int) -> Triage:
    measures = measure(items)
    startable = [item for item in items if item.standing is Standing.STARTABLE]
    most = _Most(measures)
    ranked = [_rank(item, measures, most, now_ms) for item in startable]
    # Ties go to the plan's order: sorting is stable.
    return Triage(list(items), measures, sorted(ranked, key=lambda one: -one.score), now_ms)


class _Most:
    """The largest value of each measure: what others are held against."""

    def __init__(self, measures: Measures) -> None:
        self.road_s = max(measures.road_s.values(), default=0.0)
        self.unblocks = max(measures.unblocks.values(), default=0)
        self.pagerank = max(measures.pagerank.values(), default=0.0)
        self.betweenness = max(measures.betweenness.values(), default=0.0)


def _rank(item: Item, measures: Measures, most: _Most, now_ms: int) -> Ranked:
    parts = _parts(item, measures, most, now_ms)
    weighed = {name: WEIGHTS[name] * value for name, value in parts.items()}
    order = sorted((name for name in weighed if weighed[name] >= TELLING), key=lambda name: -weighed[name])
    told = [words for name in order if (words := _words(name, item, measures, now_ms))]
    return Ranked(item, round(sum(weighed.values()), 4), tuple(told[:MOST_REASONS]))


def _parts(item: Item, measures: Measures, most: _Most, now_ms: int) -> dict[str, float]:
    """Each from 0 to 1. What can be begun has nothing before it, so nothing leads through it: what counts is the
    bottleneck that it opens.
    """
    still_ms = now_ms - item.since_ms if item.since_ms else 0
    left_ms = None if item.deadline_ms is None else item.deadline_ms - now_ms
    opened = max((measures.betweenness[id_] for id_ in measures.followers[item.id]), default=0.0)
    return {
        "road": _share(measures.road_s[item.id], most.road_s) if measures.unblocks[item.id] else 0.0,
        "unblocks": _share(measures.unblocks[item.id], most.unblocks),
        "priority": (LOWEST - item.priority) / LOWEST,
        "pagerank": _share(measures.pagerank[item.id], most.pagerank),
        "bottleneck": _share(opened, most.betweenness),
        "staleness": min(1.0, max(0.0, still_ms / STALE_MS)),
        "deadline": 0.0 if left_ms is None else min(1.0, max(0.0, 1 - left_ms / SOON_MS)),
    }


def _share(value: float, most: float) -> float:
    return value / most if most else 0.0


def _words(name: str, item: Item, measures: Measures, now_ms: int) -> str:
    """A reason for a person; empty where another one says it already."""
    match name:
        case "road":
            first = "the critical path" if measures.critical_path[:1] == [item.id] else "a road"
            return f"begins {first} of {_length(measures.road_s[item.id])}"
        case "unblocks":
            all_, direct = measures.unblocks[item.id], measures.direct[item.id]
            return "holds up one other" if all_ == 1 else f"holds up {all_} others, {direct} of them directly"
        case "priority" if item.priority <= 1:
            return f"priority {item.priority}"
        case "bottleneck":
            behind = max(measures.followers[item.id], key=lambda id_: measures.betweenness[id_])
            return f"opens {behind}, which much leads through"
        case "staleness":
            return f"untouched for {_length((now_ms - item.since_ms) / 1000)}"
        case "deadline":
            left_s = ((item.deadline_ms or 0) - now_ms) / 1000
            return f"due in {_length(left_s)}" if left_s > 0 else f"overdue by {_length(-left_s)}"
    return ""


def _length(seconds: float) -> str:
    for unit, size in (("days", 86_400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * size:
            return f"{round(seconds / size)} {unit}"
    return f"{round(seconds)} s"


# ── for programs ──


def document(found: Triage, limit: int) -> dict[str, Any]:
    """Everything, for programs: what to begin, the whole graph's figures, and every measure of every open ticket."""
    measures = found.measures
    return {
        "totals": _totals(found),
        "weights": WEIGHTS,
        "critical_path": measures.critical_path,
        "cycles": measures.cycles,
        "betweenness": {"exact": measures.sources == len(found.items), "sources": measures.sources},
        "next": [_told(one, measures, found.now_ms) for one in found.ranked[:limit]],
        "bottlenecks": list(bottlenecks(measures)),
        "tickets": [_figures(item, measures, found.now_ms) for item in found.items],
    }


def bottlenecks(measures: Measures) -> Iterator[dict[str, Any]]:
    order = sorted(measures.betweenness, key=lambda id_: -measures.betweenness[id_])
    for id_ in order[:MOST_BOTTLENECKS]:
        if measures.betweenness[id_] > 0:
            yield {"id": id_, "betweenness": measures.betweenness[id_], "unblocks": measures.unblocks[id_]}


def _totals(found: Triage) -> dict[str, Any]:
    counts: Mapping[str, int] = {
        str(standing): sum(item.standing is standing for item in found.items) for standing in Standing
    }
    road_s = found.measures.road_s
    return {
        "open": len(found.items),
        **counts,
        "in_cycles": sum(map(len, found.measures.cycles)),
        "work_s": round(sum(item.seconds for item in found.items), 3),
        "critical_path_s": round(max(road_s.values(), default=0.0), 3),
    }


def _told(one: Ranked, measures: Measures, now_ms: int) -> dict[str, Any]:
    return {"score": one.score, "why": list(one.why), **_figures(one.item, measures, now_ms)}


def _figures(item: Item, measures: Measures, now_ms: int) -> dict[str, Any]:
    return {
        "id": item.id,
        "title": item.title,
        "standing": str(item.standing),
        "priority": item.priority,
        "blocked_by": list(item.blocked_by),
        "estimate_s": item.seconds,
        "road_s": measures.road_s[item.id],
        "unblocks": measures.unblocks[item.id],
        "unblocks_directly": measures.direct[item.id],
        "pagerank": measures.pagerank[item.id],
        "betweenness": measures.betweenness[item.id],
        "stale_s": round((now_ms - item.since_ms) / 1000) if item.since_ms else None,
        "deadline_ms": item.deadline_ms,
    }
