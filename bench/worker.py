"""A worker that hosts fifty agents: the memory of its own process, and what it costs to look after them.

A real router in this process, one real worker process with a slot for each, behind walls where there are any. The
agents are recordings that say a word, begin a command, and then wait without end. Everything is let come to rest
before it is measured; the processes of the agents themselves are not counted.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from bench.clocks import clocks, since
from bench.figure import Figure, Missing, Scale
from codeswarm.domain.settings import Patience
from codeswarm.environment import Environment
from codeswarm.home import Home, find_home
from codeswarm.process import Outliving
from codeswarm.router_client import RouterClient
from codeswarm.sandbox.bubblewrap import probe
from codeswarm.wiring import WorkerPlan, router
from codeswarm.worker.processes import Table, read_table
from codeswarm.worker.vitals import Vitals
from codeswarm.worker.watch import LOOK_S

BAR_MIB = 300.0
BEGIN_S, REST_S = 300.0, 20.0
"""How long they may take to be at work, and how long they are then let alone."""
LOOKS = 20
RECORDING = (
    {"t": 0.0, "type": "assistant", "text": "I begin."},
    {"t": 0.1, "type": "command_started", "text": "pytest -q"},
    {"t": 0.2, "type": "hang"},
)


def measure(scale: Scale, folder: Path) -> list[Figure | Missing]:
    folder.mkdir(parents=True)
    _repository(folder / "repository")
    _recordings(folder / "recordings", scale.agents)
    runs = [asyncio.run(_run(scale, folder, number)) for number in range(scale.long_runs)]
    note = f"{scale.agents} agents"
    memory, at_rest, looking = zip(*runs, strict=True)
    return [
        Figure("worker, memory of its own", "MiB", "less", memory, bar=BAR_MIB, note=note),
        Figure("worker, agents that wait", "ms/s", "less", at_rest, note=f"{note}; processor time of its own"),
        Figure("worker, looking after vitals", "ms/s", "less", looking, note=f"{note}; processor time"),
    ]


def _repository(folder: Path) -> None:
    folder.mkdir()
    who = ["-c", "user.name=bench", "-c", "user.email=bench@example.invalid"]
    for words in (["init", "--quiet"], ["commit", "--quiet", "--allow-empty", "-m", "Begin"]):
        subprocess.run(["git", *who, *words], cwd=folder, check=True)


def _recordings(folder: Path, count: int) -> None:
    for number in range(count):
        path = folder / f"t{number}" / "implementation.1.jsonl"
        path.parent.mkdir(parents=True)
        path.write_text("".join(json.dumps(step) + "\n" for step in RECORDING))


async def _run(scale: Scale, folder: Path, number: int) -> tuple[float, float, float]:
    environment, directory = Environment.read(), folder / "repository"
    home = find_home(directory, environment, folder / f"data-{number}")
    async with router(home, WorkerPlan(0, directory), environment), RouterClient.open(home.data.socket) as client:
        session = await _begin(client, scale.agents, folder / "recordings")
        async with _worker(home, directory, scale.agents) as pid:
            await _until_at_work(client, session, scale.agents)
            begun_s = _used_s(pid)
            began = time.monotonic()
            await asyncio.sleep(REST_S if scale.whole else 1.0)
            at_rest = (_used_s(pid) - begun_s) / (time.monotonic() - began) * 1000
            return _own_mib(pid), max(at_rest, 0.001), _looking_ms(pid)


async def _begin(client: RouterClient, count: int, recordings: Path) -> str:
    plan = {"tickets": [{"id": f"t{number}", "title": f"Ticket {number}"} for number in range(count)]}
    flags = {
        "roles": {"*": [f"replay:{recordings}"]},
        "swarm": {"workers": count},
        "pipeline": {"default": "single"},
        "sandbox": {"kind": "bubblewrap" if probe().works else "none"},
    }
    asked = {"by": "bench", "plan": plan, "flags": flags, "no_gate": True}
    return str((await client.post("/sessions", asked, timeout_s=300))["session"])


@asynccontextmanager
async def _worker(home: Home, directory: Path, slots: int) -> AsyncIterator[int]:
    order = {
        "worker": "bench",
        "socket": str(home.data.socket),
        "workspaces": str(home.workspaces),
        "outbox": str(home.data.outbox),
        "slots": slots,
        "directory": str(directory),
    }
    with (home.data.root / "worker.log").open("wb") as log:
        process = Outliving(
            [sys.executable, "-m", "codeswarm.worker"],
            cwd=directory,
            env=Environment.read().variables,
            output=log.fileno(),
            told=json.dumps(order).encode() + b"\n",
        )
    try:
        yield process.pid
    finally:
        os.kill(process.pid, signal.SIGKILL)
        await process.wait()


async def _until_at_work(client: RouterClient, session: str, count: int) -> None:
    """Until every agent has a command under way, and its files have been looked at. Raises: OSError."""
    deadline = time.monotonic() + BEGIN_S
    while time.monotonic() < deadline:
        agents = await client.get(f"/sessions/{session}/agents")
        if sum(agent["vital"]["state"] == "running_command" for agent in agents) == count:
            return
        await asyncio.sleep(0.5)
    raise TimeoutError(f"{count} agents were not at work within {BEGIN_S:g} s")


def _own_mib(pid: int) -> float:
    """The most that was ever in memory of the process itself, what it shares with others included."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM:")) / 1024


def _used_s(pid: int) -> float:
    """Processor time of the process alone, without that of what it has started."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _looking_ms(worker: int) -> float:
    """Reading all processes of this machine and judging each agent, as often as a worker does it, in a second."""
    roots = _children(worker)
    vitals = {root: Vitals(Patience(), 0.0) for root in roots}
    begun = clocks()
    for look in range(LOOKS):
        table = read_table(float(look))
        assert table is not None
        for root in roots:
            vitals[root].look(table.tree(root), float(look))
    return since(begun)[1] * 1000 / LOOKS / LOOK_S * TABLES_PER_LOOK


TABLES_PER_LOOK = 2
"""Agents look at different moments: at most so many tables are read in the time of one look."""


def _children(pid: int) -> list[int]:
    table: Table | None = read_table(0.0)
    return [] if table is None else [process.pid for process in table.processes.values() if process.parent == pid]
