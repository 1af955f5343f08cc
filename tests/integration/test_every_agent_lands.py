"""The same three tickets, landed by each kind of agent: each real, behind walls, against a scripted model."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from codeswarm.sandbox.bubblewrap import probe
from codeswarm.testing.model_server import ModelServer
from tests.support.real_clis import needs_claude, needs_codex
from tests.support.runs import Place
from tests.support.swarm_script import LIBRARY, SwarmScript, acceptance

PROBE = probe()
pytestmark = pytest.mark.skipif(not PROBE.works, reason=f"{PROBE.why}: {PROBE.fix}")
TICKETS = ("t1", "t2", "t3")


@dataclass(frozen=True)
class Kind:
    """A kind of agent: how it is asked for, and what points it at the scripted model."""

    spec: str
    environment: Callable[[ModelServer], dict[str, str]]


KINDS = [
    pytest.param(Kind("claude:sonnet", lambda server: server.environment("claude")), marks=needs_claude, id="claude"),
    pytest.param(Kind("codex:gpt-5.5", lambda server: server.environment("codex")), marks=needs_codex, id="codex"),
]


@pytest.mark.parametrize("kind", KINDS)
async def test_it_lands_three_tickets(tmp_path: Path, kind: Kind) -> None:
    place = Place(tmp_path)
    place.begin(LIBRARY)
    tickets = [{"id": name, "title": f"Add {name}", "acceptance": [acceptance(name)]} for name in TICKETS]
    tickets[-1]["blocked_by"] = ["t1"]
    script = SwarmScript()
    async with ModelServer(script) as server:
        run = await place.start(
            "run", "--tickets", str(place.tickets(tickets)), "--agent", kind.spec, "--workers", "2",
            env=kind.environment(server),
        )  # fmt: skip
        code = await run.end()
    kinds = [event["kind"] for event in run.events]
    assert (code, script.refused) == (0, []), (run.error, kinds[-10:])
    assert kinds.count("TicketLanded") == len(TICKETS)
    roles = ("test_writer", "implementer", "reviewer")
    assert {(ticket, role) for ticket, role, _ in script.seen} == {(t, role) for t in TICKETS for role in roles}
    assert place.git("show", f"codeswarm/{run.events[0]['session']}:lib.py").count("def ") == 1 + len(TICKETS)
    attempts = [event["data"] for event in run.events if event["kind"] == "AttemptSucceeded"]
    assert all((attempt["report"]["usage"]["input_tokens"] or 0) > 0 for attempt in attempts), "tokens are counted"
