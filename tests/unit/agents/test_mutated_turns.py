"""Thousands of damaged turns, in process: none crashes an adapter, and none without its good end is a success."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from codeswarm.agents import program
from codeswarm.agents.acp.agent import AcpAgent
from codeswarm.agents.api.agent import ApiAgent
from codeswarm.agents.base import Agent, AgentSpec, Ending
from codeswarm.environment import Login
from codeswarm.sandbox.base import Running
from codeswarm.testing.stage import OpenStage
from tests.unit.agents.test_acp_lines import BEGUN, TURN

TURNS = 1000


@pytest.fixture(autouse=True)
def no_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """There is none whose end the kernel could tell of."""
    monkeypatch.setattr(program, "exited", lambda process: process.wait())


GARBAGE = (
    b"\xff\xfe\x00\n",
    b"{" * 200 + b"\n",
    b'{"a":' * 300 + b"\n",
    b"\n",
    b"[]\n",
    b'{"type": "ended"}\n',
    b"null\n",
)
SAID = [
    {"type": "reasoning", "text": "hm"},
    {"type": "assistant", "text": "I look."},
    {"type": "command_started", "text": "ls", "tool": "shell"},
    {"type": "command_completed", "text": "a.txt", "tool": "shell"},
    {"type": "usage", "input_tokens": 20, "output_tokens": 10},
    {"type": "assistant", "text": "Done."},
    {"type": "ended", "outcome": "done", "heard": 0, "usage": {"input_tokens": 20}, "said": "Done."},
]
LOOP = [json.dumps(message).encode() + b"\n" for message in SAID]


class Input:
    """A program's standard input: with each line that it gets, the program says the next part."""

    def __init__(self, next_part: Callable[[], None]) -> None:
        self._next_part = next_part
        self._closed = False
        self.transport = SimpleNamespace(get_write_buffer_size=lambda: 0)

    def write(self, data: bytes) -> None:
        self._next_part()

    def is_closing(self) -> bool:
        return self._closed

    def close(self) -> None:
        self._closed = True


class Played:
    """A program that is none: it says its parts, and ends with the last of them."""

    def __init__(self, parts: Sequence[bytes]) -> None:
        self._parts = list(parts)
        self.stdin = Input(self._next_part)
        self.stdout, self.stderr = asyncio.StreamReader(), asyncio.StreamReader()
        self.returncode: int | None = None
        self.pid = 0
        self._ended = asyncio.Event()

    @property
    def process(self) -> Any:
        return self

    def _next_part(self) -> None:
        if self._parts:
            self.stdout.feed_data(self._parts.pop(0))
        if not self._parts and self.returncode is None:
            self.returncode = 0
            self.stdout.feed_eof()
            self.stderr.feed_eof()
            self._ended.set()

    async def wait(self) -> int:
        await self._ended.wait()
        return self.returncode or 0

    async def end(self) -> tuple[str, ...]:
        self._parts.clear()
        self._next_part()
        return ()

    def exceeded(self) -> tuple[str, ...]:
        return ()


class PlayedStage(OpenStage):
    def __init__(self, folder: Path, parts: Sequence[bytes]) -> None:
        super().__init__(folder)
        self._program = Played(parts)

    async def start(
        self, argv: Sequence[str], env: Mapping[str, str], visible: Sequence[Any] = (), *, stderr: int | None = None
    ) -> Running:
        return self._program


async def played(agent: Agent, folder: Path, parts: Sequence[bytes]) -> Ending:
    stage = PlayedStage(folder, parts)
    talk = await agent.open(stage.task(), stage)
    ending = await talk.turn("Do it.")
    failure = await talk.close()
    return ending if ending.failure else Ending(failure, ending.usage, ending.summary)


def damaged(lines: Sequence[bytes], chance: random.Random) -> list[bytes]:
    """Lines that are cut, doubled, swapped, torn into each other, and between others' bytes."""
    found = [line for line in lines for _ in range(chance.choice((0, 1, 1, 1, 1, 2)))]
    if chance.random() < 0.3:
        chance.shuffle(found)
    for place, line in enumerate(found):
        if chance.random() < 0.2:
            at = chance.randrange(len(line))
            found[place] = line[:at] + chance.randbytes(chance.randrange(4)).replace(b"\n", b"") + line[at + 1 :]
    for _ in range(chance.randrange(3)):
        found.insert(chance.randrange(len(found) + 1), chance.choice(GARBAGE))
    return found


def acp(folder: Path) -> Agent:
    return AcpAgent(AgentSpec("acp", "cat"), folder, folder, Login("/usr/bin:/bin", {}))


def api(folder: Path) -> Agent:
    return ApiAgent(AgentSpec("api", "m-1"), Login("", {}, {"OPENAI_API_KEY": "none"}))


@pytest.mark.parametrize(("make", "begun", "turn"), [(acp, BEGUN, TURN), (api, [], LOOP)], ids=["acp", "api"])
async def test_no_damaged_turn_is_a_success_without_its_end(
    tmp_path: Path, make: Callable[[Path], Agent], begun: list[bytes], turn: list[bytes]
) -> None:
    assert (await played(make(tmp_path), tmp_path, [*begun, b"".join(turn)])).failure is None
    chance, agent = random.Random(11), make(tmp_path)
    for number in range(TURNS):
        end = turn[-1]
        last = (b"", end[: chance.randrange(len(end) - 1)], end)[number % 3]
        torn = b"".join(damaged(turn[:-1], chance))
        async with asyncio.timeout(60):
            ending = await played(agent, tmp_path, [*begun, torn + last])
        assert ending.failure is not None or last == end, torn


async def test_a_beginning_that_is_damaged_is_told_by_the_first_turn(tmp_path: Path) -> None:
    chance, agent = random.Random(12), acp(tmp_path)
    for _ in range(300):
        async with asyncio.timeout(60):
            ending = await played(agent, tmp_path, [b"".join(damaged([*BEGUN, *TURN[:-1]], chance))])
        assert ending.failure is not None
