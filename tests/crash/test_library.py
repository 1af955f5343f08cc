"""A real library, twenty-four tickets, four workers, and SIGKILL for everything: an agent, a gate, the moment between
ledger and ref, a save, and all processes at once at random moments. Everything lands, exactly once.
"""

from __future__ import annotations

import asyncio
import os
import random
import signal
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from codeswarm.sandbox.bubblewrap import probe
from tests.support.processes import kill_all, left_behind, with_environment
from tests.support.runs import Place, Started
from tests.support.small_swarm import agent_of
from tests.support.toolz_swarm import FUNCTIONS, depth, download, toolz_place, toolz_tickets

PROBE = probe()
RESUMES = 6


@pytest.fixture(scope="session")
def sdist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return download(tmp_path_factory.mktemp("sdist"))


def kill(marker: str, *words: bytes) -> bool:
    """SIGKILL for one process; whether there was one."""
    for pid in with_environment(marker, *words):
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            continue
        return True
    return False


async def kill_hanging_agent(run: Started) -> None:
    """Kill an agent in the middle of its work: its ticket would go on for an hour."""
    await run.until("SnapshotTaken", ticket="pairs")
    assert kill("CODESWARM_TICKET=pairs", b"agent.py")
    ended = await run.until("AttemptFailed", ticket="pairs")
    assert (ended["data"]["failure"]["failure_class"], ended["data"]["charged"]) == ("lost", False)


async def kill_gate(run: Started) -> None:
    """Kill a gate while it runs; tried again with the next one where it was over already."""
    while True:
        gating = await run.until("AttemptGating")
        marker = f"CODESWARM_TICKET={gating['data']['ticket']}"
        for _ in range(200):
            if kill(marker, b"pytest", b"-x"):
                return
            await asyncio.sleep(0.005)


async def kill_everything(place: Place, run: Started, after: int) -> None:
    """SIGKILL for every process, after so many more events (or at the end, where there are fewer)."""
    count = 0
    async for _ in run:
        count += 1
        if count == after:
            break
    kill_all(place.root)
    await run.end()


@pytest.mark.skipif(not PROBE.works, reason=f"{PROBE.why}: {PROBE.fix}")
@pytest.mark.timeout(600)
async def test_everything_lands_once_whatever_is_killed(tmp_path: Path, sdist: Path) -> None:
    place = toolz_place(tmp_path, sdist)
    tickets = toolz_tickets()
    shared = Counter(function.file for function in FUNCTIONS.values())
    assert (len(tickets) >= 20, depth(tickets) >= 5, sum(n for n in shared.values() if n > 1) >= 8) == (True,) * 3
    chance = random.Random(2)
    token = tmp_path / "token"
    words = ["--tickets", str(place.tickets(tickets)), "--agent", agent_of(place), "--workers", "4", "--save"]

    run = await place.start("run", *words)
    await kill_hanging_agent(run)
    await kill_gate(run)
    await kill_everything(place, run, chance.randrange(10, 60))

    token.touch()
    run = await place.start("resume", env={"CODESWARM_FAILPOINT": f"lander.landed@{token}"})
    assert await run.end() == -signal.SIGKILL
    assert not token.exists(), "it was killed between the ledger and the ref"
    assert tip_of(place) != landed_tip(place), "the ref lags behind the ledger now"

    for _ in range(2):
        run = await place.start("resume")
        await kill_everything(place, run, chance.randrange(40, 160))

    token.touch()
    run = await place.start("resume", env={"CODESWARM_FAILPOINT": f"saver.tagged@{token}"})
    assert await run.end() == -signal.SIGKILL
    assert not token.exists(), "it was killed in the middle of a save"

    run = await place.start("resume")
    assert await run.end() == 0, run.error
    events = place.run("--json", "timeline").lines()
    assert_landed_once(events)
    assert_no_finished_phase_again(events)
    assert_green(events)
    assert_saved(place)
    verified = place.run("--json", "ledger", "verify")
    assert verified.code == 0, verified.out
    assert left_behind(place.root) == []


def tip_of(place: Place) -> str:
    """Where the integration ref stands in the store."""
    refs = place.git(
        "--git-dir",
        str(place.data / "store.git"),
        "for-each-ref",
        "--format=%(objectname)",
        "refs/heads/session/*/integration",
    )
    return refs.strip()


def landed_tip(place: Place) -> str:
    """What landed last, as the ledger says."""
    events = place.run("--json", "timeline").lines()
    return str([event["data"]["new"] for event in events if event["kind"] == "TicketLanded"][-1])


def assert_landed_once(events: list[dict[str, Any]]) -> None:
    landed = Counter(event["data"]["ticket"] for event in events if event["kind"] == "TicketLanded")
    assert landed == {name.replace("_", "-"): 1 for name in FUNCTIONS}


def assert_no_finished_phase_again(events: list[dict[str, Any]]) -> None:
    """A phase that was finished is leased again only after its ticket was sent back: never because of a kill."""
    finished: set[tuple[str, str]] = set()
    leased: dict[tuple[str, int], str] = {}
    for event in events:
        data = event["data"]
        if event["kind"] == "AttemptLeased":
            assert (data["ticket"], data["phase"]) not in finished
            leased[data["ticket"], data["epoch"]] = data["phase"]
        elif event["kind"] == "AttemptSucceeded":
            finished.add((data["ticket"], leased[data["ticket"], data["epoch"]]))
        elif event["kind"] in ("LandingBounced", "ChangesRequested", "ContractDisputed"):
            finished = {(ticket, phase) for ticket, phase in finished if ticket != data["ticket"]}


def assert_green(events: list[dict[str, Any]]) -> None:
    """What landed is the very tree that a gate was green on."""
    made = [event["data"]["receipts"] for event in events if event["kind"] in ("GateFinished", "ReceiptsRecorded")]
    trees = {
        receipt["id"]: receipt["tree"] for receipts in made for receipt in receipts if receipt["outcome"] == "green"
    }
    for event in events:
        if event["kind"] == "TicketLanded":
            assert {trees[id_] for id_ in event["data"]["receipts"]} == {event["data"]["tree"]}


def assert_saved(place: Place) -> None:
    """The person's checkout holds all of it, and its tests are green there, too."""
    assert place.git("status", "--porcelain") == ""
    log = place.git("log", "--format=%(trailers:key=Codeswarm-Ticket,valueonly)").split()
    assert sorted(log) == sorted(name.replace("_", "-") for name in FUNCTIONS)
    for name, function in FUNCTIONS.items():
        assert f"def {name}(" in (place.repository / "toolz" / f"{function.file}.py").read_text()
