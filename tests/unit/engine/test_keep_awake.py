from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator
from pathlib import Path
from select import PIPE_BUF

from codeswarm.domain import commands as cmd
from codeswarm.domain.settings import Gates
from codeswarm.engine.keep_awake import LINGER_S, MOST_TRIES, KeepAwake, inhibitor
from codeswarm.engine.kernel import Kernel
from codeswarm.environment import Environment
from codeswarm.ledger.memory import MemoryLedger
from codeswarm.testing.clock import VirtualClock
from tests.support.kernels import ONE, claim_command, start_command
from tests.support.sessions import AGENTS, settings

RECORDER = """\
#!/bin/sh
# As systemd-inhibit does, it runs the command behind the options; and it tells how it began, and that it ended.
echo "begun $*" > "$TOLD"
for last; do :; done
"$last"
echo ended > "$TOLD"
"""
BROKEN = """\
#!/bin/sh
echo "begun $*" > "$TOLD"
echo "Failed to inhibit: Access denied" >&2
exit 1
"""


class Bed:
    """A kernel, and an inhibitor that really runs."""

    def __init__(self, folder: Path, script: str | None) -> None:
        fifo, bin_ = folder / "told", folder / "bin"
        os.mkfifo(fifo)
        self.pipe = os.open(fifo, os.O_RDWR | os.O_NONBLOCK)
        """Open on both sides: whoever tells waits for no reader, and a reader for no teller."""
        self.lines = list[str]()
        bin_.mkdir()
        if script is not None:
            (bin_ / "systemd-inhibit").write_text(script)
            (bin_ / "systemd-inhibit").chmod(0o755)
        environment = Environment({"PATH": f"{bin_}:/usr/bin:/bin", "TOLD": str(fifo)})
        self.clock, self.notes = VirtualClock(), list[str]()
        self.kernel = Kernel(MemoryLedger(), self.clock)
        self.kernel.start()
        argv = inhibitor(str(bin_), os.getpid(), "linux")
        self.keeper = KeepAwake(self.kernel, self.clock, argv, environment, self.notes.append)
        self.running = asyncio.create_task(self.keeper.run())

    async def told(self) -> str:
        """The next line. Each is written at once, so none is read in part."""
        readable, loop = asyncio.Event(), asyncio.get_running_loop()
        loop.add_reader(self.pipe, readable.set)
        try:
            while not self.lines:
                await readable.wait()
                self.lines += os.read(self.pipe, PIPE_BUF).decode().splitlines()
        finally:
            loop.remove_reader(self.pipe)
        return self.lines.pop(0)

    async def held(self) -> asyncio.subprocess.Process:
        while self.keeper._held is None:
            await asyncio.sleep(0)
        return self.keeper._held

    async def begin(self, *tickets: str) -> None:
        await self.kernel.execute(ONE, start_command(ONE, *tickets, settings=settings(gates=Gates())))

    async def work(self) -> None:
        await self.kernel.execute(ONE, claim_command(roles=AGENTS))

    async def rest(self, ticket: str, epoch: int) -> None:
        await self.kernel.execute(ONE, cmd.ReleaseLease(subject=ticket, epoch=epoch, reason="done for now"))


@contextlib.asynccontextmanager
async def bed(folder: Path, script: str | None) -> AsyncIterator[Bed]:
    made = Bed(folder, script)
    try:
        yield made
    finally:
        made.running.cancel()
        await asyncio.wait({made.running})
        os.close(made.pipe)


async def test_the_machine_is_kept_awake_while_an_agent_works_and_not_before_or_after(tmp_path: Path) -> None:
    async with bed(tmp_path, RECORDER) as machine:
        await machine.begin("a")
        await machine.clock.advance(60)
        assert machine.keeper._held is None, "nobody works yet"
        await machine.work()
        told = await machine.told()
        await machine.held()
        assert told == "begun --what=idle:sleep --who=codeswarm --why=agents are at work --mode=block cat"
        await machine.rest("a", 1)
        await machine.clock.advance(LINGER_S - 1)
        assert machine.keeper._held is not None, "a ticket rests for a moment between two phases"
        ending = asyncio.create_task(machine.told())
        while not ending.done():
            await machine.clock.advance(1)
        assert ending.result() == "ended"
        assert machine.notes == []


async def test_work_that_comes_within_the_moment_is_under_the_same_inhibitor(tmp_path: Path) -> None:
    async with bed(tmp_path, RECORDER) as machine:
        await machine.begin("a")
        await machine.work()
        await machine.told()
        first = await machine.held()
        await machine.rest("a", 1)
        await machine.clock.advance(LINGER_S / 2)
        await machine.work()
        await machine.clock.advance(10 * LINGER_S)
        assert machine.keeper._held is first


async def test_an_inhibitor_that_is_refused_is_told_once_and_not_tried_for_ever(tmp_path: Path) -> None:
    async with bed(tmp_path, BROKEN) as machine:
        await machine.begin("a", "b")
        await machine.work()
        for _ in range(MOST_TRIES):
            assert (await machine.told()).startswith("begun")
        await machine.running
        (note,) = machine.notes
        assert "systemd-inhibit: Failed to inhibit: Access denied" in note
        assert "--no-keep-awake" in note


async def test_a_machine_without_one_is_told_of_once_and_nothing_fails(tmp_path: Path) -> None:
    async with bed(tmp_path, None) as machine:
        await machine.begin("a", "b")
        await machine.work()
        await machine.running
        await machine.work()
        (note,) = machine.notes
        assert "neither systemd-inhibit nor caffeinate is here" in note


def test_on_a_mac_it_is_caffeinate_for_as_long_as_we_live(tmp_path: Path) -> None:
    (tmp_path / "caffeinate").touch(0o755)
    assert inhibitor(str(tmp_path), 42, "darwin") == [str(tmp_path / "caffeinate"), "-i", "-s", "-w", "42"]
    assert inhibitor(str(tmp_path), 42, "linux") is None


async def test_a_gate_is_work_too(tmp_path: Path) -> None:
    async with bed(tmp_path, RECORDER) as machine:
        await machine.kernel.execute(ONE, start_command(ONE, "a"))
        await machine.kernel.execute(ONE, claim_command("w1"))
        assert (await machine.told()).startswith("begun")
        await machine.held()
