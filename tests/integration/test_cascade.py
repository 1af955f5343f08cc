"""A session whose first agent's quota ends: the second goes on, the first comes back, and nothing is done twice.

The first agent is the real Claude Code CLI before a scripted model, whose quota has a real reset a few seconds away.
The second one is a program that works until the test lets it go, which it does once the first one is back.
"""

from __future__ import annotations

import asyncio
import os
import re
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from codeswarm.agents.claude.agent import find_claude
from codeswarm.sandbox.bubblewrap import probe
from codeswarm.testing.model_server import ModelServer, QuotaExhausted, Request, Say, Shell, Unauthorized, UnknownModel
from tests.support.held_agent import held_place, let_go
from tests.support.runs import Place, Started
from tests.support.small_swarm import agent_of, small_place, ticket

PROBE = probe()
pytestmark = [
    pytest.mark.skipif(not PROBE.works, reason=f"{PROBE.why}: {PROBE.fix}"),
    pytest.mark.skipif(find_claude(os.defpath) is None, reason="no claude: pip install claude-agent-sdk bundles it"),
]

RESET_S = 4
MEND = "mend it: codeswarm doctor   # what is wrong with each agent, and the command"
FIRST, BIG = "claude:sonnet", "claude:opus"


@dataclass
class Model:
    """Adds a module for each ticket. Of `spent_at` the quota ends in the middle of the work."""

    spent_at: str = ""
    refusal: object = None
    """What `spent_at` meets instead."""
    asked: list[tuple[str, str, float]] = field(default_factory=list)
    """(ticket, model, when) of each request."""

    def __call__(self, request: Request) -> object:
        if request.is_side_call:
            return Say("ok")
        found = re.search(r"# Ticket ([a-z0-9]+):", request.text)
        assert found is not None
        name = found[1]
        self.asked.append((name, request.model, time.time()))
        if name == self.spent_at and request.turns == 1:
            return self.refusal or QuotaExhausted(int(time.time()) + RESET_S)
        add = f"printf 'half = True\\n' > half_{name}.py"
        done = f"rm -f half_{name}.py; printf 'half = False\\n' > mod_{name}.py"
        return [Shell(add), Shell(done), Say("Done.")][min(request.turns, 2)]


@pytest.fixture
def place(tmp_path: Path) -> Place:
    place = held_place(tmp_path)
    place.environment["CODESWARM_POLICY_PARK_BASE_S"] = str(RESET_S)
    place.environment["CODESWARM_GATES_FAST"] = "true"
    return place


def second(place: Place) -> str:
    return f"{agent_of(place)} {place.root / 'let-go'}"


async def start(place: Place, server: ModelServer, *agents: str, names: tuple[str, ...] = ("a", "b", "c")) -> Started:
    tickets = [ticket(name, *names[:i][-1:], pipeline="single") for i, name in enumerate(names)]
    choices = [word for agent in agents for word in ("--agent", agent)]
    words = ["run", "--tickets", str(place.tickets(tickets)), *choices, "--workers", "1"]
    return await place.start(*words, env=run_with(server))


def run_with(server: ModelServer) -> dict[str, str]:
    """A login of an account, for only to such a one the CLI tells of its windows."""
    key = server.environment("claude")
    return {"ANTHROPIC_BASE_URL": key["ANTHROPIC_BASE_URL"], "CLAUDE_CODE_OAUTH_TOKEN": key["ANTHROPIC_API_KEY"]}


def told(run: Started, *kinds: str) -> list[tuple[Any, ...]]:
    found = [event for event in run.events if event["kind"] in kinds]
    return [(e["kind"], e["data"].get("ticket", ""), e["data"].get("agent", "")) for e in found]


async def test_the_second_agent_finishes_the_first_comes_back_and_nothing_finished_runs_again(place: Place) -> None:
    model = Model(spent_at="b")
    async with ModelServer(model) as server:
        run = await start(place, server, FIRST, second(place))
        parked = await run.until("AgentParked")
        await run.until("AttemptStarted", ticket="b")
        status = place.run("status")
        assert f"parked: {FIRST} (account " in status.out
        assert "its quota is spent" in status.out
        (row,) = place.run("--json", "status").json["parked"]
        assert (row["agent"], row["why"], row["until_ms"]) == (FIRST, "quota", parked["data"]["until_ms"])
        back = await run.until("AgentUnparked")
        let_go(place, "b")
        code = await run.end()
    assert code == 0, (run.error, run.told[-5:])
    assert told(run, "AttemptLeased", "AgentParked", "AgentUnparked") == [
        ("AttemptLeased", "a", FIRST),
        ("AttemptLeased", "b", FIRST),
        ("AgentParked", "", FIRST),
        ("AttemptLeased", "b", second(place)),
        ("AgentUnparked", "", FIRST),
        ("AttemptLeased", "c", FIRST),
    ]
    until_ms = parked["data"]["until_ms"]
    assert back["at_ms"] >= until_ms
    quiet = [name for name, _, at_s in model.asked if parked["at_ms"] <= at_s * 1000 < until_ms]
    assert quiet == [], "nothing was sent before the reset"
    assert [kind for kind, *_ in told(run, "TicketLanded")] == ["TicketLanded"] * 3
    assert Counter(name for _, name, _ in told(run, "AttemptSucceeded")) == {"a": 1, "b": 1, "c": 1}
    assert place.git("show", f"codeswarm/{run.events[0]['session']}:mod_c.py") == "half = False"
    timeline = place.run("timeline").out
    for line in (f"{FIRST} is parked until", f"{FIRST} is back: its time has come", "failed: quota (not charged)"):
        assert line in timeline


async def test_with_a_single_agent_work_waits_for_the_reset_and_goes_on_by_itself(place: Place) -> None:
    model = Model(spent_at="a")
    async with ModelServer(model) as server:
        run = await start(place, server, FIRST, names=("a",))
        await run.until("TicketWaiting", ticket="a", reason="quota")
        assert "1 waiting" in place.run("status").out
        model.spent_at = ""
        assert await run.end() == 0, (run.error, run.told[-5:])
    kinds = [event["kind"] for event in run.events]
    assert kinds.count("AttemptLeased") == 2
    assert kinds.index("AgentUnparked") < kinds.index("TicketReleased")


async def test_a_refused_login_suspends_says_what_mends_it_and_resume_goes_on(place: Place) -> None:
    model = Model(spent_at="a", refusal=Unauthorized())
    async with ModelServer(model) as server:
        run = await start(place, server, FIRST, BIG, names=("a",))
        assert await run.end() == 4, (run.error, run.told[-5:])
        assert told(run, "AttemptLeased") == [("AttemptLeased", "a", FIRST)], "its other models have the same login"
        (suspended,) = [e["data"] for e in run.events if e["kind"] == "SessionSuspended"]
        assert suspended["reason"] == "no_agent"
        session = run.events[0]["session"]
        assert f"mend it (codeswarm doctor), then: codeswarm resume {session}" in place.run("status").out
        report = place.run("report").out
        assert "codeswarm doctor" in report
        assert f"codeswarm resume {session}" in report
        again = await asyncio.to_thread(place.run, "resume", env=run_with(server))
        assert again.code == 4
        assert again.out.splitlines()[-2:] == [MEND, f"next: codeswarm resume {session}"]
        model.spent_at = ""
        done = await asyncio.to_thread(place.run, "resume", env=run_with(server))
    assert done.code == 0, done.err
    assert "is back, says" in place.run("timeline").out


async def test_a_mended_key_is_another_account_and_needs_no_further_word(place: Place) -> None:
    model = Model(spent_at="a", refusal=Unauthorized())
    async with ModelServer(model) as server:
        run = await start(place, server, FIRST, second(place), names=("a", "b"))
        await run.until("AgentParked")
        run.process.terminate()
        await run.end()
        model.spent_at = ""
        let_go(place, "a", "b")
        fresh = {"ANTHROPIC_BASE_URL": server.url, "CLAUDE_CODE_OAUTH_TOKEN": "sk-another-key"}
        done = await asyncio.to_thread(place.run, "--json", "resume", env=fresh)
    assert done.code == 0, done.err
    leased = [e["data"] for e in done.lines() if e.get("kind") == "AttemptLeased"]
    assert (leased[-1]["ticket"], leased[-1]["agent"]) == ("b", FIRST)
    assert leased[-1]["account"] != leased[0]["account"] or leased[0]["agent"] != FIRST


async def test_a_model_that_nobody_has_is_named_and_the_next_choice_works(place: Place) -> None:
    model = Model(spent_at="a", refusal=UnknownModel())
    let_go(place, "a")
    async with ModelServer(model) as server:
        run = await start(place, server, FIRST, second(place), names=("a",))
        assert await run.end() == 0, (run.error, run.told[-5:])
    (parked,) = [event["data"] for event in run.events if event["kind"] == "AgentParked"]
    assert (parked["agent"], parked["why"], parked["until_ms"]) == (FIRST, "unknown_model", None)


WEAK = """\
import os, pathlib

name = os.environ["CODESWARM_TICKET"]
test = f"import mod_{name}\\n\\n\\ndef test_it():\\n    assert mod_{name}.VALUE == 7\\n"
pathlib.Path(f"tests/test_{name}.py").write_text(test)
pathlib.Path(f"mod_{name}.py").write_text("VALUE = 6  # nearly\\n")
print("I believe that six is right.")
"""
STRONG = """\
import json, os, pathlib, sys

name, prompt = os.environ["CODESWARM_TICKET"], sys.stdin.read()
bundle = json.load(open(os.environ["CODESWARM_BUNDLE"]))
assert "You take over from another agent" in prompt, prompt
assert "+VALUE = 6  # nearly" in prompt, "what it changed"
assert "assert 6 == 7" in prompt, "what the gate said"
assert bundle["escalated"]["source"].endswith("weak.py"), bundle["escalated"]
module = pathlib.Path(f"mod_{name}.py")
module.write_text(module.read_text().replace("6  # nearly", "7"))
"""


async def test_a_red_gate_hands_the_work_with_all_that_was_found_to_the_next_agent(tmp_path: Path) -> None:
    place = small_place(tmp_path)
    for name, text in (("weak.py", WEAK), ("strong.py", STRONG)):
        (place.root / "agent" / name).write_text(text)
    weak, strong = (f"command:python {place.root / 'agent' / name}.py" for name in ("weak", "strong"))
    tickets = place.tickets([ticket("a", pipeline="single")])
    words = ("run", "--tickets", str(tickets), "--role", f"implementer={weak},{strong}")
    run = await place.start(*words, env={"CODESWARM_POLICY_ESCALATE": "true"})
    assert await run.end() == 0, (run.error, [e["data"] for e in run.events if e["kind"] == "AttemptFailed"])
    (up,) = [event["data"] for event in run.events if event["kind"] == "TicketEscalated"]
    assert (up["agent"], up["instead_of"], up["rung"]) == (strong, weak, 1)
    assert [agent for *_, agent in told(run, "AttemptLeased")] == [weak, strong]
    assert f"goes up to {strong}" in place.run("timeline").out
