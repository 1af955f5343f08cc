"""The time chart as geometry: bars in lanes, and a time axis that folds long pauses.

A lane is what one slot did, as far as can be told: a bar goes into the first lane that is free. So a chart has as many
lanes as things ran at once, whether there are ten tickets or a thousand.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from codeswarm.report.document import Bar

LONG_PAUSE = 0.08
"""A stretch in which nothing runs is folded where it is longer than this part of all that does."""
SHORTEST_FOLD_MS = 60_000
FOLDED = 0.03
"""The width that a folded pause keeps, as a part of the whole."""
MOST_FOLDS = 8


def lanes(bars: Iterable[Bar]) -> list[list[Bar]]:
    """Bars, oldest first, each in the first lane where the one before has ended."""
    found: list[list[Bar]] = []
    for bar in bars:
        free = next((lane for lane in found if lane[-1].to_ms <= bar.from_ms), None)
        if free is None:
            found.append([bar])
        else:
            free.append(bar)
    return found


@dataclass(frozen=True, slots=True)
class Fold:
    """A pause that is drawn narrower than it was: from where to where, in ms."""

    from_ms: int
    to_ms: int


@dataclass(frozen=True, slots=True)
class Scale:
    """Moment → place from 0 to 1. Monotonic; pieces between `stops` are straight."""

    stops: tuple[int, ...]
    places: tuple[float, ...]
    folds: tuple[Fold, ...] = ()

    def at(self, moment_ms: int) -> float:
        moment = min(max(moment_ms, self.stops[0]), self.stops[-1])
        right = min(bisect_right(self.stops, moment), len(self.stops) - 1)
        left = right - 1
        width = self.stops[right] - self.stops[left]
        part = (moment - self.stops[left]) / width if width else 0.0
        return self.places[left] + part * (self.places[right] - self.places[left])


def scale_of(bars: Sequence[Bar], from_ms: int, to_ms: int) -> Scale:
    """The axis of a chart from one moment to another, with the longest pauses of `bars` folded."""
    to_ms = max(to_ms, from_ms + 1)
    pauses = _pauses(bars, from_ms, to_ms)
    idle = sum(pause.to_ms - pause.from_ms for pause in pauses)
    least = max(LONG_PAUSE * (to_ms - from_ms - idle), SHORTEST_FOLD_MS)
    long = sorted((p for p in pauses if p.to_ms - p.from_ms > least), key=lambda p: p.from_ms - p.to_ms)[:MOST_FOLDS]
    folds = tuple(sorted(long, key=lambda pause: pause.from_ms))
    straight = to_ms - from_ms - sum(fold.to_ms - fold.from_ms for fold in folds)
    per_ms = (1 - FOLDED * len(folds)) / max(straight, 1)
    stops, places = [from_ms], [0.0]
    for fold in folds:
        if fold.from_ms > stops[-1]:
            places.append(places[-1] + (fold.from_ms - stops[-1]) * per_ms)
            stops.append(fold.from_ms)
        places.append(places[-1] + FOLDED)
        stops.append(fold.to_ms)
    if stops[-1] < to_ms:
        stops.append(to_ms)
        places.append(1.0)
    return Scale(tuple(stops), tuple(place / places[-1] for place in places), folds)


def _pauses(bars: Sequence[Bar], from_ms: int, to_ms: int) -> list[Fold]:
    """Stretches in which nothing ran."""
    found, busy_until = [], from_ms
    for bar in sorted(bars, key=lambda bar: bar.from_ms):
        if bar.from_ms > busy_until:
            found.append(Fold(busy_until, min(bar.from_ms, to_ms)))
        busy_until = max(busy_until, bar.to_ms)
    if busy_until < to_ms:
        found.append(Fold(busy_until, to_ms))
    return found


def ticks(scale: Scale, most: int) -> list[int]:
    """Round moments for the axis, about `most` of them, none within a fold."""
    from_ms, to_ms = scale.stops[0], scale.stops[-1]
    straight = to_ms - from_ms - sum(fold.to_ms - fold.from_ms for fold in scale.folds)
    step = next((s for s in _STEPS if straight / (s * 1000) <= most), _STEPS[-1] * 2) * 1000
    step = max(step, (to_ms - from_ms) // 2_000 // 1000 * 1000)
    first = from_ms // step * step + step
    candidates = range(first, to_ms, step)
    return [t for t in candidates if not any(fold.from_ms <= t <= fold.to_ms for fold in scale.folds)][: most * 2]


_STEPS = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 43200, 86400)
"""Seconds between two ticks."""
