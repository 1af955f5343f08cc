"""`codeswarm status`, `codeswarm --version`: from the shell, as a person waits for them.

Real processes in a real repository, whose data directory holds a session of 10,000 tickets; no router is live.
"""

from __future__ import annotations

import asyncio
import os
import resource
import subprocess
import sys
from pathlib import Path

from bench.clocks import clocks, since
from bench.figure import Figure, Scale
from bench.swarm import dag, started

CODESWARM = Path(sys.executable).with_name("codeswarm")


def measure(scale: Scale, folder: Path) -> list[Figure]:
    _begin(folder)
    asyncio.run(_fill(scale, folder / ".git" / "codeswarm"))
    note = f"{scale.tickets:,} tickets"
    return [
        _figure(scale, folder, ("status",), 300, note),
        _figure(scale, folder, ("status", "--json"), 300, note),
        _figure(scale, folder, ("--version",), 150, ""),
    ]


def _begin(folder: Path) -> None:
    folder.mkdir(parents=True)
    for words in (["init", "--quiet"], ["commit", "--quiet", "--allow-empty", "-m", "Begin"]):
        who = ["-c", "user.name=bench", "-c", "user.email=bench@example.invalid"]
        subprocess.run(["git", *who, *words], cwd=folder, check=True)


async def _fill(scale: Scale, data: Path) -> None:
    async with started(data, dag(scale.tickets)):
        pass


def _figure(scale: Scale, folder: Path, words: tuple[str, ...], bar_ms: float, note: str) -> Figure:
    _took_ms(folder, words)  # a first time, for what the system must read from disk
    ours, processor = zip(*(_took_ms(folder, words) for _ in range(scale.runs)), strict=True)
    return Figure(f"codeswarm {' '.join(words)}", "ms", "less", ours, bar=bar_ms, note=note, processor=processor)


def _took_ms(folder: Path, words: tuple[str, ...]) -> tuple[float, float]:
    begun, before = clocks(), _children_s()
    subprocess.run([str(CODESWARM), *words], cwd=folder, env=_as_installed(), check=True, stdout=subprocess.DEVNULL)
    return since(begun)[0] * 1000, (_children_s() - before) * 1000


def _as_installed() -> dict[str, str]:
    """The environment, but for what keeps Python from remembering compiled modules: what is installed has them."""
    return {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}


def _children_s() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime
