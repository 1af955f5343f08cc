"""How often a process of ours looks for garbage: events, rows and sessions are many objects, and hardly any garbage."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager

FEW_COLLECTIONS = 50_000
"""New objects between two looks for garbage: Python's own number has it look all the time while tables are read."""


def collect_rarely() -> None:
    """For the whole process, which is ours from its beginning."""
    gc.set_threshold(FEW_COLLECTIONS)


@contextmanager
def nothing_collected() -> Iterator[None]:
    """Looking for garbage is more than half of the time of a replay, which makes a million objects and no garbage. They
    count as old at once, else the next look would begin with them.

    For what a process does once: garbage that is there already counts as old, too, and stays for long.
    """
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.unfreeze()
        if was_on:
            gc.enable()
