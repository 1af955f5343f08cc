"""Claude Code asks before it runs something: its question outlives worker and router, and an answer reaches it."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from codeswarm.agents.claude.agent import find_claude
from codeswarm.sandbox.bubblewrap import probe
from codeswarm.testing.model_server import ModelServer, Request, Say, Shell
from tests.support.processes import of as processes_of, with_environment
from tests.support.runs import Place, Started
from tests.support.terminal import Terminal

PROBE = probe()
pytestmark = [
    pytest.mark.skipif(not PROBE.works, reason=f"{PROBE.why}: {PROBE.fix}"),
    pytest.mark.skipif(find_claude(os.defpath) is None, reason="no claude: pip install claude-agent-sdk bundles it"),
]

SETTINGS = (
    '[gates]\nfast = "test ! -e forbidden.txt"\n[swarm]\nworkers = 1\nplanner = false\n[policy]\ncommands = "ask"\n'
)
MAKE = "printf THE-%s MOST > made.txt && cat made.txt"


def model(request: Request) -> object:
    """Runs one command in a conversation, and says what came of it."""
    if request.is_side_call:
        return Say("ok")
    if "MOON" in request.text:
        return Say("Then not.")
    return Say("It is done.") if "THE-MOST" in request.text else Shell(MAKE)


@pytest.fixture
async def server() -> AsyncIterator[ModelServer]:
    async with ModelServer(model) as server:
        yield server


@pytest.fixture
def place(tmp_path: Path) -> Place:
    place = Place(tmp_path)
    place.begin({"readme": "1\n", "codeswarm.toml": SETTINGS})
    return place


async def begin(place: Place, server: ModelServer, *words: str) -> tuple[Started, dict[str, Any]]:
    """A run whose agent asks, and the question."""
    tickets = place.tickets([{"id": "t1", "title": "Make it", "pipeline": "single"}])
    place.environment |= server.environment("claude")
    run = await place.start("run", "--tickets", str(tickets), "--agent", "claude", *words)
    return run, (await run.until("ApprovalRequested"))["data"]


async def test_what_a_person_allows_is_run_and_lands(place: Place, server: ModelServer) -> None:
    run, asked = await begin(place, server, "--wait")
    assert (asked["subject"], asked["command"], asked["cwd"]) == ("execution", MAKE, "/codeswarm/workspace")
    assert MAKE in place.run("approvals").out
    assert place.run("approve", "a1").code == 0
    assert await run.end() == 0
    kinds = [event["kind"] for event in run.events]
    assert kinds.index("ApprovalGranted") < kinds.index("ApprovalUsed") < kinds.index("TicketLanded")
    late = place.run("approve", "a1")
    assert late.code == 2
    assert "granted already" in late.err


async def test_what_a_person_refuses_is_not_run_and_the_model_reads_why(place: Place, server: ModelServer) -> None:
    run, _ = await begin(place, server, "--wait")
    assert place.run("reject", "a1", "--why", "the MOON is full").code == 0
    failed = await run.until("AttemptFailed")
    assert failed["data"]["failure"]["failure_class"] == "nothing_changed"
    run.process.send_signal(signal.SIGKILL)
    await run.process.wait()


async def test_without_a_terminal_nobody_is_waited_for_and_the_answer_is_found_later(
    place: Place, server: ModelServer
) -> None:
    run, _ = await begin(place, server)
    assert await run.end() == 3
    assert processes_of(place.root / "cache") == []
    answered = place.run("approve", "a1")
    assert answered.code == 0
    assert "finds the answer when it goes on" in answered.out
    again = await place.start("resume")
    assert await again.end() == 0
    kinds = [event["kind"] for event in again.events]
    assert kinds.count("ApprovalRequested") == 1, "it asks the same question again, which has its answer"
    assert kinds.count("ApprovalUsed") == kinds.count("TicketLanded") == 1


async def test_a_question_outlives_its_worker_and_its_router(place: Place, server: ModelServer) -> None:
    run, asked = await begin(place, server, "--wait")
    for pid in with_environment(f"HOME={place.root / 'home'}", b"codeswarm.worker"):
        os.kill(pid, signal.SIGKILL)
    started = await run.until("AttemptStarted", epoch=2)
    assert started["data"]["resumed"]
    run.process.send_signal(signal.SIGKILL)
    await run.process.wait()
    again = await place.start("resume", "--wait")
    await again.until("SessionStarted")
    assert place.run("approve", asked["approval"]).code == 0
    assert await again.end() == 0
    kinds = [event["kind"] for event in again.events]
    assert kinds.count("ApprovalRequested") == kinds.count("ApprovalUsed") == kinds.count("TicketLanded") == 1


async def test_on_a_terminal_it_is_asked_where_the_run_is_watched(place: Place, server: ModelServer) -> None:
    tickets = place.tickets([{"id": "t1", "title": "Make it", "pipeline": "single"}])
    place.environment |= server.environment("claude")

    def answered() -> tuple[int, str]:
        with Terminal(place, "run", "--tickets", str(tickets), "--agent", "claude", timeout_s=120) as terminal:
            terminal.until("approve / edit / reject / later [later]? ")  # the plan
            terminal.type("approve\n")
            terminal.until(f"asks to run `{MAKE}`")
            terminal.until("in /codeswarm/workspace:")
            terminal.until("approve / reject / later [later]? ")
            terminal.type("approve\n")
            terminal.until("1 of 1 ticket landed")
            terminal.until("save to main?")
            terminal.type("no\n")
            return terminal.end(), terminal.text

    code, shown = await asyncio.to_thread(answered)
    assert code == 0, shown
    timeline = place.run("--json", "timeline").lines()
    assert [event["kind"] for event in timeline].count("ApprovalUsed") == 1
