"""A person takes over tickets on which no agent is at work, with and without somebody who hosts their session."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from codeswarm.ledger import views
from codeswarm.ledger.reader import Reader
from codeswarm.ledger.sqlite import SqliteLedger
from codeswarm.sandbox.bubblewrap import probe
from tests.support.controlling_terminal import Terminal
from tests.support.processes import with_environment
from tests.support.runs import Place

PROBE = probe()
pytestmark = pytest.mark.skipif(not PROBE.works, reason=f"{PROBE.why}: {PROBE.fix}")

SETTINGS = """\
[gates]
fast = "test -e mended.txt"
[swarm]
workers = 1
heartbeat_s = 1
planner = false
[policy]
max_attempts = 1
"""
AGENT = "command:sh -c 'echo by-the-agent > made.txt'"


@pytest.fixture
def place(tmp_path: Path) -> Place:
    place = Place(tmp_path)
    place.begin({"readme": "1\n", "codeswarm.toml": SETTINGS})
    return place


def failed(place: Place, *more: str) -> None:
    """A session that rests, whose only ticket has failed: its agent never does what its gate looks for."""
    tickets = place.tickets([{"id": "t1", "title": "Make it", "pipeline": "single"}])
    done = place.run("run", "--tickets", str(tickets), "--agent", AGENT, "--allow-red-base", *more)
    assert status(place) == "failed", done.err


def tables(place: Place, name: str) -> list[dict[str, Any]]:
    with contextlib.closing(Reader(place.data / "ledger.sqlite3")) as ledger:
        return views.rows(ledger, name)


def status(place: Place) -> str:
    return str(tables(place, "tickets")[0]["status"])


def kinds(place: Place) -> list[str]:
    with contextlib.closing(SqliteLedger(place.data / "ledger.sqlite3", read_only=True)) as ledger:
        return [record.event.kind for record in ledger.after(0, 1000)]


def landed(place: Place) -> list[str]:
    return place.git("ls-tree", "--name-only", f"codeswarm/{tables(place, 'sessions')[0]['id']}").split()


def test_a_failed_ticket_is_completed_by_hand_and_lands_where_nobody_hosted_it(place: Place) -> None:
    failed(place)
    done = place.run("attach", "t1", "--complete", "--", "sh", "-c", "echo hand > mine.txt; exit 3")
    assert (done.code, "the ticket rests as before" in done.out, status(place)) == (1, True, "failed"), done.err
    done = place.run("attach", "t1", "--complete", "--", "sh", "-c", "pwd; cat made.txt mine.txt; touch mended.txt")
    assert done.code == 0, done.err
    assert done.out.splitlines()[:3] == ["/codeswarm/workspace", "by-the-agent", "hand"]
    assert "next: codeswarm resume" in done.err
    assert status(place) == "landing"
    assert place.run("resume").code == 0
    assert {"made.txt", "mended.txt"} <= set(landed(place))
    refused = place.run("attach", "t1", "--complete", "--", "true")
    assert refused.code == 2
    assert "ticket t1 has landed" in refused.err


async def cut_off(place: Place, name: str, how: Callable[[Terminal], object]) -> None:
    """A person writes a file, and is then cut off in the middle of it."""
    said = f"echo hand > {name}; echo I-AM-IN; sleep 1000"
    terminal = Terminal(place, "attach", "t1", "--", "sh", "-c", said)
    await terminal.until("I-AM-IN")
    how(terminal)
    await terminal.end()
    terminal.close()


def kill_worker(place: Place) -> None:
    for pid in with_environment(f"HOME={place.root / 'home'}", b"codeswarm.worker"):
        os.kill(pid, signal.SIGKILL)


async def test_whoever_is_cut_off_with_the_terminal_the_worker_or_the_router_loses_nothing(place: Place) -> None:
    failed(place)
    await cut_off(place, "one", lambda terminal: terminal.close())  # a SIGHUP
    assert (status(place), kinds(place)[-2:]) == ("failed", ["TicketFailed", "SessionAwaitingReview"])
    await cut_off(place, "two", lambda _: kill_worker(place))
    assert (status(place), kinds(place)[-2:]) == ("failed", ["TicketFailed", "SessionAwaitingReview"])
    await cut_off(place, "three", lambda terminal: terminal.process.kill())  # the router is that very process
    assert status(place) == "in_progress"
    again = place.run("attach", "t1", "--complete", "--", "sh", "-c", "cat made.txt one two three; touch mended.txt")
    assert (again.code, again.out.splitlines()[:4]) == (0, ["by-the-agent", *["hand"] * 3]), again.err
    assert status(place) == "landing"
    assert kinds(place).count("AttemptLeased") == 4, "after the router's death the same visit went on"


async def test_a_ticket_on_hold_is_handed_back_to_an_agent_beside_busy_ones(place: Place) -> None:
    wait = "while [ ! -e /codeswarm/workspace/.go ]; do sleep 0.05; done"
    both = "command:sh -c 'echo x > $CODESWARM_TICKET.txt; touch mended.txt; " + wait + "'"
    tickets = place.tickets([{"id": f"t{n}", "title": f"Make {n}", "pipeline": "single"} for n in (1, 2)])
    run = await place.start("run", "--tickets", str(tickets), "--agent", both, "--allow-red-base")
    await run.until("SnapshotTaken", ticket="t1")
    assert place.run("ticket", "hold", "t1").code == 0
    await run.until("SnapshotTaken", ticket="t2")
    done = place.run("attach", "t1", "--hand-back", "--note", "go", "--", "sh", "-c", "cat t1.txt; touch .go")
    assert (done.code, done.out.splitlines()[0]) == (0, "x"), done.err
    assert place.run("attach", "t2", "--hand-back", "--", "touch", ".go").code == 0
    assert await run.end() == 0
    assert {"t1.txt", "t2.txt", ".go"} <= set(landed(place))


def test_a_landing_that_waits_for_a_person_can_be_looked_at_by_hand_and_is_asked_about_again(place: Place) -> None:
    place.write({"codeswarm.toml": SETTINGS + 'approve = ["landing"]\n'})
    place.git("commit", "-qam", "Ask")
    tickets = place.tickets([{"id": "t1", "title": "Make it", "pipeline": "single"}])
    agent = "command:touch mended.txt"
    assert place.run("run", "--tickets", str(tickets), "--agent", agent, "--allow-red-base").code == 3
    looked = place.run("attach", "t1", "--discard", "--", "ls")
    assert "mended.txt" in looked.out, looked.err
    assert (status(place), kinds(place)[-2:]) == ("waiting", ["ApprovalRequested", "SessionAwaitingReview"])
    assert place.run("attach", "t1", "--complete", "--", "touch", "mine.txt").code == 0
    assert place.run("approve").code == 0
    assert place.run("resume").code == 0
    assert {"mended.txt", "mine.txt"} <= set(landed(place))


async def test_where_no_conversation_is_there_it_is_a_shell_which_is_said_and_may_be_left_as_it_was(
    place: Place,
) -> None:
    failed(place)
    terminal = Terminal(place, "attach", "t1")
    try:
        await terminal.until("this is a shell in its workspace")
        terminal.type("cat made.txt; touch mine.txt; exit\n")
        await terminal.until("by-the-agent")
        await terminal.until("hand back / complete / discard / leave")
        terminal.type("leave\n")
        assert await terminal.end() == 0
    finally:
        terminal.close()
    assert status(place) == "failed"
