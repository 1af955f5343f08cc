"""A disk that is really full: said in three lines, waited for, nothing lost, and then everything goes on."""

from __future__ import annotations

import asyncio
import os
import signal
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from codeswarm.process import gone
from codeswarm.sandbox.bubblewrap import probe
from tests.support.held_agent import begin, held_place, let_go
from tests.support.processes import left_behind
from tests.support.runs import Finished, Place, Started
from tests.support.small_disk import SmallDisk, small_disks, why_impossible

KIND = "bubblewrap" if probe().works else "none"
MIB = 1 << 20

pytestmark = pytest.mark.skipif(bool(why_impossible()), reason=why_impossible())


@contextmanager
def place_on(root: Path, where: str) -> Iterator[tuple[Place, SmallDisk]]:
    """A place of which one folder is on a small disk."""
    place = held_place(root)
    folder = {"data": place.data, "store": place.data / "store.git", "cache": root / "cache"}[where]
    with small_disks(place.repository, (folder, 24 * MIB)) as (prefix, (disk,)):
        place.prefix = prefix
        yield place, disk


def assert_three_lines(lines: list[str]) -> None:
    """What, why and what to do, once."""
    marks = [line.partition(":")[0] for line in lines if line.startswith(("error:", "why:", "do:"))]
    assert marks == ["error", "why", "do"], lines
    assert any("the disk is full" in line for line in lines if line.startswith("error:")), lines
    assert not any("Traceback" in line for line in lines)


def assert_whole(place: Place, session: str, landed: list[str], *, failed: int = 0) -> None:
    """All landed once, and nobody was blamed."""
    events = place.run("--json", "timeline", session).lines()
    kinds = Counter(event["kind"] for event in events)
    assert [e["data"]["ticket"] for e in events if e["kind"] == "TicketLanded"] == landed
    assert (kinds["AttemptFailed"], kinds["AttemptTimedOut"], kinds["WorkerRestarted"]) == (failed, 0, 0)
    verified: Finished = place.run("--json", "ledger", "verify")
    assert verified.code == 0, verified.out
    for id_ in landed:
        assert "half = False" in place.git("show", f"codeswarm/{session}:mod_{id_}.py")
    assert left_behind(place.root / "agent") == []


def session_of(run: Started) -> str:
    return str(run.events[0]["session"])


async def ask(place: Place, *words: str) -> Finished:
    return await asyncio.to_thread(place.run, *words)


async def test_a_full_disk_under_the_ledger_is_told_once_and_waited_for(tmp_path: Path) -> None:
    with place_on(tmp_path, "data") as (place, disk):
        run = await begin(place, KIND, "a", "b")
        disk.fill()
        refused = await ask(place, "message", "a", "are you there?")
        assert refused.code == 1
        assert_three_lines(refused.err.splitlines())
        await run.until_told("do:")
        let_go(place, "a", "b")
        await until_gone(place, "agent.py")
        disk.make_room()
        await run.until_told("there is room on the disk again")
        assert await run.end() == 0, run.error
        assert_three_lines(run.told)
        kinds = [event["kind"] for event in run.events]
        assert "MessageSent" not in kinds, "what was refused never happened"
        assert "AttemptLost" not in kinds, "no lease ran out for want of room"
        assert_whole(place, session_of(run), ["a", "b"])


async def until_gone(place: Place, word: str) -> None:
    """Until the agent that was let go has ended: from then on its worker wants to bring its files home."""
    for pid in agents(place, word):
        await gone(pid)


def agents(place: Place, word: str) -> list[int]:
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            command = (entry / "cmdline").read_bytes()
        except OSError:
            continue
        if command.startswith(b"python\0") and word.encode() in command and os.fsencode(place.root) in command:
            found.append(int(entry.name))
    return found


async def test_a_router_killed_on_a_full_disk_goes_on_once_there_is_room(tmp_path: Path) -> None:
    with place_on(tmp_path, "data") as (place, disk):
        run = await begin(place, KIND, "a", "b")
        disk.fill()
        os.kill(run.process.pid, signal.SIGKILL)
        await gone(run.process.pid)
        let_go(place, "a", "b")
        again = await place.start("resume")
        await again.until_told("do:")
        assert (await ask(place, "status")).code == 0, "looking needs no room"
        disk.make_room()
        assert await again.end() == 0, again.error
        assert_three_lines(again.told)
        assert_whole(place, session_of(run), ["a", "b"])


async def test_ctrl_c_ends_a_run_that_can_write_nothing_any_more(tmp_path: Path) -> None:
    with place_on(tmp_path, "data") as (place, disk):
        run = await begin(place, KIND, "a")
        disk.fill()
        run.process.send_signal(signal.SIGINT)
        await run.until_told("the stop can't be written down")
        run.process.send_signal(signal.SIGINT)
        assert await run.end() == 4
        assert run.error is not None
        assert "codeswarm resume" in run.error["do"]
        disk.make_room()
        let_go(place, "a")
        done = await ask(place, "--json", "resume")
        assert done.code == 0, done.err
        assert_whole(place, session_of(run), ["a"])


async def test_a_full_disk_under_the_store_is_waited_for_with_a_snapshot(tmp_path: Path) -> None:
    with place_on(tmp_path, "store") as (place, disk):
        run = await begin(place, KIND, "a")
        disk.fill()
        let_go(place, "a")
        await run.until_told("do:")
        disk.make_room()
        await assert_goes_on(place, run)


@pytest.mark.parametrize("what", ["task branch", "landing"])
async def test_a_full_disk_under_the_store_is_waited_for_when_work_is_accepted(tmp_path: Path, what: str) -> None:
    """It fills once the work is reported: what is written next is the ticket's branch, and with an answer the landing.

    An answer that can't be written down is refused, and given again.
    """
    with place_on(tmp_path, "store") as (place, disk):
        run = await begin(place, KIND, "a", more=("--approve", "landing", "--wait"))
        let_go(place, "a")
        await run.until("ApprovalRequested")
        branch = disk.here / "refs" / "heads" / "session" / session_of(run) / "task" / "a"
        while what == "landing" and not branch.exists():  # nobody tells of it
            await asyncio.sleep(0.01)
        disk.fill()
        answered = await ask(place, "approve", "a1")
        await run.until_told("do:")
        disk.make_room()
        if answered.code:
            assert_three_lines(answered.err.splitlines())
            await run.until_told("there is room on the disk again")
            assert (await ask(place, "approve", "a1")).code == 0
        await assert_goes_on(place, run)


async def assert_goes_on(place: Place, run: Started) -> None:
    assert await run.end() == 0, run.error
    assert_three_lines(run.told)
    assert_whole(place, session_of(run), ["a"])


async def test_a_worker_without_room_blames_nobody_and_gives_up_in_time(tmp_path: Path) -> None:
    with place_on(tmp_path, "cache") as (place, disk):
        place.environment["CODESWARM_POLICY_MAX_INTERRUPTIONS"] = "3"
        run = await begin(place, KIND, "a")
        disk.fill()
        let_go(place, "a")
        assert await run.end() == 3, "it waits for a person"
        ends = [event["data"] for event in run.events if event["kind"] == "AttemptFailed"]
        assert [(end["failure"]["failure_class"], end["charged"]) for end in ends] == [("disk_full", False)] * 3
        held: dict[str, Any] = next(event["data"] for event in run.events if event["kind"] == "TicketHeld")
        assert "the disk is full" in held["reason"]
        disk.make_room()
        assert (await ask(place, "ticket", "release", "a")).code == 0
        done = await ask(place, "--json", "resume")
        assert done.code == 0, done.err
        assert_whole(place, session_of(run), ["a"], failed=3)
        assert list(disk.here.glob("codeswarm/*/attempts/*")) == [], "whatever lay there was brought home first"
