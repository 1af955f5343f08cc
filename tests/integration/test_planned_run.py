"""From a specification to landed commits, with the real Claude Code CLI and a scripted model as the planner."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from codeswarm.agents.claude.agent import find_claude
from codeswarm.sandbox.bubblewrap import probe
from codeswarm.testing.model_server import ModelServer
from tests.integration.test_claude_swarm import LIBRARY
from tests.support.planner_script import SPEC, PlannerScript
from tests.support.processes import left_behind
from tests.support.runs import Place

PROBE = probe()
pytestmark = [
    pytest.mark.skipif(not PROBE.works, reason=f"{PROBE.why}: {PROBE.fix}"),
    pytest.mark.skipif(find_claude(os.defpath) is None, reason="no claude: pip install claude-agent-sdk bundles it"),
]

EDITOR = """\
#!/usr/bin/env python3
'''Drops the last ticket of a plan, as a person would.'''
import sys, yaml
plan = yaml.safe_load(open(sys.argv[1]))
assert [t["id"] for t in plan["tickets"]] == ["t1", "t2", "t3"], plan
plan["tickets"] = plan["tickets"][:2]
yaml.safe_dump(plan, open(sys.argv[1], "w"))
"""


@pytest.fixture
def place(tmp_path: Path) -> Place:
    place = Place(tmp_path)
    place.begin(LIBRARY)
    editor = tmp_path / "editor"
    editor.write_text(EDITOR)
    editor.chmod(editor.stat().st_mode | stat.S_IXUSR)
    (tmp_path / "spec.md").write_text(SPEC)
    return place


async def test_a_specification_becomes_a_validated_plan_is_edited_approved_built_and_landed(place: Place) -> None:
    script = PlannerScript()
    words = ["run", "--spec", str(place.root / "spec.md"), "--approve", "plan", "--agent", "claude:sonnet"]
    async with ModelServer(script) as server:
        env = server.environment("claude")
        run = await place.start(*words, env=env)
        code = await run.end()
        assert (code, script.refused) == (3, []), (run.error, script.steps)
        assert script.steps == ["skeleton"] * 3 + ["expansion"]
        approved = place.run("approve", "--edit", env={**env, "EDITOR": str(place.root / "editor")})
        assert approved.code == 0, approved.err
        resumed = await place.start("resume", env=env)
        code = await resumed.end()
    kinds = [event["kind"] for event in resumed.events]
    assert (code, script.refused) == (0, []), (resumed.error, kinds[-10:])
    assert [event["data"]["ticket"] for event in resumed.events if event["kind"] == "TicketLanded"] == ["t1", "t2"]
    assert script.steps[4:] == ["answer"]
    (session,) = {event["session"] for event in resumed.events}
    assert "def t2" in place.git("show", f"codeswarm/{session}:lib.py")
    assert "def t3" not in place.git("show", f"codeswarm/{session}:lib.py")
    assert place.run("ledger", "verify").code == 0
    assert left_behind(place.root) == []
