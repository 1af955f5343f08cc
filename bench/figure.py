"""A figure: what was measured, of ours and of a peer in the same run, and the bar that it is held to."""

from __future__ import annotations

from dataclasses import dataclass
from statistics import median
from typing import Literal


@dataclass(frozen=True, slots=True)
class Scale:
    """How much of everything. The whole of it is what the bars are stated for."""

    runs: int = 5
    long_runs: int = 2
    """Of rows that take half a minute each, with their peers."""
    pairs: int = 5_000
    claimers: int = 100
    tickets: int = 10_000
    few_tickets: int = 100
    events: int = 100_000
    files: int = 20_000
    swarms: int = 200
    agents: int = 50

    @property
    def whole(self) -> bool:
        return self == Scale()


TINY = Scale(
    runs=1,
    long_runs=1,
    pairs=60,
    claimers=10,
    tickets=60,
    few_tickets=20,
    events=300,
    files=40,
    swarms=3,
    agents=3,
)
"""A taste of each row, in seconds: for tests."""


@dataclass(frozen=True, slots=True)
class Figure:
    """One row of the table. `ours` and `peers` hold one value a run; those of one run stand at the same place."""

    name: str
    unit: str
    better: Literal["more", "less"]
    ours: tuple[float, ...]
    bar: float | None = None
    """What our median must reach, in `unit`."""
    peer: str = ""
    peers: tuple[float, ...] = ()
    ratio_bar: float | None = None
    """How many times better than the peer the median of the runs' ratios must be."""
    note: str = ""
    processor: tuple[float, ...] = ()
    """Ours again, counted in processor time, which the load of neighbours does not stretch."""

    @property
    def median(self) -> float:
        return median(self.ours)

    @property
    def best(self) -> float:
        return max(self.ours) if self.better == "more" else min(self.ours)

    @property
    def worst(self) -> float:
        return min(self.ours) if self.better == "more" else max(self.ours)

    @property
    def ratio(self) -> float | None:
        """How many times better than the peer we are: the median of what each run says by itself."""
        if not self.peers:
            return None
        pairs = zip(self.ours, self.peers, strict=True)
        return median(one / other if self.better == "more" else other / one for one, other in pairs)

    @property
    def met(self) -> bool | None:
        """Whether all of its bars are met; None where it has none, or the peer that it needs is missing."""
        if self.ratio_bar is not None and self.ratio is None:
            return None
        held = []
        if self.bar is not None:
            held.append(self.median >= self.bar if self.better == "more" else self.median <= self.bar)
        if self.ratio_bar is not None and self.ratio is not None:
            held.append(self.ratio >= self.ratio_bar)
        return all(held) if held else None


@dataclass(frozen=True, slots=True)
class Missing:
    """A row that could not be measured here, and why."""

    name: str
    why: str
