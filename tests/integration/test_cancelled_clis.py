"""Cancelled while their tools ignore every signal, the real coding CLIs are gone, and all that they had begun."""

from __future__ import annotations

import os
import select
from collections.abc import Callable
from pathlib import Path

import pytest

from codeswarm.sandbox.marks import marked
from codeswarm.testing.model_server import ModelServer, Shell, conversation
from tests.integration.test_every_agent_lands import gemini
from tests.support.acp_agents import needs
from tests.support.real_clis import needs_claude, needs_codex
from tests.support.repositories import PROBE
from tests.support.runs import Place
from tests.support.small_swarm import LIBRARY, ticket
from tests.support.traces import boxed, left, watched

pytestmark = pytest.mark.skipif(not PROBE.works, reason=f"{PROBE.why}: {PROBE.fix}")
DEAF = "trap '' INT TERM HUP QUIT USR1 USR2 PIPE;"
STUBBORN = (
    f"{DEAF} for one in 1 2 3; do setsid sh -c \"{DEAF} setsid sh -c 'sleep 3141' & sleep 3141\" & done; "
    "echo work > work.txt; sleep 3141; sleep 3141"
)
"""A command of which every part ignores what it can, and most have left its session."""
CLIS = [
    pytest.param("claude:sonnet", lambda server: server.environment("claude"), marks=needs_claude, id="claude"),
    pytest.param("codex:gpt-5.5", lambda server: server.environment("codex"), marks=needs_codex, id="codex"),
    pytest.param("gemini:2.5-pro", gemini, marks=needs("gemini"), id="gemini"),
]


def pidfds(session: str, ticket_: str) -> list[int]:
    return [os.pidfd_open(pid) for pid in marked(f"{session}.{ticket_}.1")]


def assert_gone(fds: list[int]) -> None:
    for fd in fds:
        assert select.select([fd], [], [], 60)[0], "it is still there"
        os.close(fd)


@pytest.mark.parametrize(("spec", "environment"), CLIS)
async def test_neither_a_cancelled_ticket_nor_a_cancelled_session_leaves_a_process(
    tmp_path: Path, spec: str, environment: Callable[[ModelServer], dict[str, str]]
) -> None:
    place = watched(Place(tmp_path))
    place.begin({**LIBRARY, "codeswarm.toml": '[gates]\nfast = "true"\n'})
    tickets = place.tickets([ticket("one", pipeline="single"), ticket("two", pipeline="single")])
    async with ModelServer(conversation([Shell(STUBBORN)])) as server:
        words = ["run", "--tickets", str(tickets), "--agent", spec, "--workers", "2"]
        run = await place.start(*words, env=environment(server))
        session = (await run.until("SnapshotTaken"))["session"]
        await run.until("SnapshotTaken")
        assert boxed(place.root), "what is looked for afterwards can be seen while it is there"
        one, two = pidfds(session, "one"), pidfds(session, "two")
        assert min(len(one), len(two)) > 6, "its command and the children of that are there"
        assert place.run("ticket", "cancel", "one").code == 0
        assert_gone(one)
        assert place.run("cancel").code == 0
        assert_gone(two)
        await run.end()
    denied = [event["data"] for event in run.events if event["kind"] == "HostDenied"]
    assert denied == [], "nothing is asked of hosts that nobody needs"
    kept = (f"{session}.one.1", f"{session}.two.1")
    assert left(place, session, attempts=kept) == []
