"""What stands beside a login that many use: one folder for all projects, which goes once nobody uses it."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import pytest

from codeswarm.ledger.memory import MemoryLedger
from codeswarm.sandbox.base import Box
from codeswarm.sandbox.bubblewrap import Bubblewrap
from codeswarm.testing.clock import VirtualClock
from codeswarm.worker.cleaning import Litter, clean, look
from codeswarm.worker.places import Places
from codeswarm.worker.processes import Tables
from codeswarm.worker.stage import WorkerStage
from codeswarm.worker.vitals import Vitals
from tests.unit.worker.test_locks import tools

ANYTHING = cast(Any, None)


class Here:
    """Two projects of one person, who has one login."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.file = root / "home" / ".claude" / ".credentials.json"
        self.file.parent.mkdir(parents=True)
        self.file.write_text("{}")

    def project(self, name: str) -> Places:
        return Places(self.root / "cache" / name)

    def agent_of(self, name: str) -> tuple[WorkerStage, Path]:
        """The stage of one that shares the login, and the folder in which its CLI keeps locks."""
        folders = [self.root / part for part in ("files", "agents-home", "run", "tmp")]
        clock = VirtualClock()
        vitals = Vitals(ANYTHING, clock.monotonic())
        stage = WorkerStage(
            Bubblewrap(), Box("a", *folders), {}, ANYTHING, clock, ANYTHING, vitals, Tables(),
            locks=self.project(name).logins,
        )  # fmt: skip
        stage.share(self.file, tuple, locks=True)
        beside, shown = stage._box.mounts
        assert (shown.source, beside.inside) == (self.file, shown.inside.parent)
        return stage, beside.source

    def litter(self, name: str) -> list[Litter]:
        return look(self.project(name), MemoryLedger())

    async def clean(self, name: str, litter: list[Litter]) -> list[Litter]:
        return await clean(litter, tools(self.root / "cache" / name))


@pytest.fixture
def here(tmp_path: Path) -> Here:
    return Here(tmp_path)


async def test_agents_of_all_projects_have_their_locks_in_one_place(here: Here) -> None:
    one, first = here.agent_of("one")
    other, second = here.agent_of("other")
    assert first == second
    await one.end_all()
    await other.end_all()


async def test_locks_go_when_no_agent_of_any_project_uses_the_login(here: Here) -> None:
    one, folder = here.agent_of("one")
    other, _ = here.agent_of("other")
    (folder / "left-by-an-agent").write_text("x")
    await one.end_all()
    assert here.litter("one") == [], "an agent of the other project has it in use"
    await other.end_all()
    (litter,) = here.litter("one")
    assert (litter.path, litter.action) == (folder, "remove")
    assert await here.clean("one", [litter]) == []
    assert not folder.exists()


async def test_locks_that_an_agent_has_come_to_use_meanwhile_stay(here: Here) -> None:
    one, folder = here.agent_of("one")
    await one.end_all()
    found = here.litter("one")
    other, _ = here.agent_of("other")
    (stays,) = await here.clean("one", found)
    assert (stays.path, stays.action) == (folder, "keep")
    assert (folder / here.file.name).exists()
    await other.end_all()
    assert await here.clean("one", here.litter("other")) == []
