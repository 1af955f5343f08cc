"""A thousand histories under every kind of fault: no promise may break, and all must come to rest."""

from __future__ import annotations

import pytest

from codeswarm.domain.events import Event
from codeswarm.simulator.__main__ import tally
from codeswarm.simulator.agents import CLASSES
from codeswarm.simulator.faults import Fault
from codeswarm.simulator.shrink import shrink, told

SEEDS = 500
"""Of each half: so many that the share of a fault, or an event that is rare, is no matter of luck."""
EVENTS = 1000
LEAST_SHARE = 0.05


@pytest.mark.long
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("half", [0, 1], ids=["first", "second"])
def test_a_thousand_seeds_with_every_fault_keep_every_promise(half: int) -> None:
    found = tally(range(half * SEEDS, (half + 1) * SEEDS), events=EVENTS)
    assert not found.failed, told(shrink(found.failed[0]))
    assert found.least >= EVENTS
    shares = {fault: found.hits[fault] / found.chances[fault] for fault in Fault}
    assert min(shares.values()) >= LEAST_SHARE, shares
    assert found.classes == set(CLASSES)
    never = {kind.__name__ for kind in Event.__subclasses__()} - set(found.kinds)
    assert never <= ELSEWHERE, f"no history ever comes to {sorted(never - ELSEWHERE)}"


ELSEWHERE = {"CommitsKept", "HostDenied", "WorkSalvaged", "SourceKept", "TicketEdited", "BlockersChanged"}
"""What no simulated history comes to: git's matter, a file's matter, and edits of a plan, which the random
histories of single decisions go through (`tests/unit/domain/test_histories.py`)."""
