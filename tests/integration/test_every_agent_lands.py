"""The same three tickets, landed by each kind of agent: each real, behind walls, against a scripted model."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from codeswarm.sandbox.bubblewrap import probe
from codeswarm.testing.model_server import ModelServer
from tests.support.acp_agents import command, needs, variables
from tests.support.real_clis import CLIS, needs_claude, needs_codex, path_with_node
from tests.support.runs import SYSTEM_PATH, Place
from tests.support.swarm_script import LIBRARY, SwarmScript, acceptance

PROBE = probe()
pytestmark = pytest.mark.skipif(not PROBE.works, reason=f"{PROBE.why}: {PROBE.fix}")
TICKETS = ("t1", "t2", "t3")


@dataclass(frozen=True)
class Kind:
    """A kind of agent: how it is asked for, and what points it at the scripted model."""

    spec: str
    environment: Callable[[ModelServer], dict[str, str]]
    program: str
    """What its process is known by."""


def acp(kind: str, model: str) -> object:
    """A bridge, as a person has it who also has the CLI beneath it."""
    beside = Kind(f"acp:{command(kind, model)}", lambda server: variables(kind, server), f"{kind}-")
    return pytest.param(beside, marks=needs(kind), id=f"acp, {kind}")


def gemini(server: ModelServer) -> dict[str, str]:
    """Its program is on the PATH of who uses it, and so is node."""
    ours = Path(sys.executable).parent
    return {**server.environment("gemini"), "PATH": f"{ours}:{CLIS}:{path_with_node()}:{SYSTEM_PATH}"}


KINDS = [
    pytest.param(
        Kind("claude:sonnet", lambda server: server.environment("claude"), "claude"), marks=needs_claude, id="claude"
    ),
    pytest.param(
        Kind("codex:gpt-5.5", lambda server: server.environment("codex"), "codex"), marks=needs_codex, id="codex"
    ),
    pytest.param(
        Kind("api:anthropic/m-1", lambda server: server.environment("claude"), "loop/"), id="api, Anthropic's"
    ),
    pytest.param(Kind("api:openai/m-1", lambda server: server.environment("codex"), "loop/"), id="api, OpenAI's"),
    *(acp(kind, model) for kind, model in (("claude", "sonnet"), ("codex", "gpt-5.5"))),
]
GEMINI = pytest.param(Kind("gemini:2.5-pro", gemini, "gemini"), marks=needs("gemini"), id="gemini")
"""Apart, for it goes on in no earlier conversation."""


def cli_of(run: int, program: str) -> int:
    """The process of the CLI that works beneath a run, as the host sees it."""
    for entry in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            command = (entry / "cmdline").read_bytes().split(b"\0")
            ours = b"CODESWARM_TICKET=t1" in (entry / "environ").read_bytes().split(b"\0")
            known = ours and b"bwrap" not in command[0] and any(program.encode() in word for word in command[:5])
            if known and run in ancestors(int(entry.name)):
                return int(entry.name)
    raise AssertionError(f"no {program} works beneath {run}")


def ancestors(pid: int) -> set[int]:
    found: set[int] = set()
    while pid > 1:
        pid = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
        found.add(pid)
    return found


@pytest.mark.parametrize("kind", KINDS[1:])
async def test_one_that_is_killed_goes_on_in_its_conversation(tmp_path: Path, kind: Kind) -> None:
    place = Place(tmp_path)
    place.begin(LIBRARY)
    tickets = [{"id": "t1", "title": "Add t1", "acceptance": [acceptance("t1")]}]
    script = SwarmScript(hang_for="t1")
    async with ModelServer(script) as server:
        run = await place.start(
            "run", "--tickets", str(place.tickets(tickets)), "--agent", kind.spec, env=kind.environment(server)
        )
        await server.hanging()
        os.kill(cli_of(run.process.pid, kind.program), signal.SIGKILL)
        server.release()
        code = await run.end()
    kinds = [event["kind"] for event in run.events]
    assert (code, script.refused, script.went_on) == (0, [], True), (run.error, kinds[-10:])
    resumed = [event["data"] for event in run.events if event["kind"] == "AttemptStarted" and event["data"]["resumed"]]
    assert len(resumed) == 1
    begun = [event["data"] for event in run.events if event["kind"] in ("AttemptStarted", "ConversationNamed")]
    known = {one["conversation"] for one in begun if one["epoch"] < resumed[0]["epoch"]}
    assert resumed[0]["conversation"] in known


@pytest.mark.parametrize("kind", [*KINDS, GEMINI])
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
    assert [event["data"]["host"] for event in run.events if event["kind"] == "HostDenied"] == []
    kinds = [event["kind"] for event in run.events]
    assert (code, script.refused) == (0, []), (run.error, kinds[-10:])
    assert kinds.count("TicketLanded") == len(TICKETS)
    roles = ("test_writer", "implementer", "reviewer")
    assert {(ticket, role) for ticket, role, _ in script.seen} == {(t, role) for t in TICKETS for role in roles}
    assert place.git("show", f"codeswarm/{run.events[0]['session']}:lib.py").count("def ") == 1 + len(TICKETS)
    attempts = [event["data"] for event in run.events if event["kind"] == "AttemptSucceeded"]
    assert all((attempt["report"]["usage"]["input_tokens"] or 0) > 0 for attempt in attempts), "tokens are counted"
