"""SIGSTOP for longer than a lease lasts: to the router, to workers, to everything. Nothing is lost, nobody is charged.

The waits here are real: only time that passes outside makes a lease run out. They are as short as the lease.
"""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from codeswarm.sandbox.bubblewrap import probe
from tests.support import processes
from tests.support.held_agent import begin, held_place, let_go
from tests.support.processes import left_behind
from tests.support.runs import Place, Started

KIND = "bubblewrap" if probe().works else "none"
TTL_S = 3.0


@pytest.fixture
def place(tmp_path: Path) -> Place:
    place = held_place(tmp_path)
    place.environment |= {"CODESWARM_SWARM_LEASE_TTL_S": str(TTL_S), "CODESWARM_SWARM_HEARTBEAT_S": "0.5"}
    return place


def router(place: Place, run: Started) -> list[int]:
    return [run.process.pid]


def workers(place: Place, run: Started) -> list[int]:
    return [pid for pid in processes.of(place.root) if b"codeswarm.worker" in Path(f"/proc/{pid}/cmdline").read_bytes()]


def everything(place: Place, run: Started) -> list[int]:
    return processes.of(place.root)


@pytest.mark.parametrize("whom", [router, workers, everything])
async def test_a_stop_for_longer_than_a_lease_lasts_costs_nobody_anything(
    place: Place, whom: Callable[[Place, Started], list[int]]
) -> None:
    run = await begin(place, KIND, "a")
    stopped = whom(place, run)
    assert stopped
    for pid in stopped:
        os.kill(pid, signal.SIGSTOP)
    await asyncio.sleep(TTL_S + 1.5)
    for pid in stopped:
        os.kill(pid, signal.SIGCONT)
    let_go(place, "a")
    assert await run.end() == 0, run.error
    kinds = [event["kind"] for event in run.events]
    assert kinds.count("TicketLanded") == 1
    failed = [event for event in run.events if event["kind"] in ("AttemptFailed", "AttemptTimedOut", "SlotRestarted")]
    assert not failed
    if whom is not workers:  # of a worker that is silent for a whole term nobody can know more than that
        assert kinds.count("AttemptLeased") == 1
        assert "AttemptLost" not in kinds
    (row,) = place.run("--json", "status").json["tickets"]
    assert (row["status"], row["failures"]) == ("complete", 0)
    assert place.run("ledger", "verify").code == 0
    assert left_behind(place.root) == []
