"""Limits on what runs use, kept by the kernel: skipped where it gives us no means for them."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from codeswarm.clock import SystemClock
from codeswarm.domain.ids import Commit
from codeswarm.domain.results import GateCommand
from codeswarm.sandbox import cgroups
from codeswarm.sandbox.base import Limits, Sandbox
from codeswarm.sandbox.bubblewrap import Bubblewrap
from codeswarm.sandbox.none import NoSandbox
from codeswarm.testing.sandbox_contract import PATH, make_box
from codeswarm.worker.gate import GateContext, GateRunner
from codeswarm.worker.places import Place
from codeswarm.worker.view import View
from codeswarm.worker.workspace import Workspace
from tests.support.repositories import PROBE

WALLS = pytest.mark.skipif(not PROBE.works, reason=f"{PROBE.why}: {PROBE.fix}")
EAT = "python3 -c 'x = bytearray(300 << 20); print(len(x))'"
FORK = """
import os, time
for made in range(300):
    if os.fork() == 0:
        os.closerange(0, 3)
        time.sleep(1000)
print(made)
"""
BOMB = r"""
import os, signal
for number in set(range(1, 32)) - {9, 19}:
    signal.signal(number, signal.SIG_IGN)
os.setsid()
print("begun", flush=True)
while True:
    try:
        if os.fork() == 0:
            os.environ.clear()
            os.setsid()
    except OSError:
        pass
"""


@pytest.fixture(params=[pytest.param(Bubblewrap, marks=WALLS), NoSandbox])
def sandbox(request: pytest.FixtureRequest) -> Sandbox:
    made: Sandbox = request.param()
    return made


async def ended(sandbox: Sandbox, root: Path, limits: Limits, script: str) -> tuple[int | None, str, tuple[str, ...]]:
    """How a shell script ends within limits: exit code, output, what it ran into."""
    if lacks := sandbox.lacks(limits):
        pytest.skip(f"{lacks[0].what}: {lacks[0].why}")
    box = replace(make_box(root), limits=limits)
    running = await sandbox.start(box, ["/bin/sh", "-c", script], PATH, stderr=asyncio.subprocess.STDOUT)
    out, _ = await running.process.communicate(b"")
    assert await running.end() == ()
    assert groups_of(box.name) == []
    return running.process.returncode, out.decode(), running.exceeded()


def groups_of(box: str) -> list[Path]:
    return [path for top in Path("/sys/fs/cgroup").glob("**/") for path in top.glob(f"codeswarm@{box}@*")]


async def test_who_needs_more_memory_than_allowed_is_killed_and_told(sandbox: Sandbox, tmp_path: Path) -> None:
    code, out, exceeded = await ended(sandbox, tmp_path, Limits(memory_mib=64), f"{EAT}; echo ended with $?")
    assert (code, exceeded) == (0, ("64 MiB of memory",))
    assert out.splitlines()[-1] == "ended with 137"


async def test_a_gate_that_runs_into_a_limit_is_red_and_says_so(sandbox: Sandbox, tmp_path: Path) -> None:
    """It is killed by the kernel, and that is no accident that is worth another try."""
    if lacks := sandbox.lacks(limits := Limits(memory_mib=64)):
        pytest.skip(f"{lacks[0].what}: {lacks[0].why}")
    box = replace(make_box(tmp_path), limits=limits)
    place = Place(tmp_path / f"gate-{os.getpid()}")
    place.create()
    workspace = Workspace(place, View.of_checkout(place), box, PATH)

    async def keep(log: bytes) -> str:
        return ""

    start = Commit("0" * 40)
    at = GateContext("s", "t", start, start, ())
    runner = GateRunner(sandbox, SystemClock(), keep)
    (run,) = await runner.run(workspace, [GateCommand(name="fast", command=EAT)], at)
    assert (run.outcome, run.reason) == ("red", "ran into its limit of 64 MiB of memory")


async def test_within_its_limits_nothing_is_told(sandbox: Sandbox, tmp_path: Path) -> None:
    limits = Limits(memory_mib=900, cpus=2, pids=100)
    assert await ended(sandbox, tmp_path, limits, EAT) == (0, "314572800\n", ())


async def test_there_are_never_more_processes_than_allowed(sandbox: Sandbox, tmp_path: Path) -> None:
    (tmp_path / "fork.py").write_text(FORK)
    (tmp_path / "workspace").mkdir()
    (tmp_path / "fork.py").rename(tmp_path / "workspace" / "fork.py")
    code, out, exceeded = await ended(sandbox, tmp_path, Limits(pids=40), "python3 fork.py")
    assert code == 1
    assert "Resource temporarily unavailable" in out
    assert exceeded in (("40 processes",), ())  # the kernel counts what groups refuse, and not what it refuses itself


async def test_processors_are_shared_out(sandbox: Sandbox, tmp_path: Path) -> None:
    limits = Limits(cpus=0.5)
    if lacks := sandbox.lacks(limits):
        pytest.skip(f"{lacks[0].what}: {lacks[0].why}")
    box = replace(make_box(tmp_path), limits=limits)
    running = await sandbox.start(box, ["/bin/sh", "-c", "echo begun; exec cat"], PATH)
    assert running.process.stdout is not None
    await running.process.stdout.readline()
    (group,) = [path for path in groups_of(box.name) if (path / "cpu.stat").exists()]
    quota = [path.read_text() for path in (group / "cpu.cfs_quota_us", group / "cpu.max") if path.exists()]
    assert quota in (["50000\n"], ["50000 100000\n"])
    assert (group / "cgroup.procs").read_text().strip()
    assert await running.end() == ()


async def test_a_fork_bomb_that_ignores_signals_and_hides_is_gone_at_once(sandbox: Sandbox, tmp_path: Path) -> None:
    limits = Limits(pids=200)
    if lacks := sandbox.lacks(limits):
        pytest.skip(f"{lacks[0].what}: {lacks[0].why}")
    box = replace(make_box(tmp_path), limits=limits)
    running = await sandbox.start(box, ["python3", "-c", BOMB], PATH)
    assert running.process.stdout is not None
    await running.process.stdout.readline()
    assert await running.end() == ()
    assert groups_of(box.name) == []


async def test_what_a_dead_worker_left_is_ended_by_its_box_and_goes(tmp_path: Path) -> None:
    limits = Limits(pids=50)
    if lacks := NoSandbox().lacks(limits):
        pytest.skip(f"{lacks[0].what}: {lacks[0].why}")
    box = replace(make_box(tmp_path), name=f"left.behind.{os.getpid()}", limits=limits)
    running = await NoSandbox().start(box, ["/bin/sh", "-c", "echo begun; exec env -i sleep 1000"], PATH)
    assert running.process.stdout is not None
    await running.process.stdout.readline()
    await asyncio.to_thread(cgroups.end_groups, [box.name, "another"])
    assert await running.process.wait() == -9
    assert groups_of(box.name) == []
    assert await running.end() == ()


@WALLS
async def test_a_crash_leaves_no_core_and_wakes_no_keeper_of_cores(tmp_path: Path) -> None:
    box = make_box(tmp_path)
    running = await Bubblewrap().start(box, ["/bin/sh", "-c", "ulimit -c; ulimit -Hc"], PATH)
    out, _ = await running.process.communicate(b"")
    assert await running.end() == ()
    assert out.split() == [b"0", b"0"], "one byte, which a shell counts in blocks"


# ── version 2, as far as the kernel lets us have it ──────────────────────────────────────────────────────────

OPEN_UP = """
import os, sys
from pathlib import Path
from codeswarm.clock import SystemClock
from codeswarm.domain.ids import Commit
from codeswarm.domain.results import GateCommand
from codeswarm.sandbox import cgroups

group, offered = Path(sys.argv[1]), sys.argv[2]
cgroups.CONTROLLERS = (cgroups.Controller(offered, offered, ()),)
(group / "cgroup.procs").write_text(str(os.getpid()))
print(repr(cgroups._open_up(group)), repr(cgroups._open_up(group)), cgroups._read(group, "subtree"))
print(Path("/proc/self/cgroup").read_text().split("0::")[1].strip().rpartition("/")[2])
"""


@pytest.fixture
def second() -> Iterator[Path]:
    """A group of version 2's tree, and below it all that a test makes."""
    own = cgroups._ours("")
    if own is None or not os.access(own, os.W_OK):
        pytest.skip("version 2's tree of control groups is not ours to write")
    group = own / f"codeswarm@test@{os.getpid()}.0"
    group.mkdir()
    yield group
    for folder in sorted(group.glob("**/"), reverse=True):
        cgroups.Group({folder: 2}, Limits()).end()


async def test_all_that_is_in_a_group_of_version_2_is_killed_at_once(second: Path) -> None:
    many = BOMB.replace("while True", "for _ in range(6)") + "import time; time.sleep(1000)"
    process = await asyncio.create_subprocess_exec("python3", "-c", many, stdout=asyncio.subprocess.PIPE)
    assert process.stdout is not None
    group = cgroups.Group({second: 2}, Limits())
    group.add(process.pid)
    await process.stdout.readline()
    await asyncio.to_thread(group.end)
    assert await process.wait() == -9
    assert not second.exists()


def test_a_group_of_version_2_is_opened_up_by_whoever_is_alone_in_it(second: Path) -> None:
    offered = (second / "cgroup.controllers").read_text().split()
    if not offered:
        pytest.skip("version 2's tree has no controllers here")
    done = subprocess.run(
        [sys.executable, "-c", OPEN_UP, str(second), offered[0]], capture_output=True, text=True, check=True
    )
    outcome, leaf = done.stdout.splitlines()
    assert outcome == f"'' '' ['{offered[0]}']"
    assert leaf.startswith("codeswarm@worker@")
