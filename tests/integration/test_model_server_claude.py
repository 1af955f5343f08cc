"""The real Claude Code, run against the scripted model server."""

from __future__ import annotations

import asyncio
import importlib.util
import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from codeswarm.testing.model_server import (
    Answer,
    DropInStream,
    HangInStream,
    ModelServer,
    Overloaded,
    Refuse,
    Say,
    ScriptEnded,
    Shell,
    Think,
    Tokens,
    Turn,
    Unauthorized,
    WriteFile,
    conversation,
    sequence,
)
from tests.support.model_wires import LONG


class Claude:
    """Runs the bundled binary in a world of its own: no home, no key, no account, only the scripted model."""

    def __init__(self, folder: Path) -> None:
        self.workspace = folder / "workspace"
        for name in ("home", "tmp", "workspace"):
            (folder / name).mkdir()
        self.env = {
            "PATH": "/usr/bin:/bin",
            "HOME": str(folder / "home"),
            "TMPDIR": str(folder / "tmp"),
            "TERM": "dumb",
            "LANG": "C.UTF-8",
            "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
            "DISABLE_AUTOUPDATER": "1",
            "IS_SANDBOX": "1",
        }
        subprocess.run(["git", "init", "--quiet", self.workspace], check=True, env=self.env)

    async def run(self, server: ModelServer, prompt: str, **env: str) -> tuple[int | None, dict[str, Any]]:
        """Exit code and the `result` line."""
        spec = importlib.util.find_spec("claude_agent_sdk")
        assert spec is not None and spec.origin is not None
        binary = Path(spec.origin).parent / "_bundled/claude"
        arguments = "-p --input-format stream-json --output-format stream-json --verbose --model sonnet"
        process = await asyncio.create_subprocess_exec(
            *(str(binary), *arguments.split(), "--permission-mode", "bypassPermissions"),
            cwd=self.workspace,
            env={**self.env, **server.environment("claude"), **env},
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
        )
        line = json.dumps({"type": "user", "message": {"role": "user", "content": prompt}}) + "\n"
        try:
            out, _ = await process.communicate(line.encode())
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
        return process.returncode, json.loads(out.splitlines()[-1])


@pytest.fixture
def claude(tmp_path: Path) -> Claude:
    return Claude(tmp_path)


async def test_claude_does_what_the_script_says_and_counts_its_tokens(claude: Claude) -> None:
    script = conversation(
        [
            Turn(Think("Hm."), Say("I'll look."), Shell("echo from the shell > shell.txt"), usage=Tokens(1000, 20)),
            Turn(WriteFile("deep/written.txt", "it's\n"), usage=Tokens(2000, 30, cached=500)),
            Turn(Say(LONG), usage=Tokens(3000, 40)),
        ]
    )
    async with ModelServer(script) as server:
        code, result = await claude.run(server, "Do ticket 7.")
    assert (code, result["is_error"], result["result"]) == (0, False, LONG)
    assert (claude.workspace / "shell.txt").read_text() == "from the shell\n"
    assert (claude.workspace / "deep/written.txt").read_text() == "it's\n"
    usage = {"input_tokens": 5500, "cache_read_input_tokens": 500, "output_tokens": 90}
    assert usage.items() <= result["usage"].items()
    assert [request.turns for request in server.requests] == [0, 1, 2]
    assert {request.last_user_text for request in server.requests} == {"Do ticket 7."}
    assert not any(request.is_side_call for request in server.requests)


@pytest.mark.parametrize(
    ("fault", "status"), [(Unauthorized(), 401), (Overloaded(), 529), (Refuse(409, "no house rules"), 409)]
)
async def test_claude_fails_with_the_status_that_it_is_refused_with(claude: Claude, fault: Answer, status: int) -> None:
    async with ModelServer(fault) as server:
        code, result = await claude.run(server, "Do it.", CLAUDE_CODE_MAX_RETRIES="0")
    assert (code, result["is_error"], result["api_error_status"]) == (1, True, status)
    assert len(server.requests) == 1


async def test_claude_tries_again_after_a_dropped_stream(claude: Claude) -> None:
    async with ModelServer(sequence([DropInStream(), Say("recovered")])) as server:
        code, result = await claude.run(server, "Do it.")
    assert (code, result["result"]) == (0, "recovered")


async def test_claude_waits_while_the_stream_hangs_and_goes_on_when_it_is_released(claude: Claude) -> None:
    async with ModelServer(HangInStream(4, Say(LONG))) as server:
        running = asyncio.create_task(claude.run(server, "Do it."))
        await server.hanging()
        assert not running.done()
        server.release()
        code, result = await running
    assert (code, result["result"]) == (0, LONG)


async def test_claude_sees_an_error_of_the_script_at_once(claude: Claude) -> None:
    async with ModelServer(sequence([])) as server:
        code, result = await claude.run(server, "Do it.")
        assert isinstance(server.errors.pop(), ScriptEnded)
    assert code == 1
    assert "the sequence has no answer for request 1" in result["result"]
    assert len(server.requests) == 1
