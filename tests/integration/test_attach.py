"""A person takes over the real Claude Code CLI in its box, by script and on a terminal, and gives it back."""

from __future__ import annotations

import os
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from codeswarm.agents.claude.agent import find_claude
from codeswarm.sandbox.bubblewrap import probe
from codeswarm.testing.model_server import HangBeforeHeaders, ModelServer, Request, Say, Shell
from tests.support.controlling_terminal import Terminal
from tests.support.processes import with_environment
from tests.support.runs import Place, Started

PROBE = probe()
pytestmark = [
    pytest.mark.skipif(not PROBE.works, reason=f"{PROBE.why}: {PROBE.fix}"),
    pytest.mark.skipif(find_claude(os.defpath) is None, reason="no claude: pip install claude-agent-sdk bundles it"),
]

SETTINGS = '[gates]\nfast = "test ! -e forbidden.txt"\n[swarm]\nworkers = 1\nplanner = false\n'
MAKE = "echo by-the-agent > made.txt && echo IT-IS-THERE"


def model(request: Request) -> object:
    """Hangs until a person has been there."""
    if request.is_side_call:
        return Say("ok")
    if "WELCOME" in request.last_user_text:
        return Say("GLAD-TO-SEE-YOU")
    if "worked in this workspace by hand" in request.text or "Attempt 2" in request.text:
        return Say("Done.") if "IT-IS-THERE" in request.text else Shell(MAKE)
    return HangBeforeHeaders()


@pytest.fixture
async def server() -> AsyncIterator[ModelServer]:
    async with ModelServer(model) as server:
        yield server
        server.release()


@pytest.fixture
def place(tmp_path: Path) -> Place:
    place = Place(tmp_path)
    place.begin({"readme": "1\n", "codeswarm.toml": SETTINGS})
    return place


async def begin(place: Place, server: ModelServer) -> Started:
    """A run whose agent waits for its model."""
    tickets = place.tickets([{"id": "t1", "title": "Make it", "pipeline": "single"}])
    place.environment |= server.environment("claude")
    run = await place.start("run", "--tickets", str(tickets), "--agent", "claude")
    await run.until("AttemptStarted")
    await server.hanging()
    return run


def kinds(run: Started) -> list[str]:
    return [event["kind"] for event in run.events]


async def test_what_a_person_completes_by_hand_goes_through_gate_and_landing(place: Place, server: ModelServer) -> None:
    run = await begin(place, server)
    done = place.run("attach", "t1", "--complete", "--note", "by hand", "--", "sh", "-c", "pwd; echo hand > made.txt")
    assert (done.code, done.out.splitlines()[0]) == (0, "/codeswarm/workspace"), done.err
    assert await run.end() == 0
    told = kinds(run)
    order = ["AttachRequested", "PersonAttached", "PersonDetached", "AttemptGating", "TicketLanded"]
    assert [kind for kind in told if kind in order] == order
    assert told.count("AttemptStarted") == 1
    assert place.git("show", f"codeswarm/{run.events[0]['session']}:made.txt") == "hand"


async def test_an_agent_that_is_handed_back_goes_on_in_its_conversation_and_hears_the_note(
    place: Place, server: ModelServer
) -> None:
    run = await begin(place, server)
    assert place.run("attach", "t1", "--hand-back", "--note", "mind the moon", "--", "touch", "mine.txt").code == 0
    assert await run.end() == 0
    assert kinds(run).count("AttemptStarted") == 1
    assert any("mind the moon" in request.text for request in server.requests)
    landed = place.git("ls-tree", "--name-only", f"codeswarm/{run.events[0]['session']}").split()
    assert {"made.txt", "mine.txt"} <= set(landed)


async def test_an_agent_whose_conversation_is_gone_begins_it_anew_and_is_told_its_ticket(
    place: Place, server: ModelServer
) -> None:
    run = await begin(place, server)
    forget = ["sh", "-c", 'rm -rf "$HOME/.claude/projects"']
    assert place.run("attach", "t1", "--hand-back", "--note", "mind the moon", "--", *forget).code == 0
    assert await run.end() == 0
    assert kinds(run).count("AttemptStarted") == 1
    told = next(request.text for request in server.requests if "mind the moon" in request.text)
    assert "# Ticket t1: Make it" in told


async def test_a_command_that_fails_hands_back_whatever_was_asked_for(place: Place, server: ModelServer) -> None:
    run = await begin(place, server)
    done = place.run("attach", "t1", "--complete", "--", "sh", "-c", "exit 3")
    assert done.code == 1
    assert "handed back" in done.out
    assert await run.end() == 0


async def test_what_is_discarded_is_kept_in_refs_and_begun_anew(place: Place, server: ModelServer) -> None:
    run = await begin(place, server)
    assert place.run("attach", "t1", "--discard", "--", "touch", "mine.txt").code == 0
    again = await run.until("AttemptStarted", epoch=2)
    assert not again["data"]["resumed"]
    session = run.events[0]["session"]
    store = str(place.data / "store.git")
    assert "mine.txt" in place.git("--git-dir", store, "ls-tree", "--name-only", f"refs/codeswarm/wip/{session}/t1/1")
    assert place.run("attach", "t1", "--complete", "--", "touch", "made.txt").code == 0
    assert await run.end() == 0
    assert "mine.txt" not in place.git("ls-tree", "--name-only", f"codeswarm/{session}").split()


async def test_on_a_terminal_the_cli_itself_goes_on_and_its_end_is_asked_about(
    place: Place, server: ModelServer
) -> None:
    run = await begin(place, server)
    terminal = Terminal(place, "attach", "t1")
    try:
        await terminal.until("manual mode on")
        terminal.type("WELCOME")
        await terminal.until("WELCOME")
        terminal.type("\r")
        await terminal.until("GLAD-TO-SEE-YOU")
        terminal.type("/exit")
        await terminal.until("Exit the CLI")
        terminal.type("\r")
        await terminal.until("hand back / complete / discard")
        terminal.type("hand back\n")
        assert await terminal.end() == 0
    finally:
        terminal.close()
    assert (await run.until("PersonDetached"))["data"]["how"] == "hand_back"
    assert await run.end() == 0


async def test_whoever_is_cut_off_comes_in_again(place: Place, server: ModelServer) -> None:
    run = await begin(place, server)
    terminal = Terminal(place, "attach", "t1", "--", "sh", "-c", "touch mine.txt; echo I-AM-IN; sleep 1000")
    await terminal.until("I-AM-IN")
    terminal.process.send_signal(signal.SIGKILL)
    await terminal.end()
    await run.until("PersonAttached")
    assert place.run("attach", "t1", "--complete").code == 0
    terminal.close()
    assert await run.end() == 0
    assert kinds(run).count("PersonAttached") == kinds(run).count("PersonDetached") == 1
    assert "mine.txt" in place.git("ls-tree", "--name-only", f"codeswarm/{run.events[0]['session']}").split()


async def test_a_worker_that_dies_with_a_person_inside_loses_nothing_of_theirs(
    place: Place, server: ModelServer
) -> None:
    run = await begin(place, server)
    terminal = Terminal(place, "attach", "t1", "--", "sh", "-c", "echo hand > mine.txt; echo I-AM-IN; sleep 1000")
    await terminal.until("I-AM-IN")
    for pid in with_environment(f"HOME={place.root / 'home'}", b"codeswarm.worker"):
        os.kill(pid, signal.SIGKILL)
    await terminal.until("the worker has gone")
    assert await terminal.end() == 2
    terminal.close()
    salvaged = await run.until("WorkSalvaged", epoch=1)
    store = str(place.data / "store.git")
    assert place.git("--git-dir", store, "show", f"{salvaged['data']['commit']}:mine.txt") == "hand"
    await run.until("AttemptStarted", epoch=2)
    assert place.run("attach", "t1", "--complete", "--", "touch", "made.txt").code == 0
    assert await run.end() == 0


async def test_what_is_unknown_or_has_landed_can_not_be_taken_over(place: Place, server: ModelServer) -> None:
    run = await begin(place, server)
    assert place.run("attach", "t1").code == 2, "there is no terminal, and no word of what becomes of it"
    assert "no ticket 't9'" in place.run("attach", "t9", "--complete").err
    place.run("attach", "t1", "--complete", "--", "touch", "made.txt")
    assert await run.end() == 0
    assert "ticket t1 has landed" in place.run("attach", "t1", "--complete").err
