"""Walls: how long until a command behind them says its first word, beside a bare `bwrap`; and how soon all is over.

Ours is a box as an agent gets it: the system without its secrets, a private /tmp, workspace, HOME, the filter of system
calls, the limit on processes. Beside it stands bubblewrap by itself, with the same namespaces and the whole of the host
shown in one mount. They take turns, and of several starts the shortest counts: a neighbour's load makes any of them
longer and none shorter. Processor time is that of the whole of it, to its end.

A cancel is timed where a person feels it: from the router's being told to the moment at which the last process of the
attempt has gone, in a run of the program as it is. Its agent is a tree of processes that ignore every signal. (A hold
leaves the run going on, so that its worker ends the agent; with a cancel the run itself is over.) The real coding CLIs
are cancelled, too, in the midst of a command that ignores every signal; most of its children have left its session.
"""

from __future__ import annotations

import asyncio
import json
import os
import resource
import select
import shutil
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Literal

from bench.figure import Figure, Missing, Scale
from codeswarm.agents.claude.agent import find_claude
from codeswarm.agents.codex.agent import find_codex
from codeswarm.router_client import RouterClient
from codeswarm.sandbox.base import Box, Limits
from codeswarm.sandbox.bubblewrap import NAMESPACES, Bubblewrap, probe
from codeswarm.sandbox.marks import marked
from codeswarm.testing.model_server import ModelServer, Shell, conversation

PEER = "bwrap"
TURNS = 20
WORD = ["/bin/echo", "word"]
ROUTE = {
    "hold": ("tickets/stays/commands", {"command": "hold", "reason": "bench"}),
    "cancel": ("commands", {"command": "cancel"}),
}
AGENT = r"""
import os, signal, sys, time

for number in set(range(1, 32)) - {9, 19}:
    signal.signal(number, signal.SIG_IGN)
open("work", "w").write("work")
print('{"type": "turn", "text": "begun"}', flush=True)
for _ in range(4):
    os.fork()
    os.setsid() if os.getpid() != os.getpgid(0) else None
time.sleep(3000)
"""

DEAF = "trap '' INT TERM HUP QUIT USR1 USR2 PIPE;"
STUBBORN = (
    f"{DEAF} for one in 1 2 3; do setsid sh -c \"{DEAF} setsid sh -c 'sleep 3141' & sleep 3141\" & done; "
    "echo work > work; sleep 3141; sleep 3141"
)
NOTHING: Mapping[str, str] = {}
NPM = Path(__file__).parents[1] / ".clis" / "node_modules" / ".bin"
CliName = Literal["claude", "codex", "gemini"]
CLIS: Mapping[CliName, tuple[str, Callable[[], str | None]]] = {
    "claude": ("claude:sonnet", lambda: find_claude(os.environ.get("PATH", os.defpath))),
    "codex": ("codex:gpt-5.5", lambda: find_codex(os.environ.get("PATH", os.defpath))),
    "gemini": ("gemini:2.5-pro", lambda: shutil.which("gemini", path=f"{NPM}{os.pathsep}{os.environ.get('PATH', '')}")),
}
"""What they are asked for by, and where they are."""


def measure(scale: Scale, folder: Path) -> list[Figure | Missing]:
    walls = probe()
    if not walls.works:
        return [Missing("sandbox start", walls.why)]
    folder.mkdir(parents=True)
    found: list[Figure | Missing] = [_starts(scale, folder)]
    for how in ROUTE:
        took = tuple(asyncio.run(_over_ms(folder / f"{how}{run}", how)) for run in range(scale.long_runs))
        found.append(
            Figure(
                f"{how}, until the last process has gone", "ms", "less", took, bar=1000, note="16 that ignore signals"
            )
        )
    return [*found, *(_cli(name, scale, folder) for name in CLIS)]


# ── a start ──


def _starts(scale: Scale, folder: Path) -> Figure:
    box = _box(folder)
    runs = [asyncio.run(_turns(box, scale)) for _ in range(scale.runs)]
    ours, processor, theirs = zip(*runs, strict=True)
    note = "to the first word"
    return Figure("sandbox start", "ms", "less", ours, None, PEER, theirs, 1 / 1.5, note, processor)


async def _turns(box: Box, scale: Scale) -> tuple[float, float, float]:
    sandbox, bare = Bubblewrap(), ["bwrap", *NAMESPACES, "--ro-bind", "/", "/", "--proc", "/proc", "--dev", "/dev"]
    await _ours(sandbox, box)  # what a worker looks at once
    ours, theirs = [], []
    for _ in range(TURNS if scale.whole else 2):
        ours.append(await _ours(sandbox, box))
        theirs.append(await _bare([*bare, "--", *WORD]))
    clock, processor = zip(*ours, strict=True)
    return min(clock), min(processor), min(theirs)


async def _ours(sandbox: Bubblewrap, box: Box) -> tuple[float, float]:
    used, begun = _processor_ms(), time.perf_counter()
    running = await sandbox.start(box, WORD, {"PATH": "/usr/bin:/bin"})
    clock = await _first_word(running.process, begun)
    await running.process.wait()
    assert await running.end() == ()
    return clock, _processor_ms() - used


async def _bare(argv: list[str]) -> float:
    begun, pipe = time.perf_counter(), asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(*argv, stdin=pipe, stdout=pipe, stderr=pipe)
    clock = await _first_word(process, begun)
    await process.communicate()
    return clock


async def _first_word(process: asyncio.subprocess.Process, begun: float) -> float:
    assert process.stdout is not None
    assert await process.stdout.read(1)
    return (time.perf_counter() - begun) * 1000


def _processor_ms() -> float:
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(each.ru_utime + each.ru_stime for each in used) * 1000


def _box(folder: Path) -> Box:
    places = [folder / name for name in ("workspace", "home", "run", "tmp")]
    for place in places:
        place.mkdir()
    workspace, home, run, tmp = places
    return Box(f"bench-{os.getpid()}", workspace, home, run, tmp, limits=Limits(pids=4096))


# ── an end ──


def _cli(name: CliName, scale: Scale, folder: Path) -> Figure | Missing:
    what, found = f"cancel of {name}, until the last process has gone", CLIS[name][1]()
    if found is None:
        return Missing(what, f"there is no {name} here: make clis")
    runs = [asyncio.run(_cli_over_ms(folder / f"{name}{run}", name, found)) for run in range(scale.long_runs)]
    return Figure(what, "ms", "less", tuple(runs), bar=1000, note="its command and 6 more ignore signals")


async def _cli_over_ms(root: Path, name: CliName, found: str) -> float:
    async with ModelServer(conversation([Shell(STUBBORN)])) as server:
        path = os.pathsep.join([str(Path(found).parent), os.environ.get("PATH", os.defpath)])
        environment = {**server.environment(name), "PATH": path}
        return await _over_ms(root, "cancel", CLIS[name][0], environment)


async def _over_ms(root: Path, how: str, agent: str = "", environment: Mapping[str, str] = NOTHING) -> float:
    """From the word to the router until the last process has gone."""
    async with _at_work(root, agent, environment) as session:
        boxed = [os.pidfd_open(pid) for pid in marked(f"{session}.stays.1")]
        assert len(boxed) > 1, "its agent is at work"
        path, body = ROUTE[how]
        async with RouterClient.open(root / "repository" / ".git" / "codeswarm" / "router.sock") as client:
            begun = time.perf_counter()
            await client.post(f"/sessions/{session}/{path}", {**body, "by": "bench"})
            await asyncio.to_thread(_gone, boxed)
            return (time.perf_counter() - begun) * 1000


def _run(argv: list[str], folder: Path, environment: dict[str, str], *, may_fail: bool = False) -> None:
    subprocess.run(argv, cwd=folder, env=environment, check=not may_fail, capture_output=True)


def _gone(pidfds: list[int]) -> None:
    for pidfd in pidfds:
        assert select.select([pidfd], [], [], 30)[0], "it is still there"
        os.close(pidfd)


_CODESWARM = [sys.executable, "-m", "codeswarm.cli"]


@asynccontextmanager
async def _at_work(root: Path, agent: str, more: Mapping[str, str]) -> AsyncIterator[str]:
    """A run whose agent, the stubborn one above if none is named, is at work; ended at the end."""
    repository, home = root / "repository", root / "home"
    for folder in (repository, home, root / "agent"):
        folder.mkdir(parents=True)
    environment = {**os.environ, **more, "HOME": str(home), "XDG_CACHE_HOME": str(root / "cache")}
    (repository / "file").write_text("file\n")
    (root / "agent" / "agent.py").write_text(AGENT)
    (root / "tickets.json").write_text(
        json.dumps({"tickets": [{"id": "stays", "title": "Stay", "pipeline": "single"}]})
    )
    named = ["-c", "user.name=bench", "-c", "user.email=bench@example.invalid"]
    for words in (["init", "--quiet"], ["add", "--all"], [*named, "commit", "--quiet", "-m", "Begin"]):
        await asyncio.to_thread(_run, ["git", *words], repository, environment)
    agent = agent or f"command:python3 {root / 'agent' / 'agent.py'}"
    words = ["--json", "run", "--tickets", str(root / "tickets.json"), "--agent", agent, "--no-gate", "--workers", "1"]
    run = await asyncio.create_subprocess_exec(
        *_CODESWARM, *words, cwd=repository, env=environment, stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL, limit=1 << 24,
    )  # fmt: skip
    try:
        yield await _session(run)
    finally:
        await asyncio.to_thread(_run, [*_CODESWARM, "cancel"], repository, environment, may_fail=True)
        assert run.stdout is not None
        await run.stdout.read()
        await run.wait()


async def _session(run: asyncio.subprocess.Process) -> str:
    assert run.stdout is not None
    session = ""
    async for line in run.stdout:
        event: dict[str, Any] = json.loads(line)
        session = event.get("session") or session
        if event.get("kind") == "SnapshotTaken":
            return session
    raise AssertionError("its agent never came to work")
