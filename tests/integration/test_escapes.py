"""Ways out of the walls that were there once: each is planted as an attacker would, and leads nowhere."""

from __future__ import annotations

import asyncio
import hashlib
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from codeswarm.clock import SystemClock
from codeswarm.domain.ids import Commit
from codeswarm.domain.results import GateCommand, GateOutcome, GateRun
from codeswarm.sandbox.bubblewrap import Bubblewrap
from codeswarm.worker.gate import GateContext, GateRunner
from codeswarm.worker.play import put_bundle
from codeswarm.worker.workspace import Workspace
from tests.integration.test_workspaces import Site, made_site
from tests.support.repositories import PROBE, Kind, own_home

pytestmark = pytest.mark.skipif(not PROBE.works, reason=f"{PROBE.why}: {PROBE.fix}")


@pytest.fixture(autouse=True)
def _home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    own_home(tmp_path / "person", monkeypatch)


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    yield from made_site(Kind(Bubblewrap), tmp_path)


@pytest.fixture
def precious(tmp_path: Path) -> Path:
    """A file of the person's, outside of every workspace."""
    path = tmp_path / "outside" / "precious"
    path.parent.mkdir()
    path.write_text("precious")
    return path


# ── links planted in a folder that the host writes to ────────────────────────────────────────────────────────


async def gates(site: Site, workspace: Workspace, *commands: str) -> tuple[GateRun, ...]:
    async def keep(log: bytes) -> str:
        return hashlib.sha256(log).hexdigest()

    context = GateContext("s", "t", Commit("0" * 40), Commit("1" * 40), ("a",))
    runner = GateRunner(site.sandbox, SystemClock(), keep)
    return await runner.run(
        workspace, [GateCommand(name=f"g{n}", command=text) for n, text in enumerate(commands)], context
    )


PLANTED = {
    "a link": "rm -f {name}; ln -s {target} {name}",
    "a dangling link": "rm -f {name}; ln -s {target}.new {name}",
    "a folder": "rm -f {name}; mkdir -p {name}/deep; ln -s {target} {name}/deep/link; chmod 0 {name}/deep",
    "a pipe": "rm -f {name}; mkfifo {name}",
}


@pytest.mark.parametrize("how", PLANTED)
async def test_what_a_gate_plants_in_its_run_folder_is_replaced_and_never_followed(
    site: Site, precious: Path, how: str
) -> None:
    made = await site.make(site.commit({"a": "x"}))
    script = "; ".join(
        PLANTED[how].format(name=f"/codeswarm/run/{name}", target=precious)
        for name in ("changed-files", "gate-report.xml", "gate-result.json")
    )
    runs = await asyncio.wait_for(gates(site, made, script, "cat $CODESWARM_CHANGED_FILES_PATH"), 30)
    assert [(run.outcome, run.tail) for run in runs] == [(GateOutcome.GREEN, ""), (GateOutcome.GREEN, "a")]
    assert precious.read_text() == "precious"
    assert os.listdir(precious.parent) == ["precious"]


async def test_what_a_set_up_plants_where_the_gate_is_told_its_files_is_replaced(site: Site, precious: Path) -> None:
    made = await site.make(site.commit({"a": "x"}), setup=f"ln -s {precious} /codeswarm/run/changed-files")
    await gates(site, made, "true")
    assert precious.read_text() == "precious"


async def test_a_result_that_leads_elsewhere_is_no_answer(site: Site, precious: Path) -> None:
    precious.write_text('{"failing": ["canary"]}')
    made = await site.make(site.commit({"a": "x"}))
    (run,) = await gates(site, made, f"ln -s {precious} $CODESWARM_RESULT; exit 1")
    assert run.failing == ()


async def test_what_a_set_up_plants_in_the_place_of_the_bundle_is_replaced(site: Site, precious: Path) -> None:
    made = await site.make(site.commit({"a": "x"}), setup=f"ln -s {precious} /codeswarm/run/bundle.json")
    put_bundle(made.place.run, {"word": "a lone \ud800"})
    assert precious.read_text() == "precious"
    assert "a lone" in await site.act(made, "cat /codeswarm/run/bundle.json")
