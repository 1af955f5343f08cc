"""`replay:DIR`: plays recorded attempts, as a real process that really edits, crashes and can be killed."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from codeswarm.agents.base import Activity, AgentSpec, Capabilities, Ending, Health, Stage, Task
from codeswarm.agents.command import TYPES, activity_of, ending_of, usage_of
from codeswarm.agents.lines import read_lines
from codeswarm.agents.program import end_with_main
from codeswarm.agents.replay import player
from codeswarm.agents.replay.recording import recording_path
from codeswarm.domain.results import FailureClass, Usage
from codeswarm.host import interpreter

PLAYER = Path(player.__file__)


class ReplayAgent:
    can = Capabilities()

    def __init__(self, spec: AgentSpec, directory: Path) -> None:
        self.spec = spec
        self._recordings = directory / spec.argument

    def check(self) -> Health:
        if not self._recordings.is_dir():
            fix = "codeswarm run --record DIR … makes one"
            return Health(works=False, what=f"there is no folder of recordings {self._recordings}", fix=fix)
        return Health(works=True, what=f"recordings in {self._recordings}")

    async def open(self, task: Task, stage: Stage) -> ReplayConversation:
        return ReplayConversation(recording_path(self._recordings, task.ticket, task.phase, task.attempt), task, stage)


class ReplayConversation:
    """One turn, played by a process of its own."""

    id = ""

    def __init__(self, path: Path, task: Task, stage: Stage) -> None:
        self._path = path
        self._task = task
        self._stage = stage
        self._stop = asyncio.Event()

    async def turn(self, prompt: str) -> Ending:
        """What is said to it makes no difference."""
        path = self._path
        if not path.is_file():
            return Ending.failed(FailureClass.CRASHED, f"there is no recording {path}")
        argv = [sys.executable, "-I", "-S", str(PLAYER), str(path)]
        visible = (*interpreter(), PLAYER, path)
        running = await self._stage.start(argv, self._task.environment(), visible, stderr=asyncio.subprocess.STDOUT)
        hearing = _Hearing(self._stage, running.process)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(hearing.listen())
            tasks.create_task(end_with_main(running, self._stop))
        return ending_of(await running.process.wait(), hearing.usage, hearing.last)

    async def say(self, text: str) -> bool:
        return False

    async def interrupt(self) -> None:
        self._stop.set()

    async def close(self) -> None:
        """The program has gone with its turn."""


class _Hearing:
    """Hears the player, and answers when it asks for something that happened in the session."""

    def __init__(self, stage: Stage, process: asyncio.subprocess.Process) -> None:
        self._stage = stage
        self._process = process
        self.usage = Usage()
        self.last = ""

    async def listen(self) -> None:
        assert self._process.stdout is not None
        async for line, cut in read_lines(self._process.stdout):
            activity = activity_of(line, cut, TYPES | {"await", "output"})
            if activity.type == "await":
                await self._answer(activity.data)
                continue
            self.usage = usage_of(activity, self.usage)
            self.last = activity.text or self.last
            await self._stage.emit(activity)

    async def _answer(self, asked: Mapping[str, Any]) -> None:
        kind = str(asked.get("event", ""))
        match = asked["match"] if isinstance(asked.get("match"), dict) else {}
        told = " ".join(str(value) for value in match.values())
        await self._stage.emit(Activity("output", text=f"[recorded: waits for {kind} {told}]"))
        await self._stage.await_event(kind, match)
        if self._process.stdin is not None and not self._process.stdin.is_closing():
            self._process.stdin.write(b"go on\n")
