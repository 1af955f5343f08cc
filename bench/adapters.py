"""What an adapter adds to its CLI: to the start of a conversation, and to each thing that the agent says.

In place of each CLI stands a program of a few lines that answers as that CLI does (`stand_in.py`), so that what is
measured is ours and the same in every run; `api:` has its own loop, which is no stand-in. The peer is the bare program:
started and ended in the same way, without walls, its output read line by line and thrown away. Only this process
counts, in processor time. A first conversation of each kind is not counted: what an adapter imports, it imports once a
worker.
"""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.figure import Figure, Missing, Scale
from bench.stand_in import EVENTS
from codeswarm.agents.acp.agent import AcpAgent
from codeswarm.agents.api.agent import ApiAgent
from codeswarm.agents.base import Activity, Agent, AgentSpec
from codeswarm.agents.claude.agent import ClaudeAgent
from codeswarm.agents.codex.agent import CodexAgent
from codeswarm.agents.command import CommandAgent
from codeswarm.agents.lines import read_lines
from codeswarm.environment import Login
from codeswarm.testing.stage import OpenStage

START_MS, EVENT_US = 5.0, 50.0
STARTS = 10
STAND_IN = Path(__file__).parent / "stand_in.py"
KEYS = {"ANTHROPIC_API_KEY": "none", "OPENAI_API_KEY": "none", "GEMINI_API_KEY": "none"}


class Deaf(OpenStage):
    """Takes what is said, and keeps nothing of it."""

    async def emit(self, activity: Activity) -> None:
        """Nothing: what a transcript costs is the worker's."""


@dataclass(frozen=True)
class Kind:
    """One kind of agent over its stand-in."""

    name: str
    wire: str
    """How the stand-in speaks; empty: there is none."""
    make: Callable[[Path, Login], Agent]
    says: bool = True


KINDS = (
    Kind("claude", "claude", lambda folder, login: ClaudeAgent(AgentSpec("claude"), login)),
    Kind("codex", "codex", lambda folder, login: CodexAgent(AgentSpec("codex"), login)),
    Kind("gemini", "gemini", lambda folder, login: _acp(folder, "gemini", login)),
    Kind("acp", "agent", lambda folder, login: _acp(folder, "agent", login)),
    Kind("command", "command", lambda folder, login: _command(folder)),
    Kind("api", "", lambda folder, login: ApiAgent(AgentSpec("api", "m-1"), login), says=False),
)


def _acp(folder: Path, name: str, login: Login) -> Agent:
    return AcpAgent(AgentSpec("acp", str(folder / name)), folder, folder, login)


def _command(folder: Path) -> Agent:
    return CommandAgent(AgentSpec("command", str(folder / "command")), folder, folder)


def measure(scale: Scale, folder: Path) -> list[Figure | Missing]:
    folder.mkdir(parents=True)
    for kind in KINDS:
        if kind.wire:
            _stand_in(folder / kind.wire, kind.wire)
    runs = scale.long_runs
    return [figure for kind in KINDS for figure in asyncio.run(_measure(kind, scale, folder, runs))]


def _stand_in(path: Path, wire: str) -> None:
    path.write_text(f'#!/bin/sh\nexec {sys.executable} -I -S {STAND_IN} {wire} "$@"\n')
    path.chmod(0o755)


async def _measure(kind: Kind, scale: Scale, folder: Path, runs: int) -> list[Figure | Missing]:
    agent = kind.make(folder, Login(f"{folder}:/usr/bin:/bin", {"ANTHROPIC_API_KEY": "none"}, KEYS))
    events = max(scale.events // 10, 100)
    await _talk(agent, Deaf(folder / f"{kind.name}-stage"), 0, says=kind.says)
    starts, said = [], []
    for _ in range(runs):
        starts.append([await _started(kind, agent, folder, bare=bare) for bare in (False, True)])
        if kind.says:
            said.append([await _said(kind, agent, folder, events, bare=bare) for bare in (False, True)])
    found: list[Figure | Missing] = [
        _figure(f"adapter {kind.name}, start", "ms", starts, START_MS, f"over {STARTS} conversations")
    ]
    if kind.says:
        found.append(_figure(f"adapter {kind.name}, an event", "µs", said, EVENT_US, f"over {events:,} of them"))
    return found


def _figure(name: str, unit: str, pairs: Sequence[Sequence[float]], bar: float, note: str) -> Figure:
    """What ours costs beyond the bare program, in the same run."""
    added = tuple(max(ours - bare, 0.001) for ours, bare in pairs)
    bare = sum(other for _, other in pairs) / len(pairs)
    told = f"{note}; bare {bare:.3g} {unit}; processor time"
    return Figure(name, unit, "less", added, bar=bar, note=told)


async def _started(kind: Kind, agent: Agent, folder: Path, *, bare: bool) -> float:
    """Milliseconds for a conversation with a turn of one word, or without any where no stand-in takes it."""
    begun = time.process_time()
    for _ in range(STARTS):
        stage = Deaf(folder / f"{kind.name}-stage")
        await (_bare(kind, agent, stage, folder, 1) if bare else _talk(agent, stage, 1, says=kind.says))
    return (time.process_time() - begun) / STARTS * 1000


async def _said(kind: Kind, agent: Agent, folder: Path, events: int, *, bare: bool) -> float:
    """Microseconds for each thing said, in one turn with many of them."""
    stage = Deaf(folder / f"{kind.name}-stage")
    begun = time.process_time()
    await (_bare(kind, agent, stage, folder, events) if bare else _talk(agent, stage, events))
    return (time.process_time() - begun) / events * 1e6


async def _talk(agent: Agent, stage: Deaf, events: int, *, says: bool = True) -> None:
    talk = await agent.open(stage.task(f"{EVENTS}={events}"), stage)
    if says:
        ending = await talk.turn(f"{EVENTS}={events}")
        assert ending.failure is None or events == 0, ending.failure
    await talk.close()
    await stage.end_all()


async def _bare(kind: Kind, agent: Agent, stage: Deaf, folder: Path, events: int) -> None:
    """The same program without its adapter: it says all by itself, and its output is read and thrown away."""
    if not kind.wire:
        await _talk_bare_loop(stage)
        return
    running = await stage.start(["/bin/sh", "-c", f"exec {folder / kind.wire} bare {events}"], {})
    assert running.process.stdin is not None
    assert running.process.stdout is not None
    running.process.stdin.close()
    async for _ in read_lines(running.process.stdout):
        pass
    await running.process.wait()
    await running.end()
    await stage.end_all()


async def _talk_bare_loop(stage: Deaf) -> None:
    from codeswarm.agents.api.agent import LOOP  # noqa: PLC0415

    environment = {"CODESWARM_API": "openai/m-1", "CODESWARM_CONVERSATION": "c", "HOME": str(stage.box.home)}
    running = await stage.start([sys.executable, "-I", "-S", str(LOOP / "__main__.py")], environment)
    assert running.process.stdin is not None
    running.process.stdin.close()
    await running.process.wait()
    await running.end()
    await stage.end_all()
