"""What an agent makes of its own repository is taken home, and no program of it is ever run by the host.

Each is taken home as an attempt is; then git is run in it by a host that knows no better, which shows that it was one.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from codeswarm.redaction import Secrets
from codeswarm.sandbox.bubblewrap import Bubblewrap
from codeswarm.worker.commits import keep_commits
from codeswarm.worker.workspace import Workspace
from tests.integration.test_workspaces import Site, made_site
from tests.probes.git import PROBES, GitProbe
from tests.support.repositories import PROBE, Kind, own_home

pytestmark = pytest.mark.skipif(not PROBE.works, reason=f"{PROBE.why}: {PROBE.fix}")


@pytest.fixture(autouse=True)
def _home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    own_home(tmp_path / "person", monkeypatch)


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    yield from made_site(Kind(Bubblewrap), tmp_path)


async def take_home(site: Site, made: Workspace, start: str) -> None:
    async def upload(bundle: Path) -> None:
        site.store.fetch_bundle(bundle, "refs/codeswarm/agent/s/t/1")

    await site.changes(made)
    await keep_commits(made.place, made.view, site.sandbox, site.store.objects, start, upload, made.secrets, Secrets())  # type: ignore[arg-type]


def run_carelessly(files: Path, script: str) -> None:
    """As somebody would who looks into the folder."""
    shutil.rmtree(files.parent / "home", ignore_errors=True)
    (files.parent / "home").mkdir()
    config = "[safe]\n\tdirectory = *\n[user]\n\tname = x\n\temail = x@x\n"
    (files.parent / "home" / ".gitconfig").write_text(config)
    env = {"PATH": os.environ["PATH"], "HOME": str(files.parent / "home"), "GIT_TERMINAL_PROMPT": "0"}
    subprocess.run(["sh", "-c", script], cwd=files, env=env, capture_output=True, timeout=30, check=False, input=b"")


@pytest.mark.parametrize("probe", PROBES, ids=lambda probe: probe.name)
async def test_what_an_agent_makes_of_its_repository_runs_nothing_on_the_host(site: Site, probe: GitProbe) -> None:
    start = site.commit({"a": "x\n"})
    made = await site.make(start)
    loot = site.root / "outside" / "loot"
    loot.parent.mkdir()
    await site.act(made, probe.script.format(loot=loot) + "; true")
    await take_home(site, made, start)
    assert not os.path.lexists(loot)
    run_carelessly(made.files, probe.careless.format(loot=loot))
    assert os.path.lexists(loot), "the trap is one"
