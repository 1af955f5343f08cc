"""Leaving what goes on: `--detach`, the key `d`, a closed terminal. Agents do not notice, and nothing is lost."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from codeswarm.process import gone
from codeswarm.sandbox.bubblewrap import probe
from tests.support.controlling_terminal import CTRL_BACKSLASH, CTRL_C, Terminal
from tests.support.held_agent import held_place, let_go, words
from tests.support.processes import left_behind
from tests.support.runs import Finished, Place, Started
from tests.support.small_swarm import ticket

KIND = "bubblewrap" if probe().works else "none"
NO_HARM = {"AttemptLost", "AttemptFailed", "AttemptTimedOut", "AttemptCancelled", "GateLost", "SlotRestarted"}


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return held_place(tmp_path)


def typed(place: Place, *ids: str) -> list[str]:
    tickets = [ticket(id_, *ids[:i][-1:], pipeline="single") for i, id_ in enumerate(ids)]
    return [*words(place, tickets, KIND), "--workers", "2", "--approve", "none"]


async def ask(place: Place, *words: str) -> Finished:
    return await asyncio.to_thread(place.run, *words)


async def watching(place: Place, ticket: str) -> Started:
    """A second terminal, once the agent of a ticket is at work."""
    watch = await place.start("watch")
    await watch.until("SnapshotTaken", ticket=ticket)
    return watch


@contextmanager
def terminal(place: Place, *words: str) -> Iterator[Terminal]:
    shown = Terminal(place, *words)
    try:
        yield shown
    finally:
        shown.close()
        if shown.process.poll() is None:
            shown.process.kill()
            shown.process.wait()


def timeline(place: Place) -> list[dict[str, Any]]:
    return place.run("--json", "timeline").lines()


def assert_unharmed(place: Place, *landed: str) -> None:
    events = timeline(place)
    kinds = [event["kind"] for event in events]
    assert not NO_HARM & set(kinds)
    assert [e["data"]["ticket"] for e in events if e["kind"] == "TicketLanded"] == list(landed)
    assert kinds.count("AttemptLeased") == len(landed)
    assert place.run("ledger", "verify").code == 0
    assert left_behind(place.root) == []


# ── --detach ──


async def test_a_detached_run_answers_once_it_has_begun_and_goes_on_by_itself(place: Place) -> None:
    done = await ask(place, "--json", *typed(place, "a", "b"), "--detach")
    assert done.code == 0, done.err
    session, host = done.json["session"], done.json["host"]
    watch = await watching(place, "a")
    status = await ask(place, "--json", "status", session)
    assert (status.json["live"], status.json["last_words"]) == (True, None)
    assert os.getsid(host["pid"]) == host["pid"], "no terminal's end reaches it"
    let_go(place, "a", "b")
    assert await watch.end() == 0
    await gone(host["pid"])
    said = (await ask(place, "status")).out
    assert "its background host ended at" in said
    assert "2 of 2 tickets landed" in said
    assert f"codeswarm save {session}" in said
    assert "error" not in Path(host["log"]).read_text()
    assert_unharmed(place, "a", "b")
    saved = await ask(place, "save")
    assert saved.code == 0, saved.err
    assert "background host" not in (await ask(place, "status")).out, "its words hold until something happens"


async def test_a_second_detached_run_joins_the_host_which_stays_for_both(place: Place) -> None:
    first = await ask(place, "--json", *typed(place, "a"), "--detach")
    second = await ask(place, "--json", *words(place, [ticket("b", pipeline="single")], KIND, "b.yaml"), "--detach")
    assert [first.code, second.code] == [0, 0], second.err
    assert second.json["host"] is None
    watch = await watching(place, "b")
    let_go(place, "b")
    assert await watch.end() == 0
    assert (await ask(place, "--json", "status")).json["live"] is True, "the first is not done"
    let_go(place, "a")
    await gone(first.json["host"]["pid"])
    rows = (await ask(place, "--json", "session", "list")).json
    assert [(row["status"], row["landed"]) for row in rows] == [("awaiting_review", 1)] * 2
    assert left_behind(place.root) == []


@pytest.mark.parametrize("more", [("--pipeline", "nope"), ("--sandbox", "microvm")])
async def test_what_is_wrong_with_a_start_is_told_as_in_the_foreground(place: Place, more: tuple[str, ...]) -> None:
    runs = [await ask(place, *typed(place, "a"), *more, *detach) for detach in ([], ["--detach"])]
    assert [run.code for run in runs] == [2, 2]
    assert runs[0].err == runs[1].err.replace(" --detach", ""), "the command to paste says what was typed"
    assert [line.partition(":")[0] for line in runs[1].err.splitlines()] == ["error", "why", "do"]
    assert left_behind(place.root) == []


async def test_a_background_host_that_is_told_to_end_stops_and_says_so(place: Place) -> None:
    done = await ask(place, "--json", *typed(place, "a"), "--detach")
    watch = await watching(place, "a")
    os.kill(done.json["host"]["pid"], signal.SIGHUP)
    os.kill(done.json["host"]["pid"], signal.SIGTERM)
    assert await watch.end() == 4
    await gone(done.json["host"]["pid"])
    assert "suspended: its host was told to end" in (await ask(place, "status")).out
    let_go(place, "a")
    again = await ask(place, "--json", "resume", "--detach")
    assert again.code == 0, again.err
    await gone(again.json["host"]["pid"])
    assert (await ask(place, "--json", "status")).json["counts"] == {"complete": 1}
    assert left_behind(place.root) == []


# ── a terminal ──


async def test_closing_the_terminal_loses_nothing(place: Place) -> None:
    with terminal(place, *typed(place, "a", "b")) as shown:
        await shown.until("session ")
        watch = await watching(place, "a")
        shown.close()
        assert await shown.end() == 0
    assert (await ask(place, "--json", "status")).json["live"] is True
    let_go(place, "a", "b")
    assert await watch.end() == 0, "who watched goes on watching"
    assert_unharmed(place, "a", "b")
    assert "2 of 2 tickets landed" in (await ask(place, "status")).out


async def test_the_key_d_gives_the_prompt_back_and_the_session_goes_on(place: Place) -> None:
    with terminal(place, *typed(place, "a", "b")) as shown:
        await shown.until("session ")
        watch = await watching(place, "a")
        await shown.until("d leaves it running")
        assert not shown.echoes
        shown.type("xd")
        assert await shown.end() == 0
        await shown.until("goes on in the background")
        assert shown.modes == shown.modes_before
    let_go(place, "a", "b")
    assert await watch.end() == 0
    assert_unharmed(place, "a", "b")


@pytest.mark.parametrize(("keys", "code"), [(CTRL_C * 2, 130), (CTRL_BACKSLASH, -signal.SIGQUIT)])
async def test_the_terminal_is_as_it_was_after_an_interrupt_and_after_a_crash(
    place: Place, keys: str, code: int
) -> None:
    with terminal(place, *typed(place, "a")) as shown:
        await shown.until("session ")
        await watching(place, "a")
        await shown.until("d leaves it running")
        assert not shown.echoes
        shown.type(keys[0])
        if keys[1:]:
            await shown.until("Ctrl+C again ends them now")
            shown.type(keys[1:])
        assert await shown.end() == code
        assert shown.modes == shown.modes_before
    let_go(place, "a")
    done = await ask(place, "resume")
    assert done.code == 0, done.err
    assert (await ask(place, "--json", "status")).json["counts"] == {"complete": 1}
    assert left_behind(place.root) == []


@pytest.mark.parametrize(("key", "code"), [(CTRL_C, 0), ("d", 0)])
async def test_who_stops_watching_stops_nothing_else(place: Place, key: str, code: int) -> None:
    done = await ask(place, "--json", *typed(place, "a"), "--detach")
    with terminal(place, "watch") as shown:
        await watching(place, "a")
        await shown.until("d stops watching")
        assert not shown.echoes
        shown.type(key)
        assert await shown.end() == code
        assert shown.modes == shown.modes_before
    let_go(place, "a")
    await gone(done.json["host"]["pid"])
    assert_unharmed(place, "a")
