"""The real Claude Code CLI, behind walls, against a scripted model: whole tickets, a review, a kill in mid-turn."""

from __future__ import annotations

import importlib.util
import os
import signal
from pathlib import Path
from typing import Any

import pytest

from codeswarm.agents.claude.agent import find_claude
from codeswarm.sandbox.bubblewrap import probe
from codeswarm.testing.model_server import ModelServer
from tests.support.runs import Place
from tests.support.swarm_script import LIBRARY, SwarmScript, acceptance

PROBE = probe()
pytestmark = [
    pytest.mark.skipif(not PROBE.works, reason=f"{PROBE.why}: {PROBE.fix}"),
    pytest.mark.skipif(find_claude(os.defpath) is None, reason="no claude: pip install claude-agent-sdk bundles it"),
]


@pytest.fixture
def place(tmp_path: Path) -> Place:
    place = Place(tmp_path)
    place.begin(LIBRARY)
    return place


def claude_of(ticket: str) -> int:
    """The process of the Claude Code CLI that works on a ticket, as the host sees it."""
    wanted = f"CODESWARM_TICKET={ticket}".encode()
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            if (
                wanted in (entry / "environ").read_bytes().split(b"\0")
                and b"claude" in (entry / "cmdline").read_bytes()
            ) and b"bwrap" not in (entry / "cmdline").read_bytes():
                return int(entry.name)
        except OSError:
            continue
    raise AssertionError(f"no claude works on {ticket}")


async def test_claude_takes_five_tickets_through_all_phases(place: Place) -> None:
    names = ["t1", "t2", "t3", "t4", "t5"]
    tickets = [
        {
            "id": name,
            "title": f"Add {name}",
            "acceptance": [acceptance(name)],
            "blocked_by": names[:i][-1:] if i > 2 else [],
        }
        for i, name in enumerate(names)
    ]
    script = SwarmScript(changes_for="t2", hang_for="t3")
    async with ModelServer(script) as server:
        run = await place.start(
            "run", "--tickets", str(place.tickets(tickets)), "--agent", "claude:sonnet", "--workers", "2",
            env=server.environment("claude"),
        )  # fmt: skip
        await server.hanging()
        os.kill(claude_of("t3"), signal.SIGKILL)
        server.release()
        code = await run.end()
    kinds = [event["kind"] for event in run.events]
    assert (code, script.refused) == (0, []), (run.error, kinds[-10:])
    assert kinds.count("TicketLanded") == 5
    assert kinds.count("ChangesRequested") == 1
    assert {(ticket, role) for ticket, role, _ in script.seen} == {
        (name, role) for name in names for role in ("test_writer", "implementer", "reviewer")
    }
    killed, resumed = killed_and_resumed(run.events, "t3")
    assert killed == resumed, "it goes on in the conversation that was killed"
    assert ("t3", "implementer", killed) in script.seen
    assert script.went_on, "the model saw the turns before the kill again"
    assert place.git("show", "codeswarm/" + run.events[0]["session"] + ":lib.py").count("def ") == 6
    assert place.run("--json", "status").json["session"]["cost_usd"] > 0


def killed_and_resumed(events: list[dict[str, Any]], ticket: str) -> tuple[str, str]:
    """The conversations of the attempt that was killed and of the one that came after it."""
    starts = [e["data"] for e in events if e["kind"] == "AttemptStarted" and e["data"]["ticket"] == ticket]
    place = next(i for i, start in enumerate(starts) if start["resumed"])
    return starts[place - 1]["conversation"], starts[place]["conversation"]


def test_the_cli_is_bundled_with_a_locked_package() -> None:
    assert importlib.util.find_spec("claude_agent_sdk") is not None
