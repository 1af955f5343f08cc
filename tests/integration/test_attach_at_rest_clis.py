"""A person goes on by hand with the conversation of an agent that failed: the CLI itself, real, on their terminal."""

from __future__ import annotations

import asyncio
import contextlib
from pathlib import Path

import pytest

from codeswarm.sandbox.bubblewrap import probe
from codeswarm.testing.model_server import ModelServer, Request, Say, Shell
from tests.support.controlling_terminal import Terminal
from tests.support.real_clis import needs_claude, needs_codex
from tests.support.runs import Place

PROBE = probe()
pytestmark = pytest.mark.skipif(not PROBE.works, reason=f"{PROBE.why}: {PROBE.fix}")

AGAIN_S = 0.5
SETTINGS = """\
[gates]
fast = "test -e mended.txt"
[swarm]
workers = 1
planner = false
[policy]
max_attempts = 1
"""


CODEX_ASKS = (("esc quit", "\r", "existing"), ("existing", "2", "Worked for"))
"""Whether to open a folder that nobody said it may trust, and whether to go over to its newest model."""


def model(request: Request) -> object:
    """Leaves the task undone until a person has been there."""
    if request.is_side_call:
        return Say("ok")
    if "WELCOME" in request.last_user_text:
        return Say("GLAD-TO-SEE-YOU")
    if "has worked on this by hand" in request.text:
        return Say("Done.") if "MENDED-IT" in request.text else Shell("touch mended.txt; echo MENDED-IT")
    return Say("Done.") if "MADE-IT" in request.text else Shell("touch made.txt; echo MADE-IT")


async def press_until(terminal: Terminal, key: str, text: str) -> None:
    """A question that has just come up is deaf for a moment: answered again until something follows."""
    while text not in terminal.shown:
        terminal.type(key)
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(terminal.until(text), AGAIN_S)


@pytest.mark.parametrize(
    ("agent", "asked", "ready", "farewell"),
    [
        pytest.param("claude", (), "manual mode on", "/exit", marks=needs_claude),
        pytest.param("codex:gpt-5.5", CODEX_ASKS, "Worked for", "/quit", marks=needs_codex),
    ],
)
async def test_a_failed_agents_conversation_goes_on_by_hand_and_then_by_the_agent(
    tmp_path: Path, agent: str, asked: tuple[tuple[str, str, str], ...], ready: str, farewell: str
) -> None:
    place = Place(tmp_path)
    place.begin({"readme": "1\n", "codeswarm.toml": SETTINGS})
    tickets = place.tickets([{"id": "t1", "title": "Make it", "pipeline": "single"}])
    async with ModelServer(model) as server:
        place.environment |= server.environment(agent.partition(":")[0])
        run = await place.start("run", "--tickets", str(tickets), "--agent", agent, "--allow-red-base")
        await run.until("TicketFailed")
        assert await run.end() == 1
        terminal = Terminal(place, "attach", "t1", "--note", "it was the moon")
        try:
            for question, answer, then in asked:
                await terminal.until(question)
                await press_until(terminal, answer, then)
            await terminal.until(ready)
            terminal.type("WELCOME")
            await terminal.until("WELCOME")
            terminal.type("\r")
            await terminal.until("GLAD-TO-SEE-YOU")
            terminal.type(farewell)
            await terminal.until(farewell)
            terminal.type("\r")
            await terminal.until("hand back / complete / discard / leave")
            terminal.type("hand back\n")
            assert await terminal.end() == 0
        finally:
            terminal.close()
        again = await place.start("resume")
        assert (await again.until("AttemptStarted", epoch=3))["data"]["resumed"]
        assert await again.end() == 0
        assert any("it was the moon" in request.text and "WELCOME" in request.text for request in server.requests)
    assert "made.txt" in place.git("ls-tree", "--name-only", f"codeswarm/{run.events[0]['session']}").split()
