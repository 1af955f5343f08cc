"""The demo is what a newcomer sees first: all that it claims is checked from outside, not taken from its own words."""

from __future__ import annotations

import asyncio
import os
import re
import select
import shlex
import subprocess
import sys
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

import codeswarm
from codeswarm.demo import stage
from tests.support.processes import left_behind
from tests.support.runs import CODESWARM, Place

PACKAGE = Path(codeswarm.__file__).parent
KILLS = re.compile(r"the demo kills worker (\S+), pid (\d+), with SIGKILL")


@dataclass
class Seen:
    """One demo, and what was seen of its processes from outside."""

    place: Place
    folder: Path
    code: int = -1
    lines: list[str] = field(default_factory=list)
    killed: tuple[str, int] = ("", 0)
    died_meanwhile: list[int] = field(default_factory=list)
    """Which of its workers died while the demo itself and the others went on."""

    @property
    def commands(self) -> list[list[str]]:
        """What it names to look further."""
        begin = self.lines.index("Look further:") + 1
        return [shlex.split(line) for line in self.lines[begin : self.lines.index("", begin)]]

    def ask(self, *words: str) -> Any:
        where = ("-C", str(self.folder / "quantity"), "--data", str(self.folder / "data"))
        done = self.place.run("--json", *where, *words)
        assert done.code == 0, done.err
        return done.lines() if words[0] == "timeline" else done.json


def workers_of(pid: int) -> set[int]:
    """The worker processes that a process has started."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return {int(child) for child in children if b"codeswarm.worker" in Path(f"/proc/{child}/cmdline").read_bytes()}


def over(pidfd: int) -> bool:
    return bool(select.select([pidfd], [], [], 0)[0])


async def watch(process: asyncio.subprocess.Process, seen: Seen) -> None:
    """Read it to its end, with a descriptor on each of its workers from their first line of work on."""
    pidfds: dict[int, int] = {}
    assert process.stdout is not None
    async for raw in process.stdout:
        line = raw.decode().rstrip()
        seen.lines.append(line)
        if found := KILLS.search(line):
            seen.killed = (found[1], int(found[2]))
        if " lost: worker " in line:
            assert process.returncode is None
            seen.died_meanwhile = [pid for pid, pidfd in pidfds.items() if over(pidfd)]
        elif not seen.killed[1]:
            pidfds |= {pid: os.pidfd_open(pid) for pid in workers_of(process.pid) - set(pidfds)}
    seen.code = await process.wait()
    for pidfd in pidfds.values():
        assert over(pidfd), "no worker outlives the demo"
        os.close(pidfd)


async def run_demo(place: Place, folder: Path) -> Seen:
    seen = Seen(place, folder)
    process = await asyncio.create_subprocess_exec(
        *CODESWARM,
        "demo",
        "--dir",
        str(folder),
        cwd=place.root,
        env=place.env(),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    await watch(process, seen)
    return seen


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Seen:
    """One run for all tests here, with an empty HOME."""
    place = Place(tmp_path_factory.mktemp("demo"))
    (place.root / "home").mkdir()
    seen = asyncio.run(run_demo(place, place.root / "there"))
    assert seen.code == 0, "\n".join(seen.lines[-20:])
    return seen


def test_the_worker_that_it_names_is_killed_and_no_other(demo: Seen) -> None:
    worker, pid = demo.killed
    assert demo.died_meanwhile == [pid], "seen by a descriptor on each worker, while the demo went on"
    lost = [e["data"] for e in demo.ask("timeline") if e["kind"] == "AttemptLost"]
    assert [item["reason"] for item in lost] == [f"worker {worker} (pid {pid}) ended with -9"], "as its parent saw it"
    assert left_behind(demo.place.root) == []


def test_nine_tickets_land_in_four_waves_past_all_that_goes_wrong(demo: Seen) -> None:
    events = demo.ask("timeline")
    kinds = Counter(event["kind"] for event in events)
    landed = [event["data"]["ticket"] for event in events if event["kind"] == "TicketLanded"]
    assert sorted(landed) == sorted(spec["id"] for spec in stage.plan()["tickets"])
    assert len(landed) >= 8
    assert len({ticket["wave"] for ticket in demo.ask("status")["tickets"]}) >= 3
    bounced = [event["data"] for event in events if event["kind"] == "LandingBounced"]
    assert [item["reason"] for item in bounced] == ["conflict"]
    asked = [event["data"] for event in events if event["kind"] == "ChangesRequested"]
    assert [item["by"] for item in asked] == ["reviewer"]
    failed = [event["data"]["failure"]["failure_class"] for event in events if event["kind"] == "AttemptFailed"]
    assert failed == ["crashed"]
    assert kinds["AttemptLost"] == 1
    assert demo.ask("ledger", "verify")["problems"] == []


def test_every_command_that_it_names_works_and_the_saved_library_is_green(demo: Seen) -> None:
    verbs = [words[5] for words in demo.commands]
    assert verbs == ["report", "status", "timeline", "work", "logs", "diff", "save"]
    for program, *words in demo.commands:
        assert program == "codeswarm"
        done = demo.place.run(*words)
        assert done.code == 0, (words, done.err)
        assert done.out.strip(), words
    repository = demo.folder / "quantity"
    argv = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"]
    done_ = subprocess.run(argv, cwd=repository, env=demo.place.env(), capture_output=True, text=True, check=False)
    assert done_.returncode == 0, done_.stdout
    modules = {path.stem for path in (repository / "tests").glob("test_*.py")}
    assert len(modules) >= 8, "what was saved has the tests of what landed"


# ── a demo that lacks something ──


def package_without(root: Path, recording: str) -> Path:
    """A folder to import `codeswarm` from that lacks one recording and is else the very same."""
    package = root / recording.replace("/", ".") / "codeswarm"
    recordings = package / "demo" / "recordings"
    recordings.mkdir(parents=True)
    for source, target in ((PACKAGE, package), (PACKAGE / "demo", package / "demo")):
        for entry in source.iterdir():
            if not (target / entry.name).exists():
                (target / entry.name).symlink_to(entry)
    for entry in (PACKAGE / "demo" / "recordings").rglob("*.jsonl"):
        name = entry.relative_to(PACKAGE / "demo" / "recordings")
        if str(name.with_suffix("")) != recording:
            (recordings / name).parent.mkdir(exist_ok=True)
            (recordings / name).symlink_to(entry)
    return package.parent


SOME = ("cli/contract.1", "errors/implementation.2", "parse-duration/review.2", "readme/implementation.1")
"""A first attempt, one after a crash, one after a review, and that of a ticket with one phase."""


def test_no_recording_is_shipped_that_it_could_do_without() -> None:
    """So each that is missing is missed, not only those of the next test: that starts a process for each."""
    assert stage.shipped_recordings() == stage.needed_recordings()
    assert len(stage.needed_recordings()) >= 25


def test_without_one_of_its_recordings_it_says_which_and_begins_nothing(tmp_path: Path) -> None:
    place = Place(tmp_path)
    (tmp_path / "home").mkdir()

    def told(name: str) -> tuple[int, str, bool]:
        folder = tmp_path / f"there-{name.replace('/', '.')}"
        env = {"PYTHONPATH": str(package_without(tmp_path / "packages", name))}
        done = place.run("demo", "--dir", str(folder), env=env)
        first = done.err.splitlines()[0] if done.err else done.out
        return done.code, first, "why:" in done.err and "do:" in done.err and not folder.exists()

    with ThreadPoolExecutor(2) as pool:
        found = dict(zip(SOME, pool.map(told, SOME), strict=True))
    assert found == {name: (1, f"error: the demo lacks 1 of its recordings: {name}", True) for name in SOME}
