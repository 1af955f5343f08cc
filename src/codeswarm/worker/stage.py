"""The stage on which an agent plays: a box, a voice into the transcript, answers to what it asks."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from codeswarm.agents.base import Activity, Permission, Question
from codeswarm.agents.recording import Recorder
from codeswarm.clock import Clock
from codeswarm.failpoints import reach
from codeswarm.sandbox.base import Box, Mount, Running, Sandbox
from codeswarm.sandbox.starting import start
from codeswarm.worker.transcript import Transcript


class WorkerStage:
    """`codeswarm.agents.base.Stage`, as the worker gives it to one attempt."""

    def __init__(
        self,
        sandbox: Sandbox,
        box: Box,
        environment: Mapping[str, str],
        transcript: Transcript,
        clock: Clock,
        saw: Callable[[str, Mapping[str, Any]], Awaitable[None]],
        recorder: Recorder | None = None,
    ) -> None:
        self.turned = asyncio.Event()
        """Set at the end of each of the agent's turns: time for a snapshot."""
        self.last_sign = clock.monotonic()
        """When the agent last gave a sign of life."""
        self._sandbox = sandbox
        self._box = box
        self._environment = environment
        self._transcript = transcript
        self._clock = clock
        self._saw = saw
        self._recorder = recorder
        self._running: list[Running] = []

    async def start(
        self, argv: Sequence[str], env: Mapping[str, str], visible: Sequence[Path] = (), *, stderr: int | None = None
    ) -> Running:
        box = dataclasses.replace(self._box, mounts=(*self._box.mounts, *map(Mount, visible)))
        running = await start(self._sandbox, box, argv, {**self._environment, **env}, stderr=stderr)
        self._running.append(running)
        reach("worker.agent_started")
        return running

    async def emit(self, activity: Activity) -> None:
        self.last_sign = self._clock.monotonic()
        self._transcript.write(activity)
        if self._recorder is not None:
            self._recorder.activity(activity)
        if activity.type == "turn":
            self.turned.set()

    async def ask(self, question: Question) -> Permission:
        """Behind walls an agent may run what it likes."""
        await self.emit(Activity("question", text=question.command, data=asdict(question), raw=question.raw))
        return Permission(allowed=True, why="it runs in a sandbox")

    async def await_event(self, kind: str, match: Mapping[str, Any]) -> None:
        await self._saw(kind, match)
        self.last_sign = self._clock.monotonic()

    async def end_all(self) -> tuple[str, ...]:
        """End every process of the attempt, whatever state it is in."""
        left: list[str] = []
        for running in self._running:
            left += await running.end()
        return tuple(left)
