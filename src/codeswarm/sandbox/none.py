"""No walls: the person's own word. Everything is cleaned up as well as it can be, and that is said.

Limits hold all the same where the machine has control groups for us, and then all that is left is found by them. Where
not, processes are found by a mark in their environment and by descent; one that clears its environment and detaches
itself from its parent and session at once is not found. Only namespaces promise more.
"""

from __future__ import annotations

import asyncio
import os
import shutil
from collections.abc import Mapping, Sequence

from codeswarm.process import spawn
from codeswarm.sandbox.base import Box, Inside, Lack, Limits, Probe, Running
from codeswarm.sandbox.confinement import Confined, Confinement
from codeswarm.sandbox.marks import MARK, end_marked

_ENTER = 'while [ "$1" != -- ]; do echo 0 > "$1" || exit 125; shift; done; shift; exec "$@"'
"""A shell that puts itself into groups and becomes the command: there is no moment in which that is outside."""


class NoSandbox:
    kind = "none"
    own_network = False
    promises = (
        "no walls: agents and gates can do whatever you can; leftover processes are ended as far as they are found"
    )

    def __init__(self) -> None:
        self._confinement = Confinement(walled=False)

    def inside(self, box: Box) -> Inside:
        return Inside(box.workspace, box.home, box.run, box.tmp)

    def lacks(self, limits: Limits) -> tuple[Lack, ...]:
        return self._confinement.lacks(limits)

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
        told = {"HOME": str(box.home), "TMPDIR": str(box.tmp), "PATH": os.defpath, **env, MARK: box.name}
        confined = await asyncio.to_thread(self._confinement.prepare, box)
        try:
            process = await spawn(
                _entering(confined, argv, told["PATH"]),
                cwd=box.workspace,
                env=told,
                stdin=pipe if stdin is None else stdin,
                stderr=pipe if stderr is None else stderr,
            )
        except OSError:
            confined.end()
            raise
        return _Loose(process, box.name, confined)


def _entering(confined: Confined, argv: Sequence[str], path: str) -> Sequence[str]:
    """Raises: FileNotFoundError, which a shell would only tell by an exit code."""
    if not confined.doors:
        return argv
    if shutil.which(argv[0], path=path) is None:
        raise FileNotFoundError(argv[0])
    return ["/bin/sh", "-c", _ENTER, "sh", *map(str, confined.doors), "--", *argv]


class _Loose:
    def __init__(self, process: asyncio.subprocess.Process, name: str, confined: Confined) -> None:
        self._process = process
        self._name = name
        self._confined = confined
        self._over = False

    @property
    def process(self) -> asyncio.subprocess.Process:
        return self._process

    async def end(self) -> tuple[str, ...]:
        # Once it is gone its number may become somebody else's, who is none of ours to end.
        group = None if self._over else self._process.pid
        await asyncio.to_thread(self._confined.end)
        left = await asyncio.to_thread(end_marked, self._name, group)
        await self._process.wait()
        self._over = not left
        return left

    def exceeded(self) -> tuple[str, ...]:
        return self._confined.exceeded()


def probe() -> Probe:
    return Probe(works=True)
