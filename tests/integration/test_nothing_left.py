"""However an attempt ends, nothing of it is left: no process, namespace, mount, control group or temporary file.

Its agent does what it can to be missed: children that ignore every signal, leave its session and empty their
environment, and that have children in turn.
"""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

import pytest

from codeswarm.process import gone
from codeswarm.sandbox.base import Limits
from codeswarm.sandbox.none import NoSandbox
from tests.support import processes
from tests.support.repositories import PROBE
from tests.support.runs import Place, Started
from tests.support.small_swarm import LIBRARY, agent_of, small_place, ticket
from tests.support.traces import boxed, left, watched

LACKS = NoSandbox().lacks(Limits(pids=1000))
WALLS = pytest.mark.skipif(not PROBE.works, reason=f"{PROBE.why}: {PROBE.fix}")
GROUPS = pytest.mark.skipif(bool(LACKS), reason="without control groups and walls nobody finds a process that hides")
kinds = pytest.mark.parametrize("kind", [pytest.param("bubblewrap", marks=WALLS), pytest.param("none", marks=GROUPS)])

AGENT = r"""
import json, os, pathlib, signal, sys, time

kind, attempt = os.environ["CODESWARM_TICKET"], os.environ["CODESWARM_ATTEMPT"]


def hide(depth):
    if os.fork():
        return
    os.setsid()
    for number in set(range(1, 32)) - {9, 19}:
        signal.signal(number, signal.SIG_IGN)
    if depth:
        hide(depth - 1)
    os.execve(sys.executable, [sys.executable, "-c", "import time; time.sleep(3000)"], {})


os.environ["PYTHONDONTWRITEBYTECODE"] = "1"
pathlib.Path(os.environ["TMPDIR"], "scratch").write_text("scratch")
pathlib.Path(f"mod_{kind.replace('-', '_')}.py").write_text("value = 1\n")
hide(3)
print(json.dumps({"type": "turn", "text": "begun"}), flush=True)
if kind == "succeeds" or attempt != "1":
    sys.exit(0)
if kind == "crashes":
    os.kill(os.getpid(), signal.SIGSEGV)
if kind == "later":
    sys.exit(75)
if kind == "is-killed":
    os.kill(os.getpid(), signal.SIGKILL)
if kind == "eats":
    held = bytearray(600 << 20)
    sys.exit(f"{len(held)} bytes were given")
signal.signal(signal.SIGTERM, signal.SIG_IGN)
time.sleep(3000)
"""


def hidden_place(root: Path) -> Place:
    place = watched(small_place(root, {**LIBRARY, "codeswarm.toml": '[gates]\nfast = "true"\n'}))
    (root / "agent" / "agent.py").write_text(AGENT)
    return place


def words(place: Place, kind: str, *ids: str) -> list[str]:
    tickets = place.tickets([ticket(id_, pipeline="single") for id_ in ids])
    return ["run", "--tickets", str(tickets), "--agent", agent_of(place), "--sandbox", kind, "--workers", "2"]


def failures(events: list[dict[str, Any]]) -> dict[str, str]:
    """How the first attempts ended that came to no good: ticket → class and words."""
    ends = [event["data"] for event in events if event.get("kind") in ("AttemptFailed", "AttemptTimedOut")]
    lost = [event["data"] for event in events if event.get("kind") == "AttemptLost"]
    failed = {end["ticket"]: f"{end['failure']['failure_class']}: {end['failure']['message']}" for end in ends}
    return failed | {end["ticket"]: f"lost: {end['reason']}" for end in lost}


@kinds
def test_of_agents_that_end_by_themselves_nothing_is_left(tmp_path: Path, kind: str) -> None:
    place = hidden_place(tmp_path)
    place.environment["CODESWARM_SANDBOX_MEMORY_MIB"] = "400"
    done = place.run("--json", *words(place, kind, "succeeds", "crashes", "later", "is-killed", "eats"))
    assert done.code == 0, done.err
    events = done.lines()
    failed = failures(events)
    assert {name: why.partition(":")[0] for name, why in failed.items()} == {
        "crashes": "crashed",
        "later": "try_later",
        "is-killed": "lost",
        "eats": "crashed",
    }
    assert failed["eats"].startswith("crashed: it ran into its limit of 400 MiB of memory: the agent was ended")
    started = [event["data"] for event in events if event.get("kind") == "AttemptStarted"]
    assert {data["lacks"] for data in map(_frozen, started)} == {()}
    assert left(place, events[0]["session"]) == []


def _frozen(data: dict[str, Any]) -> dict[str, Any]:
    return {**data, "lacks": tuple(data["lacks"])}


@kinds
def test_of_an_agent_whose_time_is_up_nothing_is_left(tmp_path: Path, kind: str) -> None:
    place = hidden_place(tmp_path)
    place.environment |= {"CODESWARM_POLICY_ATTEMPT_TIMEOUT_S": "0.2", "CODESWARM_POLICY_MAX_ATTEMPTS": "1"}
    done = place.run("--json", *words(place, kind, "stays"))
    assert done.code == 1, done.err
    assert failures(done.lines())["stays"].startswith("timed_out")
    assert left(place, done.lines()[0]["session"]) == []


async def at_work(place: Place, kind: str) -> Started:
    run = await place.start(*words(place, kind, "stays"))
    await run.until("SnapshotTaken", ticket="stays")
    if kind == "bubblewrap":
        assert boxed(place.root), "what is looked for afterwards can be seen while it is there"
    return run


def assert_gone(place: Place, run: Started) -> None:
    """All but the files of the attempt that was cut off: they stay until they are in a ref, and then they go."""
    session = run.events[0]["session"]
    assert left(place, session, attempts=(f"{session}.stays.1",)) == []
    assert place.run("gc").code == 0
    assert left(place, session) == []


@kinds
async def test_of_a_cancelled_session_nothing_is_left(tmp_path: Path, kind: str) -> None:
    place = hidden_place(tmp_path)
    run = await at_work(place, kind)
    assert place.run("cancel").code == 0
    await run.end()
    assert_gone(place, run)


@kinds
async def test_of_a_session_that_is_stopped_now_nothing_is_left(tmp_path: Path, kind: str) -> None:
    place = hidden_place(tmp_path)
    run = await at_work(place, kind)
    assert place.run("stop", "--now").code == 0
    assert await run.end() == 4
    assert_gone(place, run)


@kinds
async def test_of_an_attempt_whose_worker_is_killed_nothing_is_left(tmp_path: Path, kind: str) -> None:
    place = hidden_place(tmp_path)
    run = await at_work(place, kind)
    workers = [pid for pid in processes.of(place.root) if "codeswarm.worker" in processes.command_of(pid)]
    for pid in workers:
        os.kill(pid, signal.SIGKILL)
        await gone(pid)
    assert await run.end() == 0, run.error
    assert failures(run.events)["stays"].startswith("lost")
    assert left(place, run.events[0]["session"]) == []


@kinds
async def test_of_a_swarm_that_is_killed_whole_nothing_is_left_once_it_is_resumed(tmp_path: Path, kind: str) -> None:
    place = hidden_place(tmp_path)
    run = await at_work(place, kind)
    assert processes.kill_all(place.root) > 0
    await run.end()
    assert place.run("resume").code == 0
    assert left(place, run.events[0]["session"]) == []
