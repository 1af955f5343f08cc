"""A program that speaks in lines, where it means harm: what it makes us keep is bounded."""

from __future__ import annotations

import asyncio
import errno
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from codeswarm.agents.base import Permission, Question
from codeswarm.agents.claude.asking import ASKED_MAX, ClaudeAsking
from codeswarm.agents.program import UNREAD_MAX, Program
from codeswarm.testing.stage import OpenStage, QuietStage


async def test_who_reads_nothing_is_told_nothing_more_once_too_much_waits(tmp_path: Path) -> None:
    async def hear(line: str, cut: int) -> None:
        raise AssertionError(line)

    stage = OpenStage(tmp_path)
    running = await stage.start(["sleep", "60"], {})
    program = Program("sleeper", stage, running, hear)
    told = 0
    while program.write({"text": "x" * (1 << 20)}):
        told += 1
        assert told < 2 * (UNREAD_MAX >> 20)
    assert told >= UNREAD_MAX >> 20
    await running.end()
    await program.finish()


async def test_a_full_disk_is_told_as_such_by_whoever_listens(tmp_path: Path) -> None:
    async def hear(line: str, cut: int) -> None:
        raise OSError(errno.ENOSPC, "no space left")

    stage = OpenStage(tmp_path)
    program = Program("teller", stage, await stage.start(["echo", "a word"], {}), hear)
    with pytest.raises(OSError, match="no space left"):
        await program.finish()
    await stage.end_all()


async def test_only_what_a_shell_runs_is_asked_about_as_a_command() -> None:
    stage = QuietStage()
    asking = ClaudeAsking(stage, "/w", lambda message: True)
    for tool in ("Bash", "mcp__prod__run"):
        request = {"subtype": "can_use_tool", "tool_name": tool, "input": {"command": "make test", "host": "prod"}}
        asking.hear({"type": "control_request", "request_id": tool, "request": request}, "")
    while len(stage.asked) < 2:
        await asyncio.sleep(0)
    await asking.close()
    assert [question.command for question in stage.asked] == ["make test", "mcp__prod__run make test prod"]


class Undecided(QuietStage):
    """Nobody answers."""

    async def ask(self, question: Question) -> Permission:
        await asyncio.get_running_loop().create_future()
        raise AssertionError


async def test_only_so_many_questions_are_open_at_a_time_and_each_of_them_once_and_the_others_are_refused() -> None:
    written: list[Mapping[str, Any]] = []
    asking = ClaudeAsking(Undecided(), "/w", lambda message: not written.append(message))
    before = len(asyncio.all_tasks())
    request = {"subtype": "can_use_tool", "tool_name": "Bash", "input": {"command": "ls"}}
    for number in range(3 * ASKED_MAX):
        assert asking.hear({"type": "control_request", "request_id": f"r{number}", "request": request}, "")
    assert asking.hear({"type": "control_request", "request_id": "r0", "request": request}, "")
    assert len(asyncio.all_tasks()) - before == ASKED_MAX
    await asking.close()
    assert {message["type"] for message in written} == {"control_response"}
    refused = [(answer["subtype"], answer["request_id"]) for answer in (message["response"] for message in written)]
    assert refused == [("error", f"r{number}") for number in range(ASKED_MAX, 3 * ASKED_MAX)]
