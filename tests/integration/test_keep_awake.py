"""Whole runs keep the machine awake while agents work: by a program on the PATH that stands for systemd-inhibit."""

from __future__ import annotations

import asyncio
import os
import signal
from pathlib import Path

import pytest

from codeswarm.process import gone
from codeswarm.sandbox.bubblewrap import probe
from tests.support.held_agent import begin, held_place, let_go
from tests.support.processes import left_behind
from tests.support.runs import Place
from tests.unit.engine.test_keep_awake import RECORDER

KIND = "bubblewrap" if probe().works else "none"


@pytest.fixture
def place(tmp_path: Path) -> Place:
    place = held_place(tmp_path)
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "systemd-inhibit").write_text(RECORDER.replace('> "$TOLD"', '>> "$TOLD"'))
    (tmp_path / "bin" / "systemd-inhibit").chmod(0o755)
    place.environment["TOLD"] = str(tmp_path / "told")
    place.environment["PATH"] = f"{tmp_path / 'bin'}:{place.env()['PATH']}"
    return place


def told(place: Place) -> list[str]:
    path = place.root / "told"
    return path.read_text().splitlines() if path.exists() else []


async def test_the_inhibitor_ends_with_us_even_where_we_are_killed(place: Place) -> None:
    run = await begin(place, KIND, "a")
    assert told(place) == ["begun --what=idle:sleep --who=codeswarm --why=agents are at work --mode=block cat"]
    os.kill(run.process.pid, signal.SIGKILL)
    await gone(run.process.pid)
    let_go(place, "a")
    done = await asyncio.to_thread(place.run, "resume", "--no-keep-awake")
    assert done.code == 0, done.err
    assert told(place)[1:] == ["ended"], "and resume was told not to hold another one"
    assert left_behind(place.root) == []


@pytest.mark.parametrize("how", ["flag", "setting"])
async def test_it_can_be_left_out(place: Place, how: str) -> None:
    if how == "setting":
        config = place.root / "home" / ".config" / "codeswarm" / "config.toml"
        config.parent.mkdir(parents=True)
        config.write_text("[engine]\nkeep_awake = false\n")
    run = await begin(place, KIND, "a", more=("--no-keep-awake",) if how == "flag" else ())
    let_go(place, "a")
    assert await run.end() == 0, run.error
    assert told(place) == []
    assert not any("fall asleep" in line for line in run.told)
