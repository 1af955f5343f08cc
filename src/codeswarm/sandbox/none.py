"""No walls: the person's own word. Everything is cleaned up as well as it can be, and that is said.

Processes are found by a mark in their environment and by descent; one that clears its environment and detaches
itself from its parent and session at once is not found. Only namespaces promise more.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping, Sequence

from codeswarm.process import spawn
from codeswarm.sandbox.base import Box, Inside, Probe, Running
from codeswarm.sandbox.marks import MARK, end_marked


class NoSandbox:
    kind = "none"
    promises = (
        "no walls: agents and gates can do whatever you can; leftover processes are ended as far as they are found"
    )

    def inside(self, box: Box) -> Inside:
        return Inside(box.workspace, box.home, box.run, box.tmp)

    @property
    def as_agent(self) -> tuple[str, ...]:
        return ()

    async def start(
        self,
        box: Box,
        argv: Sequence[str],
        env: Mapping[str, str],
        *,
        stdin: int | None = None,
        stderr: int | None = None,
    ) -> Running:
        pipe = asyncio.subprocess.PIPE
        process = await spawn(
            argv,
            cwd=box.workspace,
            env={"HOME": str(box.home), "TMPDIR": str(box.tmp), "PATH": os.defpath, **env, MARK: box.name},
            stdin=pipe if stdin is None else stdin,
            stderr=pipe if stderr is None else stderr,
        )
        return _Loose(process, box.name)


class _Loose:
    def __init__(self, process: asyncio.subprocess.Process, name: str) -> None:
        self._process = process
        self._name = name

    @property
    def process(self) -> asyncio.subprocess.Process:
        return self._process

    async def end(self) -> tuple[str, ...]:
        group = self._process.pid
        left = await asyncio.to_thread(end_marked, self._name, group)
        await self._process.wait()
        return left


def probe() -> Probe:
    return Probe(works=True)
