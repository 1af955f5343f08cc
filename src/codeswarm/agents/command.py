"""`command:COMMAND`: any program can be an agent.

The prompt is on its standard input, the bundle and the place for its result are in its environment. Exit 0 is done,
75 is "try me later" (EX_TEMPFAIL, sysexits.h), anything else failed. Lines of JSON with a known `type` on its standard
output are activities; everything else is its transcript.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import shlex
from itertools import dropwhile
from pathlib import Path
from typing import Any

from codeswarm.agents.base import Activity, AgentSpec, Capabilities, Ending, Health, Stage, Task
from codeswarm.agents.lines import read_lines, read_object
from codeswarm.agents.program import end_with_main
from codeswarm.agents.usage import newest
from codeswarm.domain.results import FailureClass, Usage
from codeswarm.host import program
from codeswarm.process import KILLED
from codeswarm.sandbox.base import Running

TYPES = frozenset({"turn", "assistant", "reasoning", "command_started", "command_completed", "file_change", "usage"})
TRY_LATER = 75


class CommandAgent:
    can = Capabilities()

    def __init__(self, spec: AgentSpec, directory: Path, home: Path) -> None:
        """`directory` is where relative names in the command are looked up: where the person typed it."""
        self.spec = spec
        self._directory = directory
        self._home = home

    def check(self) -> Health:
        if not self.spec.argument:
            return Health(works=False, what="command: names no command", fix="--agent 'command:./my-agent --flag'")
        return program_missing(self.spec.argument, self._directory) or Health(
            works=True, what=f"command {self.spec.argument}"
        )

    async def open(self, task: Task, stage: Stage) -> CommandConversation:
        return CommandConversation(self, task, stage)

    async def start(self, task: Task, stage: Stage) -> Running:
        command, visible = program(self.spec.argument, self._directory, self._home)
        argv = ["/bin/sh", "-c", command]
        return await stage.start(argv, task.environment(), visible, stderr=asyncio.subprocess.STDOUT)


class CommandConversation:
    """One turn: the program is started with it, and has ended at its end."""

    id = ""

    def __init__(self, agent: CommandAgent, task: Task, stage: Stage) -> None:
        self._agent = agent
        self._task = task
        self._stage = stage
        self._stop = asyncio.Event()

    async def turn(self, prompt: str) -> Ending:
        running = await self._agent.start(self._task, self._stage)
        ear = _Ear(self._stage)
        assert running.process.stdin is not None
        assert running.process.stdout is not None
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(feed(running.process.stdin, prompt))
            tasks.create_task(ear.listen(running.process.stdout))
            tasks.create_task(end_with_main(running, self._stop))
        return ending_of(await running.process.wait(), ear.usage, ear.last)

    async def say(self, text: str) -> bool:
        """Its standard input is closed: whoever reads a prompt must know where it ends."""
        return False

    async def interrupt(self) -> None:
        self._stop.set()

    async def close(self) -> None:
        """The program has gone with its turn."""


_ASSIGNMENT = re.compile(r"[A-Za-z_]\w*=")
_SHELL = frozenset("$`*?~(){}[]<>|&;=")
"""Signs that mean something to a shell."""


def program_missing(command: str, directory: Path) -> Health | None:
    """What is wrong with the program that a command begins with, where that is named by a path; else None.

    A shell runs the command: variables may be set before the program, and what it makes of other signs it tells itself.
    """
    try:
        first = next(dropwhile(_ASSIGNMENT.match, shlex.split(command)), "")
    except ValueError as error:
        return Health(
            works=False, what=f"the command {command!r} can't be read: {error}", fix="codeswarm example agent"
        )
    path = directory / first
    if "/" not in first or set(first) & _SHELL:
        return None
    quoted = shlex.quote(str(path))
    if not path.exists():
        make = f"codeswarm example agent > {quoted} && chmod +x {quoted}"
        return Health(works=False, what=f"there is no program {path}", fix=f"{make}   # or name one that is there")
    if path.is_file() and not os.access(path, os.X_OK):
        return Health(works=False, what=f"{path} can't be executed", fix=f"chmod +x {quoted}")
    return None


class _Ear:
    """Hears a program's output line by line."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        self.usage = Usage()
        self.last = ""

    async def listen(self, output: asyncio.StreamReader) -> None:
        async for line, cut in read_lines(output):
            activity = activity_of(line, cut)
            self.usage = usage_of(activity, self.usage)
            self.last = activity.text or self.last
            await self._stage.emit(activity)


def ending_of(code: int, usage: Usage, last: str) -> Ending:
    if code == 0:
        return Ending(usage=usage, summary=last)
    if code == TRY_LATER:
        return Ending.failed(FailureClass.TRY_LATER, "the agent asked to be tried later (exit 75)", usage=usage)
    killed = code in KILLED
    how = f"was ended by signal {9 if killed else -code}" if killed or code < 0 else f"exited with {code}"
    class_ = FailureClass.LOST if killed else FailureClass.CRASHED
    return Ending.failed(class_, f"the agent {how}: {last[-300:]}".rstrip(": "), usage=usage, summary=last)


async def feed(stdin: asyncio.StreamWriter, text: str) -> None:
    """Write a prompt; an agent that does not read it may close its end."""
    with contextlib.suppress(BrokenPipeError, ConnectionResetError):
        stdin.write(text.encode())
        await stdin.drain()
        stdin.close()


def activity_of(line: str, cut: int, types: frozenset[str] = TYPES) -> Activity:
    """What one line of output says: an activity of a known type, or just output."""
    if cut:
        return Activity("output", text=f"{line[:2000]}… [a line of {len(line) + cut} bytes, cut]")
    found = read_object(line)
    if found is not None and isinstance(found.get("type"), str) and found["type"] in types:
        return Activity(found["type"], text=_text_of(found), data=found, raw=line)
    return Activity("output", text=line)


def _text_of(found: dict[str, Any]) -> str:
    for key in ("text", "message", "content", "command"):
        if isinstance(found.get(key), str):
            return str(found[key])
    return ""


def usage_of(activity: Activity, before: Usage) -> Usage:
    """The newest usage figures: they are cumulative, and what an activity leaves out is as it was."""
    if activity.type != "usage":
        return before
    within = activity.data.get("usage")
    return newest(within if isinstance(within, dict) else activity.data, before)
