"""Restart: the time until a router's kernel answers again, on a ledger whose one session goes on.

The ledger holds 100,000 events: some 12,500 tickets, built and landed to the last. A new process each time opens it,
checks that the log ends where it should, and replays the session. Timed is that, in that process.
"""

from __future__ import annotations

import asyncio
import subprocess
import sys
from pathlib import Path

from bench.clocks import clocks, since
from bench.figure import Figure, Scale
from bench.swarm import SESSION, dag, run_through, started
from codeswarm.clock import SystemClock
from codeswarm.engine.kernel import Kernel
from codeswarm.garbage import collect_rarely, nothing_collected
from codeswarm.ledger.sqlite import SqliteLedger

EVENTS_PER_TICKET = 8


def measure(scale: Scale, folder: Path) -> list[Figure]:
    asyncio.run(_fill(scale, folder))
    runs, processor = zip(*(_restart_s(folder) for _ in range(scale.runs)), strict=True)
    note = f"{scale.events:,} events, one session"
    return [Figure("restart", "s", "less", runs, bar=1.0, note=note, processor=processor)]


async def _fill(scale: Scale, folder: Path) -> None:
    async with started(folder, dag(max(scale.events // EVENTS_PER_TICKET, 1))) as kernel:
        await run_through(kernel)
        events = kernel.ledger.head()[0]
    assert events >= scale.events * 0.99, f"the ledger holds {events} events only"


def _restart_s(folder: Path) -> tuple[float, float]:
    argv = [sys.executable, "-m", "bench.restart", str(folder)]
    done = subprocess.run(argv, capture_output=True, text=True, check=True, cwd=Path(__file__).parents[1])
    clock_s, processor_s = map(float, done.stdout.split())
    return clock_s, processor_s


async def _restart(folder: Path) -> tuple[float, float]:
    begun = clocks()
    ledger = SqliteLedger(folder / "ledger.sqlite3")
    try:
        kernel = Kernel(ledger, SystemClock())
        with nothing_collected():
            kernel.start()
        took = since(begun)
        assert kernel.session(SESSION).version == ledger.head()[0]
    finally:
        ledger.close()
    return took


if __name__ == "__main__":
    collect_rarely()
    print(*asyncio.run(_restart(Path(sys.argv[1]))))
