"""Too many deaths within a window suspend the session: told, counted, and undone by a resume once the cause is gone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from codeswarm.sandbox.bubblewrap import probe
from tests.support.processes import left_behind
from tests.support.runs import Place
from tests.support.small_swarm import AGENT, agent_of, small_place, ticket

KIND = "bubblewrap" if probe().works else "none"
MOST = 3

DEADLY = '''\
"""Kills the worker that it runs under: looked for among its ancestors, which it sees without walls."""

import os, pathlib, signal

pid = os.getpid()
while b"codeswarm.worker" not in pathlib.Path(f"/proc/{pid}/cmdline").read_bytes():
    pid = int(pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
os.kill(pid, signal.SIGKILL)
'''

CAUSES = {"agent": (KIND, "import os; os.abort()", "AttemptFailed"), "worker": ("none", DEADLY, "AttemptLost")}


def melting_place(root: Path, script: str) -> Place:
    place = small_place(root)
    (root / "agent" / "agent.py").write_text(script)
    place.environment |= {"CODESWARM_POLICY_MAX_RESTARTS": str(MOST), "CODESWARM_POLICY_RESTART_WINDOW_S": "3600"}
    return place


def run(place: Place, kind: str, count: int, *words: str) -> Any:
    path = place.tickets([ticket(f"t{number}", pipeline="single") for number in range(count)])
    agent = ("--agent", agent_of(place), "--sandbox", kind, "--workers", "2")
    return place.run("--json", "run", "--tickets", str(path), *agent, *words)


@pytest.mark.parametrize("dying", sorted(CAUSES))
def test_one_death_too_many_suspends_and_resume_goes_on_without_the_cause(tmp_path: Path, dying: str) -> None:
    kind, script, death = CAUSES[dying]
    place = melting_place(tmp_path, script)
    place.environment["CODESWARM_POLICY_MAX_ATTEMPTS"] = "10"  # no ticket fails before the session melts
    done = run(place, kind, 2)
    assert done.code == 4, (done.code, done.err)
    events = done.lines()
    deaths = [event for event in events if event["kind"] == death]
    suspended = [event["data"] for event in events if event["kind"] == "SessionSuspended"]
    assert [one["reason"] for one in suspended] == ["meltdown"]
    assert len(deaths) >= MOST + 1
    before = [e for e in events[: [e["kind"] for e in events].index("SessionSuspended")] if e["kind"] == death]
    assert len(before) == MOST + 1, "the first death over the bound, no sooner and no later"
    assert left_behind(place.root) == []
    status = place.run("--json", "status").json
    assert (status["session"]["status"], status["session"]["suspend_reason"]) == ("suspended", "meltdown")
    assert f"{MOST + 1} agents or slots died within 3600 s" in status["session"]["detail"]
    assert f"suspended: {MOST + 1} agents or slots died" in place.run("status").out
    (tmp_path / "agent" / "agent.py").write_text(AGENT)
    again = place.run("--json", "resume")
    assert again.code == 0, again.err
    assert place.run("--json", "status").json["counts"] == {"complete": 2}
    assert left_behind(place.root) == []


def test_as_many_deaths_as_are_allowed_suspend_nothing(tmp_path: Path) -> None:
    place = melting_place(tmp_path, "import os; os.abort()")
    done = run(place, KIND, 1)
    events = done.lines()
    assert sum(event["kind"] == "AttemptFailed" for event in events) == MOST
    assert not any(event["kind"] == "SessionSuspended" for event in events)
    assert done.code == 1, "its ticket failed, and that is all"
