"""Stages for adapters under test: one without a process, and one that starts real ones without walls."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from codeswarm.agents.base import Activity, Task
from codeswarm.sandbox.base import Box, Running
from codeswarm.sandbox.none import NoSandbox


class QuietStage:
    """The part of `codeswarm.agents.base.Stage` that a conversation needs once its program runs."""

    def __init__(self) -> None:
        self.messages: asyncio.Queue[str] = asyncio.Queue()
        self.stop = asyncio.Event()
        self.said: list[Activity] = []
        self.heard = asyncio.Event()
        """Set whenever the agent says something."""

    async def emit(self, activity: Activity) -> None:
        self.said.append(activity)
        self.heard.set()

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
        self.box = Box(f"test-{folder.name}", *(folder / name for name in ("workspace", "home", "run", "tmp")))
        for path in (self.box.workspace, self.box.home, self.box.run, self.box.tmp):
            path.mkdir(parents=True, exist_ok=True)
        self.started: list[Sequence[str]] = []

    async def start(
        self, argv: Sequence[str], env: Mapping[str, str], visible: Sequence[Any] = (), *, stderr: int | None = None
    ) -> Running:
        self.started.append(argv)
        return await NoSandbox().start(self.box, argv, env, stderr=stderr)

    def task(self, prompt: str = "Do ticket 7.", *, conversation: str = "c-1", resume: bool = False) -> Task:
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
        )


def stream_of(*chunks: bytes) -> asyncio.StreamReader:
    """A stream that holds these bytes and then ends."""
    stream = asyncio.StreamReader()
    for chunk in chunks:
        stream.feed_data(chunk)
    stream.feed_eof()
    return stream
