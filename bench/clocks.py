"""Two clocks: the one on the wall, and the processor time of this process, all of its threads together."""

from __future__ import annotations

import time

Moment = tuple[float, float]


def clocks() -> Moment:
    return time.perf_counter(), time.process_time()


def since(begun: Moment) -> tuple[float, float]:
    """Seconds of the wall clock and of the processor since then."""
    now = clocks()
    return now[0] - begun[0], now[1] - begun[1]


class Stopwatch:
    """Adds up what happens `with` it."""

    def __init__(self) -> None:
        self.told: Moment = (0.0, 0.0)
        self._begun = self.told

    def __enter__(self) -> None:
        self._begun = clocks()

    def __exit__(self, *error: object) -> None:
        took = since(self._begun)
        self.told = (self.told[0] + took[0], self.told[1] + took[1])
