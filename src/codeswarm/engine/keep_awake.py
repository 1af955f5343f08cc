"""Keeps the machine awake while agents or gates are at work, and not a moment longer. Never fails: at worst it says so.

The inhibitor is a process that ends with us, whatever ends us: under systemd it runs `cat` on a pipe that only we hold
open, and caffeinate watches our process.
"""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

from codeswarm.clock import Clock, within
from codeswarm.domain.session import Session
from codeswarm.engine.kernel import Kernel
from codeswarm.environment import Environment
from codeswarm.ledger.base import Recorded
from codeswarm.process import exited, kill_unreaped, spawn
from codeswarm.waiting import first_of

LINGER_S = 10.0
"""Held so much longer than there is work: between two phases a ticket rests for a moment."""
MOST_TRIES = 3
"""An inhibitor that ends by itself is started again, but not for ever."""
ENDING_S = 5.0
WHY = "agents are at work"


def inhibitor(path: str, pid: int, platform: str = sys.platform) -> list[str] | None:
    """What to run on this machine; None: there is nothing that keeps it awake.

    Source: systemd-inhibit(1), caffeinate(8).
    """
    if platform == "darwin":
        found = shutil.which("caffeinate", path=path)
        return [found, "-i", "-s", "-w", str(pid)] if found else None
    found = shutil.which("systemd-inhibit", path=path)
    return [found, "--what=idle:sleep", "--who=codeswarm", f"--why={WHY}", "--mode=block", "cat"] if found else None


class KeepAwake:
    def __init__(
        self,
        kernel: Kernel,
        clock: Clock,
        argv: list[str] | None,
        environment: Environment,
        note: Callable[[str], None],
    ) -> None:
        """`note`: one line for the person, said at most once."""
        self._kernel = kernel
        self._clock = clock
        self._argv = argv
        self._environment = environment
        self._note = note
        self._news = asyncio.Event()
        self._held: asyncio.subprocess.Process | None = None
        self._tries = 0
        kernel.observe(self._observe)

    def _observe(self, records: list[Recorded]) -> None:
        self._news.set()

    async def run(self) -> None:
        """Hold and let go as work comes and goes. Until cancelled; then it is let go."""
        try:
            while self._tries < MOST_TRIES:
                self._news.clear()
                if self._work():
                    await self._hold()
                elif self._held is not None and not await self._more_within(LINGER_S):
                    await self._let_go()
                    continue
                if self._tries < MOST_TRIES:
                    await self._change()
        finally:
            await self._let_go()

    def _work(self) -> bool:
        return any(map(at_work, self._kernel.live_sessions()))

    async def _more_within(self, seconds: float) -> bool:
        """Whether something happens before so much time is over; then it is looked at again."""
        news = asyncio.ensure_future(self._news.wait())
        try:
            return await within(self._clock, seconds, news)
        finally:
            news.cancel()

    async def _change(self) -> None:
        """Until something happens in a session, or the inhibitor has ended."""
        if self._held is None:
            await self._news.wait()
            return
        _, has_ended = await first_of(self._news.wait(), exited(self._held))
        if has_ended:
            await self._has_ended()

    async def _hold(self) -> None:
        if self._held is not None:
            return None
        if self._argv is None:
            return self._give_up("neither systemd-inhibit nor caffeinate is here")
        try:
            self._held = await spawn(
                self._argv,
                cwd=Path("/"),
                env=self._environment.variables,
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.DEVNULL,
            )
        except OSError as error:
            self._give_up(str(error))

    async def _has_ended(self) -> None:
        """It ended by itself: it could not do it, or somebody ended it."""
        process = self._held
        assert process is not None
        told = await _closed(process)
        self._held = None
        self._tries += 1
        self._news.set()
        if self._tries >= MOST_TRIES:
            why = told.decode(errors="replace").strip().splitlines()[-1:] or [f"exit code {process.returncode}"]
            self._give_up(f"{Path((self._argv or ['it'])[0]).name}: {why[0]}")

    def _give_up(self, why: str) -> None:
        self._tries = MOST_TRIES
        self._note(f"this machine may fall asleep while agents work ({why}); with --no-keep-awake it is not tried")

    async def _let_go(self) -> None:
        """Until it is gone; if that is cancelled it is still held, and let go of at the end."""
        process = self._held
        if process is None:
            return
        if self._argv is not None and self._argv[-1] != "cat":
            kill_unreaped(process)
        try:
            async with asyncio.timeout(ENDING_S):
                await _closed(process)
        except TimeoutError:
            kill_unreaped(process)
            with contextlib.suppress(ProcessLookupError):
                await process.wait()
        self._held = None


async def _closed(process: asyncio.subprocess.Process) -> bytes:
    """Let go of its pipe, upon which `cat` ends, and the inhibitor with it; what it had to say."""
    assert process.stdin is not None
    process.stdin.close()
    _, told = await process.communicate()
    with contextlib.suppress(OSError):
        await process.stdin.wait_closed()
    return told


def at_work(session: Session) -> bool:
    """Whether an agent or a gate of it is under way."""
    return bool(session.in_progress) or any(gate.live_epoch is not None for gate in session.gates.values())
