"""Agents that would spend without end: metered while they run, told at the cap, stopped, their work kept."""

from __future__ import annotations

import asyncio
import os
import re
from pathlib import Path
from typing import Any

import pytest

from codeswarm.agents.claude.agent import find_claude
from codeswarm.sandbox.bubblewrap import probe
from codeswarm.testing.model_server import HangInStream, ModelServer, Request, Say, Shell, Turn
from codeswarm.testing.model_server.reply import Tokens
from codeswarm.worker.turns import ASKED
from tests.support.processes import left_behind
from tests.support.runs import Place, Started
from tests.support.small_swarm import agent_of, small_place, ticket

KIND = "bubblewrap" if probe().works else "none"

RUNAWAY = '''\
"""Writes its module, tells ever more of what it has used, and does not end by itself if its ticket is called run-…"""

import json, os, pathlib, sys, time

name, words = os.environ["CODESWARM_TICKET"], sys.stdin.read()
labels = json.load(open(os.environ["CODESWARM_BUNDLE"]))["ticket"].get("labels", [])
told = {label.partition("=")[0]: label.partition("=")[2] for label in labels}
pathlib.Path(f"mod_{name.replace('-', '_')}.py").write_text("value = 1\\n")
if "answer_usd" in told:
    answer = {"usage": {"cost_usd": float(told["answer_usd"])}}
    pathlib.Path(os.environ["CODESWARM_RESULT"]).write_text(json.dumps(answer))
for part in range(1, 6):
    usage = {key: float(value) * part / 5 for key, value in told.items() if key == "cost_usd"}
    usage |= {key: int(value) * part // 5 for key, value in told.items() if key.endswith("tokens")}
    usage |= {key: value for key, value in told.items() if key == "model"}
    print(json.dumps({"type": "usage", **usage}), flush=True)
while name.startswith("run-") and os.environ["CODESWARM_EPOCH"] == "1":
    time.sleep(0.05)
'''


@pytest.fixture
def place(tmp_path: Path) -> Place:
    place = small_place(tmp_path)
    (tmp_path / "agent" / "agent.py").write_text(RUNAWAY)
    return place


async def start(place: Place, tickets: list[dict[str, Any]], *words: str, env: dict[str, str] | None = None) -> Started:
    path = place.tickets([{**row, "pipeline": "single"} for row in tickets])
    words = ("run", "--tickets", str(path), "--agent", agent_of(place), "--sandbox", KIND, *words)
    return await place.start(*words, env=env or {})


def of_kind(run: Started, kind: str, **data: Any) -> list[dict[str, Any]]:
    return [e["data"] for e in run.events if e["kind"] == kind and data.items() <= e["data"].items()]


async def test_who_runs_away_is_stopped_at_the_cap_of_its_ticket_and_its_work_is_kept(place: Place) -> None:
    tickets = [ticket("run-a", labels=["cost_usd=1.25"]), ticket("b", labels=["cost_usd=0.25"])]
    run = await start(place, tickets, env={"CODESWARM_BUDGET_PER_TICKET_USD": "1.0"})
    code = await run.end()
    assert code == 3, (run.error, run.told[-5:])
    (breach,) = of_kind(run, "BudgetBreached")
    assert (breach["ticket"], breach["cap"]) == ("run-a", "ticket")
    assert "1.25 of 1.00 USD of the ticket" in breach["detail"]
    (failed,) = of_kind(run, "AttemptFailed")
    assert (failed["failure"]["failure_class"], failed["charged"]) == ("over_budget", False)
    assert failed["report"]["work"]["changed_files"] == ["mod_run_a.py"]
    assert of_kind(run, "TicketWaiting", ticket="run-a", reason="budget")
    assert [event["ticket"] for event in of_kind(run, "TicketLanded")] == ["b"]
    shown = await asyncio.to_thread(place.run, "status")
    assert "waiting" in shown.out
    assert "$1.50" in shown.out
    assert left_behind(place.root) == []


async def test_who_is_at_work_is_shown_with_what_it_has_used_so_far(place: Place) -> None:
    run = await start(place, [ticket("run-a", labels=["cost_usd=0.75"])])
    await run.until("AttemptStarted")
    agents: list[dict[str, Any]] = []
    while not any(agent["usd"] for agent in agents):  # its next heartbeat tells it
        agents = (await asyncio.to_thread(place.run, "--json", "status")).json["agents"]
    assert [(agent["ticket"], agent["usd"]) for agent in agents] == [("run-a", 0.75)]
    shown = await asyncio.to_thread(place.run, "status")
    assert "and $0.75 so far by 1 agent at work" in shown.out
    stopped = await asyncio.to_thread(place.run, "stop", "--now")
    assert stopped.code == 0
    await run.end()
    after = (await asyncio.to_thread(place.run, "--json", "status")).json
    assert (after["session"]["cost_usd"], after["session"]["cost_unknown"]) == (0.75, 0)


async def test_a_ticket_that_is_released_goes_on_from_the_work_that_was_handed_back(place: Place) -> None:
    run = await start(
        place, [ticket("run-a", labels=["cost_usd=1.25"])], env={"CODESWARM_BUDGET_PER_TICKET_USD": "1.0"}
    )
    assert await run.end() == 3
    released = await asyncio.to_thread(place.run, "ticket", "release", "run-a")
    assert released.code == 0, released.err
    done = await asyncio.to_thread(place.run, "--json", "resume")
    assert done.code == 0, done.err
    landed = [event["data"] for event in done.lines() if event.get("kind") == "TicketLanded"]
    assert [event["ticket"] for event in landed] == ["run-a"]
    assert "mod_run_a.py" in place.git("ls-tree", "--name-only", landed[0]["new"])


async def test_those_who_use_up_a_session_together_are_each_told_once_and_it_goes_on_with_more(place: Place) -> None:
    tickets = [ticket(f"run-{name}", labels=["cost_usd=1.0"]) for name in "abc"]
    run = await start(place, tickets, "--budget-usd", "2.0", "--workers", "3")
    assert await run.end() == 4, (run.error, run.told[-5:])
    told = [breach["ticket"] for breach in of_kind(run, "BudgetBreached", cap="session")]
    assert len(told) == len(set(told)) >= 2
    (suspended,) = of_kind(run, "SessionSuspended")
    assert suspended["reason"] == "budget"
    assert not of_kind(run, "TicketWaiting")
    done = await asyncio.to_thread(place.run, "--json", "resume", "--budget-usd", "50")
    assert done.code == 0, done.err
    assert sum(event.get("kind") == "TicketLanded" for event in done.lines()) == 3


async def test_tokens_of_a_known_model_are_priced_and_those_of_an_unknown_one_are_never_nothing(place: Place) -> None:
    known = ["model=gpt-5.5", "input_tokens=100000", "output_tokens=10000"]
    tickets = [ticket("known", labels=known), ticket("other", labels=["model=gpt-99", "input_tokens=100000"])]
    run = await start(place, tickets)
    assert await run.end() == 0, run.error
    usage = {e["ticket"]: e["report"]["usage"] for e in of_kind(run, "AttemptSucceeded")}
    assert usage["known"]["cost_usd"] == pytest.approx(0.8)
    assert usage["known"]["priced"] == "2026-10-10"
    assert usage["other"]["cost_usd"] is None
    shown = await asyncio.to_thread(place.run, "status")
    assert "unknown" in shown.out


async def test_what_an_answer_says_of_usage_counts_only_where_nothing_else_was_told(place: Place) -> None:
    tickets = [ticket("cheap", labels=["cost_usd=0.75", "answer_usd=0"]), ticket("quiet", labels=["answer_usd=0.5"])]
    run = await start(place, tickets)
    assert await run.end() == 0, run.error
    cost = {e["ticket"]: e["report"]["usage"]["cost_usd"] for e in of_kind(run, "AttemptSucceeded")}
    assert cost == {"cheap": 0.75, "quiet": 0.5}, "a model could say that it cost nothing"


# ── Claude Code itself ──


class EndlessWork:
    """A model that goes on and on, and answers the question what is left."""

    def __init__(self) -> None:
        self.answers = 0
        self.asked = 0

    def __call__(self, request: Request) -> object:
        if request.is_side_call:
            return Say("ok")
        if ASKED.splitlines()[0] in request.text:
            self.asked += 1
            return Turn(Say("The first half is done; the second is left."), usage=Tokens(1000, 20))
        self.answers += 1
        if self.answers > 3:
            return HangInStream()
        step = Shell(f"echo step {self.answers} >> work.txt")
        return Turn(Say("Going on."), step, usage=Tokens(100_000, 100, 50_000))


@pytest.mark.skipif(find_claude(os.defpath) is None, reason="no claude: pip install claude-agent-sdk bundles it")
@pytest.mark.skipif(not probe().works, reason="no bubblewrap")
async def test_claude_is_metered_within_its_turn_and_hands_back_in_one_more(place: Place) -> None:
    script = EndlessWork()
    path = place.tickets([{**ticket("t1"), "pipeline": "single"}])
    env = {"CODESWARM_BUDGET_PER_TICKET_TOKENS": "250000"}
    async with ModelServer(script) as server:
        run = await place.start(
            "run", "--tickets", str(path), "--agent", "claude:sonnet", env={**server.environment("claude"), **env}
        )
        code = await run.end()
        asked, told = script.asked, server.environment("claude")
        assert (await asyncio.to_thread(place.run, "ticket", "release", "t1")).code == 0
        done = await asyncio.to_thread(lambda: place.run("--json", "resume", env=told))
    assert code == 3, (run.error, run.told[-5:])
    (breach,) = of_kind(run, "BudgetBreached")
    assert re.search(r"30\d{4} of 250000 tokens of the ticket", breach["detail"])
    assert asked == 1
    (failed,) = of_kind(run, "AttemptFailed")
    assert failed["failure"]["failure_class"] == "over_budget"
    assert "The first half is done; the second is left." in failed["failure"]["message"]
    assert failed["report"]["work"]["changed_files"] == ["work.txt"]
    usage = failed["report"]["usage"]
    assert 300_000 < usage["input_tokens"] + usage["output_tokens"] < 310_000
    assert usage["cost_usd"] > 0
    assert done.code == 0, done.err
    begun = [event["data"] for event in done.lines() if event.get("kind") == "AttemptStarted"]
    assert [attempt["resumed"] for attempt in begun] == [False, True]
    (ended,) = [event["data"] for event in done.lines() if event.get("kind") == "AttemptSucceeded"]
    last = ended["report"]["usage"]["cost_usd"]
    assert last > usage["cost_usd"], "the conversation tells the whole of itself"
    cost = (await asyncio.to_thread(place.run, "--json", "status")).json["session"]["cost_usd"]
    assert cost == pytest.approx(last), "and each of its attempts is charged its own share"
    assert left_behind(place.root) == []
