"""A person steers a live session from a second terminal: pause, stop, hold, message, approve, budget, Ctrl+C."""

from __future__ import annotations

import asyncio
import os
import re
import signal
from pathlib import Path
from typing import Any

import pytest

from codeswarm.sandbox.bubblewrap import probe
from tests.support.processes import left_behind
from tests.support.runs import Finished, Place, Started
from tests.support.small_swarm import agent_of, small_place, ticket

KIND = "bubblewrap" if probe().works else "none"

WAITING_AGENT = '''\
"""Writes what it was told into its file. A ticket named wait-… goes on only when a file appears in its workspace."""

import json, os, pathlib, sys, time

bundle = json.load(open(os.environ["CODESWARM_BUNDLE"]))
role, ticket = os.environ["CODESWARM_ROLE"], os.environ["CODESWARM_TICKET"]
prompt = sys.stdin.read()
print(json.dumps({"type": "assistant", "text": "begins"}), flush=True)
name = ticket.replace("-", "_")
if role == "reviewer":
    pathlib.Path(os.environ["CODESWARM_RESULT"]).write_text(json.dumps({"verdict": "approve"}))
else:
    words = [m["text"] for m in bundle["messages"]] + [f["text"] for f in bundle["feedback"]]
    assert all(word in prompt for word in words)
    pathlib.Path(f"mod_{name}.py").write_text(f"attempt = {os.environ['CODESWARM_ATTEMPT']}\\nheard = {words!r}\\n")
    while ticket.startswith("wait") and not words:
        time.sleep(0.05)
    if "cost" in ticket:
        usage = {"input_tokens": 1000, "output_tokens": 10, "cost_usd": 0.6}
        print(json.dumps({"type": "usage", "usage": usage}), flush=True)
'''


@pytest.fixture
def place(tmp_path: Path) -> Place:
    place = small_place(tmp_path)
    (tmp_path / "agent" / "agent.py").write_text(WAITING_AGENT)
    return place


async def start(place: Place, tickets: list[dict[str, Any]], *words: str) -> Started:
    path = place.tickets(tickets)
    return await place.start("run", "--tickets", str(path), "--agent", agent_of(place), "--sandbox", KIND, *words)


async def ask(place: Place, *words: str) -> Finished:
    """A command from a second terminal."""
    return await asyncio.to_thread(place.run, *words)


def single(id_: str, *blocked_by: str, **more: Any) -> dict[str, Any]:
    return ticket(id_, *blocked_by, pipeline="single", **more)


async def test_a_second_terminal_sees_the_live_session_and_its_agents_words(place: Place) -> None:
    run = await start(place, [single("wait-a")])
    await run.until("SnapshotTaken", ticket="wait-a")
    status = await ask(place, "--json", "status")
    assert status.json["live"] is True
    assert status.json["counts"] == {"in_progress": 1}
    logs = await ask(place, "logs", "wait-a")
    assert "begins" in logs.out
    sent = await ask(place, "message", "wait-a", "go on, please")
    assert sent.code == 0, sent.err
    stopped = await ask(place, "stop", "--now")
    assert stopped.code == 0, stopped.err
    assert await run.end() == 4
    assert left_behind(place.root) == []
    done = await ask(place, "--json", "resume")
    assert done.code == 0, done.err
    session = done.lines()[0]["session"]
    assert "heard = ['go on, please']" in place.git("show", f"codeswarm/{session}:mod_wait_a.py")


async def test_pause_gives_out_no_new_work_and_resume_goes_on(place: Place) -> None:
    run = await start(place, [single("wait-a"), single("b", "wait-a")], "--workers", "1")
    await run.until("SnapshotTaken", ticket="wait-a")
    assert (await ask(place, "pause")).code == 0
    again = await ask(place, "pause")
    assert "so already" in again.out
    await ask(place, "message", "wait-a", "x")
    held = await ask(place, "ticket", "hold", "wait-a", "--reason", "later")
    assert held.code == 0, held.err
    cancelled = await run.until("AttemptCancelled", ticket="wait-a")
    assert "put on hold" in cancelled["data"]["reason"]
    assert await run.end() == 4, "paused and at rest: the hosting process ends"
    assert (await ask(place, "ticket", "release", "wait-a")).code == 0
    done = await ask(place, "--json", "resume")
    assert done.code == 0, done.err
    assert [e["data"]["ticket"] for e in done.lines() if e["kind"] == "TicketLanded"] == ["wait-a", "b"]


async def test_ctrl_c_once_drains_and_twice_ends_now(place: Place) -> None:
    run = await start(place, [single("wait-a"), single("b")], "--workers", "2")
    await run.until("SnapshotTaken", ticket="wait-a")
    run.process.send_signal(signal.SIGINT)
    await run.until("SessionSuspended", reason="stopped")
    run.process.send_signal(signal.SIGINT)
    await run.until("AttemptCancelled", ticket="wait-a")
    assert await run.end() == 130
    assert left_behind(place.root) == []
    await ask(place, "message", "wait-a", "x")
    done = await ask(place, "--json", "resume")
    assert done.code == 0, done.err
    landed = [e["data"]["ticket"] for e in done.lines() if e["kind"] == "TicketLanded"]
    assert sorted(landed) == ["b", "wait-a"]
    failed = [e for e in done.lines() if e["kind"] == "AttemptFailed"]
    assert failed == [], "an interrupted attempt is charged to nobody"


async def test_a_second_run_joins_the_live_router(place: Place) -> None:
    run = await start(place, [single("wait-a")], "--wait")
    first = await run.until("SnapshotTaken", ticket="wait-a")
    path = place.tickets([single("other")], "other.yaml")
    words = ["run", "--tickets", str(path), "--agent", agent_of(place), "--sandbox", KIND, "--name", "second"]
    second = await ask(place, "--json", *words)
    assert second.code == 0, second.err
    assert "joined the router" in second.err
    await ask(place, "message", first["session"], "x")
    await ask(place, "ticket", "hold", f"{first['session']}/wait-a")
    await ask(place, "ticket", "release", f"{first['session']}/wait-a")
    assert await run.end() == 0, run.error
    assert len((await ask(place, "--json", "session", "list")).json) == 2


async def test_a_plan_waits_for_its_approval_and_a_rejection_ends_it(place: Place) -> None:
    path = place.tickets([single("a")])
    words = ["run", "--tickets", str(path), "--agent", agent_of(place), "--sandbox", KIND, "--approve", "plan"]
    done = await ask(place, *words)
    assert done.code == 3, done.err
    assert re.search(r"codeswarm approve \w{8}/a1 ", done.out)
    assert "a1" in (await ask(place, "approvals")).out
    assert (await ask(place, "approve")).code == 0
    done = await ask(place, "resume")
    assert done.code == 0, done.err + done.out
    assert (await ask(place, *words)).code == 3
    assert (await ask(place, "reject")).code == 2, "a rejection needs a reason"
    rejected = await ask(place, "reject", "--why", "too small")
    assert rejected.code == 0, rejected.err
    status = (await ask(place, "--json", "status")).json["session"]
    assert (status["status"], status["outcome"], status["detail"]) == (
        "finalized",
        "failed",
        "plan rejected: too small",
    )


async def test_a_rejected_landing_goes_back_with_the_reason(place: Place) -> None:
    run = await start(place, [single("a")], "--approve", "landing", "--wait")
    await run.until("ApprovalRequested")
    assert (await ask(place, "reject", "a1", "--why", "name it better")).code == 0
    asked = await run.until("ApprovalRequested")
    assert asked["data"]["approval"] == "a2"
    assert (await ask(place, "approve", "a2", "--note", "fine now")).code == 0
    assert await run.end() == 0, run.error
    session = run.events[0]["session"]
    assert "- name it better" in place.git("show", f"codeswarm/{session}:mod_a.py")


async def test_a_sensitive_file_asks_for_a_person(place: Place) -> None:
    place.write(
        {"codeswarm.toml": (place.repository / "codeswarm.toml").read_text() + '[policy]\nsensitive = ["mod_*"]\n'}
    )
    place.git("commit", "-qam", "Sensitive")
    path = place.tickets([single("a")])
    done = await ask(place, "run", "--tickets", str(path), "--agent", agent_of(place), "--sandbox", KIND)
    assert done.code == 3, done.out + done.err
    assert "sensitive" in done.out


async def test_a_budget_is_never_overspent_and_resume_raises_it(place: Place) -> None:
    tickets = [single(f"cost-{i}") for i in range(4)]
    run = await start(place, tickets, "--budget-usd", "1.3", "--workers", "4")
    assert await run.end() == 4
    suspended = next(e["data"] for e in run.events if e["kind"] == "SessionSuspended")
    assert suspended["reason"] == "budget"
    status = (await ask(place, "--json", "status")).json
    assert status["session"]["cost_usd"] == pytest.approx(1.2)
    assert status["counts"] == {"complete": 2, "ready": 2}
    done = await ask(place, "--json", "resume", "--budget-usd", "10")
    assert done.code == 0, done.err
    status = (await ask(place, "--json", "status")).json
    assert (status["session"]["cost_usd"], status["cost_per_landed_usd"]) == (pytest.approx(2.4), pytest.approx(0.6))


async def test_a_recorded_run_can_be_played_again(place: Place) -> None:
    path = place.tickets([single("a"), single("b", "a")])
    record = place.root / "recorded"
    words = ["run", "--tickets", str(path), "--sandbox", KIND]
    first = await ask(place, "--json", *words, "--agent", agent_of(place), "--record", str(record))
    assert first.code == 0, first.err
    assert sorted(str(p.relative_to(record)) for p in record.rglob("*.jsonl")) == [
        "a/implementation.1.jsonl",
        "b/implementation.1.jsonl",
    ]
    (place.root / "agent" / "agent.py").unlink()
    second = await ask(place, "--json", *words, "--agent", f"replay:{record}")
    assert second.code == 0, second.err
    trees = [[e["data"]["tree"] for e in run.lines() if e["kind"] == "TicketLanded"] for run in (first, second)]
    assert trees[0] == trees[1]


async def test_a_failed_ticket_shows_what_it_blocks_and_can_be_retried(place: Place) -> None:
    agent = place.root / "agent" / "agent.py"
    text = agent.read_text()
    agent.write_text("import sys; sys.exit(1)")
    path = place.tickets([single("a"), single("b", "a"), single("c", "b")])
    done = await ask(place, "run", "--tickets", str(path), "--agent", agent_of(place), "--sandbox", KIND)
    assert done.code == 1, done.err
    status = await ask(place, "--json", "status")
    assert {t["id"]: t["blocked_by_failure"] for t in status.json["tickets"]} == {"a": [], "b": ["a"], "c": ["a"]}
    assert status.json["tickets"][0]["failures"] == 3
    agent.write_text(text)
    assert (await ask(place, "ticket", "retry", "a")).code == 0
    assert (await ask(place, "resume")).code == 0
    assert (await ask(place, "--json", "status")).json["counts"] == {"complete": 3}


async def test_cancel_ends_everything_and_keeps_the_work(place: Place) -> None:
    run = await start(place, [single("wait-a"), single("b", "wait-a")])
    snapshot = await run.until("SnapshotTaken", ticket="wait-a")
    assert (await ask(place, "cancel", "--reason", "wrong way")).code == 0
    assert await run.end() == 1
    assert left_behind(place.root) == []
    refused = await ask(place, "resume")
    assert refused.code == 2
    store = place.data / "store.git"
    assert "mod_wait_a.py" in place.git("--git-dir", str(store), "ls-tree", "--name-only", snapshot["data"]["commit"])


async def test_a_hosting_process_that_is_told_to_end_loses_nothing(place: Place) -> None:
    run = await start(place, [single("wait-a")])
    await run.until("SnapshotTaken", ticket="wait-a")
    os.kill(run.process.pid, signal.SIGTERM)
    await run.end()
    await ask(place, "message", "wait-a", "x")
    done = await ask(place, "--json", "resume")
    assert done.code == 0, done.err
