"""Whatever an agent leaves behind, its gate runs nothing of it but the commit, and its answer is only read."""

from __future__ import annotations

import json
import resource
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from codeswarm.sandbox.bubblewrap import Bubblewrap
from codeswarm.testing.sandbox_contract import run
from codeswarm.worker.answer import read_answer
from tests.integration.test_workspaces import Site, made_site
from tests.probes.left import ANSWERS, FOR_GATES, Trap
from tests.support.repositories import PROBE, Kind, own_home

pytestmark = pytest.mark.skipif(not PROBE.works, reason=f"{PROBE.why}: {PROBE.fix}")
NAIVE = "import json, sys; print(open(sys.argv[1]).read())"


@pytest.fixture(autouse=True)
def _home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    own_home(tmp_path / "person", monkeypatch)


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    yield from made_site(Kind(Bubblewrap), tmp_path)


@pytest.mark.parametrize("trap", FOR_GATES, ids=lambda trap: trap.name)
async def test_a_gate_meets_nothing_but_the_commit(site: Site, trap: Trap) -> None:
    start = site.commit({"a": "x\n", "m.py": ""})
    agent, gate = await site.make(start), await site.make(start)
    await site.act(agent, trap.script)
    assert "PLANTED" in (await run(site.sandbox, agent.box, trap.gate, **agent.environment))[1], "the trap is one"
    assert "PLANTED" not in (await run(site.sandbox, gate.box, trap.gate, **gate.environment))[1]


@pytest.mark.parametrize("how", ANSWERS)
async def test_an_answer_that_is_none_leads_nowhere(site: Site, how: str) -> None:
    made = await site.make(site.commit({"a": "x"}))
    secret = site.root / "outside" / "secret.json"
    secret.parent.mkdir()
    secret.write_text(json.dumps({"plan": "canary"}))
    script = ANSWERS[how].format(secret=secret, folder=secret.parent)
    await site.act(made, f"cd /codeswarm/run; {script}")
    path = made.place.run / "result.json"
    answer = read_answer(path, "")
    assert answer.plan is None
    assert answer.raw is None
    assert not comes_back_without_harm(path)


def comes_back_without_harm(path: Path) -> bool:
    """Whether a host that knows no better reads nothing that it should not, and goes on."""
    try:
        done = subprocess.run(
            [sys.executable, "-I", "-S", "-c", NAIVE, str(path)],
            capture_output=True,
            timeout=1,
            check=False,
            env={"CANARY": "canary"},
            stdin=subprocess.DEVNULL,
            preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_DATA, (256 << 20, 256 << 20)),
        )
    except subprocess.TimeoutExpired:
        return False
    return done.returncode == 0 and b"canary" not in done.stdout
