"""What a CLI may do that its protocol does not know: each adapter ends the turn as what it was."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from codeswarm.agents import program
from codeswarm.agents.base import AgentSpec, Ending
from codeswarm.agents.claude.agent import ClaudeAgent
from codeswarm.domain.results import FailureClass as F
from codeswarm.environment import Login
from codeswarm.testing.stage import OpenStage
from tests.mutations.adapters import Adapter, all_adapters
from tests.mutations.program import Heard

ADAPTERS = {name: adapter for name, adapter in all_adapters().items() if not adapter.by_code}
each = pytest.mark.parametrize("adapter", ADAPTERS.values(), ids=ADAPTERS)
UNKNOWN = b'{"type":"novelty","method":"novelty/begun","params":{"item":{"type":"novelty"}}}\n'
CODES = b"\x1b[2J\x1b]0;mine\x07 \x00 \xff\n"


def lines(adapter: Adapter) -> list[bytes]:
    return adapter.success.splitlines(keepends=True)


def ended(adapter: Adapter, said: list[bytes], code: int = 0) -> Ending:
    return asyncio.run(adapter.play(b"".join(said), code))


def class_of(ending: Ending) -> F | None:
    return ending.failure.failure_class if ending.failure else None


@each
def test_an_end_that_is_said_twice_is_one_end(adapter: Adapter) -> None:
    assert ended(adapter, [*lines(adapter), lines(adapter)[-1]]).failure is None


@each
def test_what_is_said_behind_the_end_changes_nothing(adapter: Adapter) -> None:
    said = lines(adapter)
    assert ended(adapter, [*said, *said[adapter.begins : -1], UNKNOWN, CODES]).failure is None


@each
def test_a_good_end_and_then_a_bad_exit_is_a_crash(adapter: Adapter) -> None:
    assert class_of(ended(adapter, lines(adapter), 1)) is F.CRASHED


@each
def test_no_end_and_then_a_good_exit_is_a_crash(adapter: Adapter) -> None:
    assert class_of(ended(adapter, lines(adapter)[:-1])) is F.CRASHED


@each
def test_events_that_nobody_knows_and_bytes_that_are_no_text_are_passed_over(adapter: Adapter) -> None:
    said = lines(adapter)
    between = [part for line in said[adapter.begins : -1] for part in (UNKNOWN, CODES, line)]
    assert ended(adapter, [*said[: adapter.begins], *between, said[-1]]).failure is None


@each
def test_an_end_with_an_endless_number_is_none(adapter: Adapter) -> None:
    end = json.dumps({**json.loads(lines(adapter)[-1]), "more": 1}).replace('"more": 1', '"more": 1e999')
    assert ended(adapter, [*lines(adapter)[:-1], end.encode() + b"\n"]).failure is not None


@each
def test_an_end_that_says_both_is_no_success(adapter: Adapter) -> None:
    good = lines(adapter)[-1]
    for failure in adapter.failures.values():
        said = failure.splitlines(keepends=True)
        bad = said[-1]
        for one, other in ((bad, good), (good, bad)):
            both = one.rstrip()[:-1] + b"," + other[1:]
            assert json.loads(both)
            assert ended(adapter, [*said[:-1], both]).failure is not None


@each
def test_questions_without_a_name_or_of_one_name_are_no_fault(adapter: Adapter) -> None:
    asked: list[dict[str, Any]] = [
        {"type": "control_request", "request_id": "q", "request": {"subtype": "can_use_tool", "tool_name": "Bash"}},
        {"type": "control_request", "request_id": ["q"], "request": {}},
        {"type": "control_cancel_request", "request_id": "nobody"},
        {"id": 7, "method": "item/commandExecution/requestApproval", "params": {"itemId": "unknown"}},
        {"id": "7", "method": "item/fileChange/requestApproval", "params": []},
        {"jsonrpc": "2.0", "id": 8, "method": "session/request_permission", "params": {"sessionId": "s-9"}},
        {"jsonrpc": "2.0", "id": 8, "method": "session/request_permission", "params": {}},
        {"id": 99, "result": {}},
    ]
    doubled = [json.dumps(question).encode() + b"\n" for question in asked * 2]
    said = lines(adapter)
    assert ended(adapter, [*said[: adapter.begins], *doubled, *said[adapter.begins :]]).failure is None


@pytest.mark.parametrize("name", ["claude", "codex"])
async def test_no_flood_of_questions_is_kept(name: str) -> None:
    class Slow(Heard):
        async def ask(self, question: Any) -> Any:
            self.asked.append(question)
            await asyncio.Event().wait()

    question = {
        "claude": {"type": "control_request", "request": {"subtype": "can_use_tool", "tool_name": "Bash"}},
        "codex": {"method": "item/commandExecution/requestApproval", "params": {"itemId": "i"}},
    }[name]
    asked = [json.dumps({**question, "id": n, "request_id": f"q{n}"}).encode() + b"\n" for n in range(1000)]
    adapter = ADAPTERS[name]
    said = lines(adapter)
    parts = [*(b"".join(said[i : i + 1]) for i in range(adapter.begins)), b"".join([*asked, *said[adapter.begins :]])]
    stage = Slow(parts, 0)
    talk = await adapter.open(stage)
    assert (await talk.turn("Do it.")).failure is None
    await talk.close()
    assert 0 < len(stage.asked) <= 100


# ── as processes ──

STAND_IN = "#!/bin/sh\nread -r first\n{then}\n"


def claude_that(folder: Path, then: str) -> ClaudeAgent:
    binary = folder / "bin" / "claude"
    binary.parent.mkdir()
    binary.write_text(STAND_IN.replace("{then}", then))
    binary.chmod(0o755)
    return ClaudeAgent(AgentSpec("claude"), Login(f"{binary.parent}:/usr/bin:/bin", {"ANTHROPIC_API_KEY": "k"}))


async def whole(folder: Path, then: str) -> Ending:
    stage = OpenStage(folder)
    talk = await claude_that(folder, then).open(stage.task(), stage)
    ending = await asyncio.wait_for(talk.turn("Do it."), 60)
    failure = await talk.close()
    assert await stage.end_all() == ()
    return ending if ending.failure else Ending(failure, ending.usage, ending.summary)


async def test_one_that_closes_its_output_and_stays_is_ended_as_a_crash(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(program, "MUTE_S", 0.01)
    ending = await whole(tmp_path, "trap '' TERM HUP INT; exec >&-; sleep 600 & sleep 600")
    assert ending.failure is not None
    assert ending.failure.failure_class is F.CRASHED
    assert "closed its output" in ending.failure.message


async def test_a_flood_on_its_standard_error_neither_blocks_nor_hides_its_end(tmp_path: Path) -> None:
    (tmp_path / "said").write_bytes(ADAPTERS["claude"].success)
    flood = "head -c 3000000 /dev/zero | tr '\\0' '\\n' >&2; head -c 100000000 /dev/zero >&2; echo the end >&2"
    assert (await whole(tmp_path, f"{flood}; cat {tmp_path / 'said'}; cat > /dev/null")).failure is None


async def test_the_last_words_of_a_flood_are_in_the_message_of_a_crash(tmp_path: Path) -> None:
    ending = await whole(tmp_path, "yes | head -n 200000 >&2; echo out of luck >&2; exit 3")
    assert ending.failure is not None
    assert ending.failure.message.endswith("out of luck")
