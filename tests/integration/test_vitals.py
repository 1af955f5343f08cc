"""What agents are at, through real processes behind real walls: seen, shown, and acted on with evidence."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
from bench.figure import TINY, Figure
from bench.worker import measure

from codeswarm.sandbox.bubblewrap import probe
from codeswarm.testing.model_server import HangBeforeHeaders, Say, Shell, conversation, running_model_server
from tests.support.held_agent import begin, held_place, let_go
from tests.support.processes import left_behind
from tests.support.real_clis import needs_claude, needs_codex
from tests.support.runs import Finished, Place
from tests.support.small_swarm import agent_of, small_place, ticket

KINDS = ("bubblewrap", "none") if probe().works else ("none",)
STOPS_ITSELF = """\
import json, os, signal
print(json.dumps({"type": "command_started", "text": "make it so"}), flush=True)
os.kill(os.getpid(), signal.SIGSTOP)
"""


@pytest.mark.parametrize("kind", KINDS)
async def test_an_agent_that_is_stopped_is_ended_and_the_timeline_says_what_was_seen(tmp_path: Path, kind: str) -> None:
    place = small_place(tmp_path)
    (tmp_path / "agent" / "agent.py").write_text(STOPS_ITSELF)
    place.environment |= {"CODESWARM_POLICY_STOPPED_TIMEOUT_S": "0.5", "CODESWARM_POLICY_MAX_ATTEMPTS": "1"}
    tickets = str(place.tickets([ticket("a", pipeline="single")]))
    done = place.run("--json", "run", "--tickets", tickets, "--agent", agent_of(place), "--sandbox", kind)
    assert done.code == 1, done.err
    (failed,) = [event["data"] for event in done.lines() if event["kind"] == "AttemptTimedOut"]
    assert (failed["failure"]["failure_class"], failed["charged"]) == ("hung", True)
    assert failed["failure"]["message"].startswith("the agent stalled: stopped by a signal for ")
    evidence = failed["failure"]["evidence"]
    assert (evidence["state"], evidence["doing"]) == ("running_command", "make it so")
    assert evidence["last_word"] == "command_started: make it so"
    assert any(" (T" in process for process in evidence["processes"]), evidence
    assert left_behind(place.root) == []


def test_agents_that_wait_cost_a_worker_next_to_no_memory(tmp_path: Path) -> None:
    """The bar is 300 MiB for fifty. What a worker begins with is a fifth of it, so ten agents must stay far below."""
    memory = measure(dataclasses.replace(TINY, agents=10), tmp_path / "bench")[0]
    assert isinstance(memory, Figure)
    assert memory.median < 100


CLIS = [
    pytest.param("claude:sonnet", marks=needs_claude, id="claude"),
    pytest.param("codex:gpt-5.5", marks=needs_codex, id="codex"),
]
IMPATIENT = {"CODESWARM_POLICY_SILENCE_TIMEOUT_S": "6", "CODESWARM_POLICY_MAX_ATTEMPTS": "1"}


def run_with(tmp_path: Path, agent: str, script: object) -> tuple[Finished, Place]:
    """One ticket, by a real CLI, whose agents may be silent for six seconds while nothing is under way."""
    place = small_place(tmp_path)
    place.environment |= IMPATIENT
    tickets = str(place.tickets([ticket("a", pipeline="single")]))
    with running_model_server(script) as server:
        env = server.environment(agent.partition(":")[0])
        words = ("--json", "run", "--tickets", tickets, "--agent", agent, "--sandbox", KINDS[0])
        return place.run(*words, env=env), place


@pytest.mark.parametrize("agent", CLIS)
def test_a_cli_whose_model_never_answers_is_hung(tmp_path: Path, agent: str) -> None:
    done, place = run_with(tmp_path, agent, conversation([HangBeforeHeaders()]))
    (failed,) = [event["data"]["failure"] for event in done.lines() if event["kind"] == "AttemptTimedOut"]
    assert failed["failure_class"] == "hung"
    assert failed["evidence"]["state"] == "thinking"
    assert failed["evidence"]["processes"][0].split()[0] in ("claude", "codex")
    assert failed["evidence"]["word_s"] >= 6
    assert left_behind(place.root) == []


@pytest.mark.parametrize("agent", CLIS)
def test_a_cli_whose_command_is_silent_for_longer_than_a_thought_may_be_is_not(tmp_path: Path, agent: str) -> None:
    steps = [Shell("sleep 9; echo 'a = 1' > mod_a.py"), Say("Done.")]
    done, place = run_with(tmp_path, agent, conversation(steps))
    assert done.code == 0, done.err
    assert [event["kind"] for event in done.lines()].count("TicketLanded") == 1
    assert left_behind(place.root) == []


async def test_whoever_looks_is_told_what_an_agent_is_at(tmp_path: Path) -> None:
    place = held_place(tmp_path)
    run = await begin(place, KINDS[0], "a")
    (agent,) = place.run("--json", "status").json["agents"]
    assert (agent["ticket"], agent["epoch"]) == ("a", 1)
    assert agent["vital"]["state"] in ("spawning", "thinking", "running_command")
    assert agent["vital"]["for_s"] >= 0
    told = place.run("status").out
    assert any(word in told for word in ("spawning ", "thinking ", "running ")), told
    (attempt,) = place.run("--json", "work", "a").json["attempts"]
    assert attempt["at"]["epoch"] == 1
    let_go(place, "a")
    assert await run.end() == 0, run.error
    assert place.run("--json", "status").json["agents"] == []
    assert left_behind(place.root) == []
