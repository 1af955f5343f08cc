"""Time in which a process could run, and nothing else: what leases and time-outs are measured in.

A machine that sleeps stops the monotonic clock, and only the boot clock tells of it. A process that is stopped (Ctrl+Z,
SIGSTOP, a paused virtual machine) finds that the monotonic clock went on without it: whatever was due meanwhile would
seem overdue, though nobody could have done anything about it. On an `AwakeClock` neither counts.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from codeswarm.clock import Clock

TICK_S = 1.0
"""It looks at the time so often: what a look comes later than that, it was kept from it."""
SLACK_S = 1.0
"""So late a look may come on a busy machine without anything having been wrong."""
LEAST_S = 10.0
"""A shorter absence is not worth a word; nothing outside ends because of it."""
KEPT = 20


class BootClock(Clock, Protocol):
    def boottime(self) -> float:
        """Seconds that only grow, and go on while the machine sleeps."""
        ...


@dataclass(frozen=True, slots=True)
class Absence:
    """A time in which this process could not run."""

    seconds: float
    asleep: bool
    """The whole machine slept; else this process alone was stopped."""
    ended: float
    """When it could run again, on the clock that does not count it."""

    def __str__(self) -> str:
        who = "the machine slept" if self.asleep else "the process was stopped"
        return f"{who} for {spoken(self.seconds)}"


class AwakeClock:
    """Wraps a clock. `keep` must run beside everything that uses it: who looks seldom seems to have been away."""

    def __init__(self, clock: BootClock) -> None:
        self._clock = clock
        self._awake = 0.0
        self._seen, self._boot = clock.monotonic(), clock.boottime()
        self._kept = False
        self._absences: deque[Absence] = deque(maxlen=KEPT)
        self._untold: list[Absence] = []
        self._observers: list[Callable[[Absence], None]] = []

    def now_ms(self) -> int:
        return self._clock.now_ms()

    def monotonic(self) -> float:
        self._look()
        return self._awake

    async def sleep(self, seconds: float) -> None:
        """So long, absences left out."""
        until = self.monotonic() + seconds
        await self._clock.sleep(seconds)
        while (left := until - self.monotonic()) > 0:
            await self._clock.sleep(left)

    def observe(self, observer: Callable[[Absence], None]) -> None:
        """Call `observer` after each absence that is worth a word."""
        self._observers.append(observer)

    def away_since(self, moment: float) -> Absence | None:
        """The longest absence that ended after a moment of this clock."""
        found = [absence for absence in self._absences if absence.ended >= moment]
        return max(found, key=lambda absence: absence.seconds, default=None)

    async def keep(self) -> None:
        """Look at the time again and again. Until cancelled."""
        self._look()
        self._kept = True
        while True:
            await self._clock.sleep(TICK_S)
            self._look()
            untold, self._untold = self._untold, []
            for absence in untold:
                for tell in self._observers:
                    tell(absence)

    def _look(self) -> None:
        now, boot = self._clock.monotonic(), self._clock.boottime()
        ran, passed = now - self._seen, boot - self._boot
        self._seen, self._boot = now, boot
        stopped = ran - TICK_S if self._kept and ran > TICK_S + SLACK_S else 0.0
        self._awake += ran - stopped
        asleep = passed - ran
        if asleep >= LEAST_S or stopped >= LEAST_S:
            absence = Absence(max(asleep, 0.0) + stopped, asleep >= LEAST_S, self._awake)
            self._absences.append(absence)
            self._untold.append(absence)


def spoken(seconds: float) -> str:
    """`40 s`, `12 min`, `3 h 12 min`."""
    if seconds < 59.5:
        return f"{round(seconds)} s"
    hours, minutes = divmod(round(seconds / 60), 60)
    return f"{hours} h {minutes:02d} min" if hours else f"{minutes} min"
