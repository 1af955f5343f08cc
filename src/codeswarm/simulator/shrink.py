"""A failing history made small: faults, tickets and events are left out for as long as it still fails.

Since each fault's name alone decides whether it strikes, leaving one out moves no other. What remains is played again
from the same seed by naming it.
"""

from __future__ import annotations

import shlex
from collections.abc import Callable, Sequence
from dataclasses import replace

from codeswarm.simulator.world import START_MS, History, Order, simulate

MOST_PLAYS = 200
"""Histories that are played to shrink one: a bound on the time it takes, not on what is told."""
BEYOND = 100
"""So many events later than the failure may come without some of its faults."""
SHOWN = 40
"""Events at the end of a history that are printed."""


def shrink(failed: History, play: Callable[[Order], History] = simulate) -> History:
    """A smaller history that breaks the same kind of promise; the given one where none does."""
    return _Shrinking(failed, play).run()


class _Shrinking:
    def __init__(self, failed: History, play: Callable[[Order], History]) -> None:
        self._best = failed
        self._kind = _kind_of(failed.problem)
        self._play = play
        self._plays = 0
        self._early = failed.events < failed.order.events
        """It failed while faults struck; else what fails is the coming to rest, and that is waited for."""

    def run(self) -> History:
        names = [strike.name for strike in self._best.struck]
        if not self._try(replace(self._best.order, only=frozenset(names), events=max(self._best.events, 1))):
            self._try(replace(self._best.order, only=frozenset(names)))
        self._fewer_sessions_and_tickets()
        self._fewer_faults()
        self._fewer_sessions_and_tickets()
        return self._best

    def _try(self, order: Order) -> bool:
        """Whether a history fails as the first one did; then it is the best so far."""
        if self._plays >= MOST_PLAYS:
            return False
        self._plays += 1
        history = self._play(replace(order, most_events=2 * self._best.events + BEYOND if self._early else None))
        if _kind_of(history.problem) != self._kind:
            return False
        order = replace(order, only=frozenset(strike.name for strike in history.struck))
        self._best = replace(history, order=order)
        return True

    def _fewer_sessions_and_tickets(self) -> None:
        self._try(replace(self._best.order, sessions=1))
        for most in range(1, self._best.order.most_tickets):
            if self._try(replace(self._best.order, most_tickets=most)):
                break
        while (events := self._best.order.events) > 1 and self._try(replace(self._best.order, events=events // 2)):
            pass

    def _fewer_faults(self) -> None:
        """Delta debugging: leave out halves, quarters … and at last each fault by itself."""
        parts = 2
        while (names := sorted(self._best.order.only or ())) and self._plays < MOST_PLAYS:
            pieces = _split(names, min(parts, len(names)))
            order = self._best.order
            if any(self._try(replace(order, only=frozenset(names) - frozenset(piece))) for piece in pieces):
                parts = max(parts - 1, 2)
            elif parts >= len(names):
                return
            else:
                parts = min(2 * parts, len(names))


def _split(names: Sequence[str], parts: int) -> list[Sequence[str]]:
    size = -(-len(names) // parts)
    return [names[at : at + size] for at in range(0, len(names), size)]


def _kind_of(problem: str) -> str:
    """What sort of promise was broken: its words without names and numbers."""
    return " ".join(word for word in problem.split() if word.isalpha())


def replay_command(order: Order) -> str:
    """What to type to play a history again."""
    words = ["python", "-m", "codeswarm.simulator", "--seed", str(order.seed), "--events", str(order.events)]
    if order.sessions is not None:
        words += ["--sessions", str(order.sessions)]
    words += ["--tickets", str(order.most_tickets)]
    if order.only is not None:
        words += ["--only", ",".join(sorted(order.only))]
    return shlex.join(words)


def told(history: History, shown: int = SHOWN) -> str:
    """A failing history for a person: what broke, what went wrong before, the last events, how to play it again."""
    faults = [f"  {strike.at_s:10.1f} s  {strike.name}" for strike in history.struck]
    log = [
        f"  {record.seq:5} {(record.at_ms - START_MS) / 1000:10.1f} s  {record.session}  {_line(record.event)}"
        for record in history.log[-shown:]
    ]
    return "\n".join(
        [
            f"seed {history.order.seed} breaks a promise: {history.problem}",
            f"faults ({len(faults)}):",
            *faults,
            f"the last {len(log)} of {history.events} events:",
            *log,
            f"log hash: {history.log_hash}",
            f"again: {replay_command(history.order)}",
        ]
    )


_TOLD = ("ticket", "gate", "epoch", "phase", "landing", "approval", "purpose", "reason", "by", "conflicts", "charged")


def _line(event: object) -> str:
    parts = [type(event).__name__]
    for name in _TOLD:
        value = getattr(event, name, None)
        if value not in (None, "", (), False):
            parts.append(f"{name}={value}")
    return " ".join(parts)
