"""Stages for adapters under test: one without a process, and one that starts real ones, without walls."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from codeswarm.agents.base import Activity, Permission, Question, Task
from codeswarm.egress.base import Endpoint, Reached
from codeswarm.sandbox.base import Box, Running
from codeswarm.sandbox.none import NoSandbox


class QuietStage:
    """The part of `codeswarm.agents.base.Stage` that a conversation needs once its program runs."""

    def __init__(self) -> None:
        self.answer = Permission(allowed=True)
        self.asked: list[Question] = []
        self.said: list[Activity] = []
        self.endpoints: list[Endpoint] = []
        self.allowed: list[str] = []
        self.concealed: list[str] = []
        self.shared: list[Path] = []
        self.heard = asyncio.Event()
        """Set whenever the agent says something."""

    def reach(self, endpoint: Endpoint) -> Reached:
        """Without walls: the real ones."""
        self.endpoints.append(endpoint)
        return Reached.directly(endpoint)

    def allow(self, *hosts: str) -> None:
        self.allowed += hosts

    def share(self, file: Path, secrets: Callable[[], Iterable[str]], *, locks: bool = False) -> Path:
        """Without walls: the file itself."""
        self.shared.append(file)
        self.conceal(*secrets())
        return file

    def conceal(self, *secrets: str) -> None:
        self.concealed += secrets

    async def emit(self, activity: Activity) -> None:
        self.said.append(activity)
        self.heard.set()

    async def ask(self, question: Question) -> Permission:
        self.asked.append(question)
        return self.answer

    async def await_event(self, kind: str, match: Mapping[str, Any]) -> None:
        """Nothing is waited for."""

    async def start(
        self, argv: Sequence[str], env: Mapping[str, str], visible: Sequence[Any] = (), *, stderr: int | None = None
    ) -> Running:
        raise AssertionError("nothing is started on this stage")


class OpenStage(QuietStage):
    """Starts programs for real, in a folder of the test's."""

    def __init__(self, folder: Path) -> None:
        super().__init__()
        workspace, home, run, tmp = (folder / name for name in ("workspace", "home", "run", "tmp"))
        self.box = Box(f"test-{os.getpid()}-{folder.name}", workspace, home, run, tmp)
        for path in (self.box.workspace, self.box.home, self.box.run, self.box.tmp):
            path.mkdir(parents=True, exist_ok=True)
        self.started: list[Sequence[str]] = []
        self.running: list[Running] = []

    async def start(
        self, argv: Sequence[str], env: Mapping[str, str], visible: Sequence[Any] = (), *, stderr: int | None = None
    ) -> Running:
        self.started.append(argv)
        running = await NoSandbox().start(self.box, argv, env, stderr=stderr)
        self.running.append(running)
        return running

    async def end_all(self) -> tuple[str, ...]:
        """End every process that was started; what could not be ended."""
        return tuple([name for running in self.running for name in await running.end()])

    def task(
        self, prompt: str = "Do ticket 7.", *, conversation: str = "c-1", resume: bool = False, ask: bool = False
    ) -> Task:
        return Task(
            session="s1",
            ticket="t1",
            phase="implementation",
            role="implementer",
            attempt=2,
            epoch=5,
            prompt=prompt,
            inside=NoSandbox().inside(self.box),
            bundle=self.box.run / "bundle.json",
            result=self.box.run / "result.json",
            conversation=conversation,
            resume=resume,
            ask=ask,
        )
