"""`python -m codeswarm.simulator`: play histories with faults and say which promise breaks first, if any.

python -m codeswarm.simulator --seeds 1000 --jobs 2
python -m codeswarm.simulator --seed 17
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field

from codeswarm.simulator.faults import Fault
from codeswarm.simulator.shrink import replay_command, shrink, told
from codeswarm.simulator.world import MOST_TICKETS, History, Order, simulate


@dataclass
class Tally:
    """What many histories came to."""

    seeds: int = 0
    events: int = 0
    least: int = 0
    """Events of the shortest history."""
    chances: Counter[str] = field(default_factory=Counter)
    hits: Counter[str] = field(default_factory=Counter)
    kinds: Counter[str] = field(default_factory=Counter)
    classes: set[str] = field(default_factory=set)
    failed: list[History] = field(default_factory=list)

    def add(self, history: History) -> None:
        self.seeds += 1
        self.events += history.events
        self.least = history.events if self.seeds == 1 else min(self.least, history.events)
        self.chances += history.chances
        self.hits += history.hits
        self.kinds += history.kinds
        self.classes |= history.classes
        if history.problem:
            self.failed.append(history)

    def table(self) -> str:
        rows = [f"{'fault':20} {'chances':>9} {'struck':>9} {'share':>7}"]
        for fault in Fault:
            chances, hits = self.chances[fault], self.hits[fault]
            rows.append(f"{fault:20} {chances:9} {hits:9} {hits / chances if chances else 0:7.1%}")
        return "\n".join(rows)


def brief(order: Order) -> History:
    """Play a history and keep only what a tally needs: logs are long."""
    history = simulate(order)
    if not history.problem:
        history.log, history.struck = [], []
    return history


def tally(seeds: range, jobs: int = 1, events: int = 1000) -> Tally:
    """Play one history for each seed."""
    orders = [Order(seed, events) for seed in seeds]
    found = Tally()
    for history in _played(orders, jobs):
        found.add(history)
    return found


def _played(orders: list[Order], jobs: int) -> Iterator[History]:
    if jobs <= 1:
        yield from map(brief, orders)
        return
    with ProcessPoolExecutor(jobs) as pool:
        yield from pool.map(brief, orders, chunksize=10)


def main(arguments: list[str] | None = None) -> int:
    """Exit code 0: every promise held; 1: one did not."""
    options = _parser().parse_args(arguments)
    if options.seed is not None:
        return _one(options)
    found = tally(range(options.first, options.first + options.seeds), options.jobs, options.events)
    _say(found.table())
    _say(
        f"{found.seeds} seeds, {found.events} events, at least {found.least} each; {len(found.failed)} break a promise"
    )
    for history in found.failed[:1]:
        _say(told(shrink(history)))
    return 1 if found.failed else 0


def _one(options: argparse.Namespace) -> int:
    only = None if options.only is None else frozenset(filter(None, options.only.split(",")))
    order = Order(options.seed, options.events, only, options.tickets, sessions=options.sessions)
    history = simulate(order)
    if not history.problem:
        faults = f"{len(history.struck)} faults in {history.lasted_s:.0f} simulated seconds"
        _say(f"seed {order.seed}: {history.events} events, {faults}; every promise holds\nlog hash: {history.log_hash}")
        return 0
    _say(told(history if options.only is not None else shrink(history)))
    return 1


def _say(text: str) -> None:
    sys.stdout.write(text + "\n")


def _one_or_more(text: str) -> int:
    """Of nothing no promise breaks, which would say nothing."""
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError("must be 1 or more")
    return number


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m codeswarm.simulator", description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=_one_or_more, default=100, help="how many histories")
    parser.add_argument("--first", type=int, default=0, help="the first of their seeds")
    parser.add_argument("--jobs", type=_one_or_more, default=1, help="processes at once")
    parser.add_argument("--events", type=_one_or_more, default=1000, help="events before the faults stop")
    parser.add_argument("--seed", type=int, help="one history: play it, and shrink it where it fails")
    parser.add_argument("--only", help="the faults that strike, by name, with commas between them")
    parser.add_argument("--tickets", type=_one_or_more, default=MOST_TICKETS, help="tickets of a session at most")
    parser.add_argument("--sessions", type=_one_or_more, help="sessions at once")
    return parser


__all__ = ["Tally", "main", "replay_command", "tally"]

if __name__ == "__main__":
    sys.exit(main())
