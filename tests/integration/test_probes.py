"""Ways out of the walls, tried by a fully obedient agent: each is seen to succeed without walls, and fails behind them.

The probes stand in tests/probes. Those of `paths`, `processes` and `kernel` are run where an agent runs, dozens in one
box; what they are after is laid out anew for each scene.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import subprocess
from collections.abc import AsyncIterator, Iterable
from pathlib import Path

import pytest

from codeswarm.clock import SystemClock
from codeswarm.domain.settings import WorkspaceSettings
from codeswarm.environment import Environment
from codeswarm.protocol import WorkspaceOrder
from codeswarm.sandbox.base import Sandbox
from codeswarm.sandbox.bubblewrap import Bubblewrap
from codeswarm.sandbox.none import NoSandbox
from codeswarm.worker.places import Places
from codeswarm.worker.workspace import Workspace, WorkspaceMaker
from tests.probes import inside, kernel, paths, processes
from tests.probes.probe import Probe
from tests.support.prey import Prey, laid_out
from tests.support.repositories import AGENT, PROBE

PROBES = [*paths.PROBES, *processes.PROBES, *kernel.PROBES]
INSIDE = Path(inside.__file__).read_text()
walled = pytest.mark.skipif(not PROBE.works, reason=f"{PROBE.why}: {PROBE.fix}")


@contextlib.asynccontextmanager
async def workspace_for(prey: Prey, sandbox: Sandbox) -> AsyncIterator[Workspace]:
    """A workspace as an agent of the project gets it, with a toolchain of the person's on its PATH."""
    path = f"{prey.places['tools']}/bin:/usr/local/bin:/usr/bin:/bin"
    maker = WorkspaceMaker(
        places := Places(prey.root / "cache"),
        sandbox,
        Environment({"PATH": path, "HOME": str(prey.places["home"])}),
        SystemClock(),
    )
    order = WorkspaceOrder(
        repository=str(prey.places["project"]),
        objects=str(prey.store.objects),
        settings=WorkspaceSettings(kind="checkout", pids=400),
    )
    place = places.attempt(f"p{os.getpid()}-{prey.root.name}", "t", 1)
    made = await maker.make(place, order, prey.start, "task/t", AGENT, prey.root / "agent-home", network=True)
    try:
        yield made
    finally:
        made.let_go()
        maker.close()


async def succeeded(prey: Prey, sandbox: Sandbox, probes: Iterable[Probe]) -> set[str]:
    """Which probes get what they are after, in one box."""
    chosen = list(probes)
    async with workspace_for(prey, sandbox) as made:
        targets = {probe.name: probe.target for probe in chosen if probe.target}
        before = prey.seen(targets, made.files)
        running = await sandbox.start(made.box, ["python3", "-I", "-S", "-c", INSIDE], made.environment)
        out, err = await running.process.communicate(orders(prey, chosen))
        assert await running.end() == ()
        told = answers(out, chosen, err)
    return judged(prey, told) | await changed(prey, targets, made.files, before)


def orders(prey: Prey, probes: list[Probe]) -> bytes:
    return json.dumps({"prey": prey.told(), "probes": [(p.name, p.script) for p in probes]}).encode() + b"\n"


def answers(out: bytes, probes: list[Probe], err: bytes = b"") -> dict[str, str]:
    told = {line["name"]: line["said"] for line in map(json.loads, out.splitlines())}
    assert told.keys() == {probe.name for probe in probes}, err.decode()[-2000:]
    return told


def judged(prey: Prey, told: dict[str, str]) -> set[str]:
    return {name for name, said in told.items() if prey.token in said or "REACHED" in said}


async def changed(prey: Prey, targets: dict[str, str], files: Path, before: dict[str, object]) -> set[str]:
    """What the host's process was sent takes a moment to be written down."""
    await asyncio.sleep(0)
    return {name for name, now in prey.seen(targets, files).items() if now != before[name]}


@walled
async def test_every_probe_fails_behind_walls() -> None:
    with laid_out() as prey:
        assert await succeeded(prey, Bubblewrap(), PROBES) == set()


async def test_every_probe_succeeds_without_walls() -> None:
    wanted = [probe for probe in PROBES if probe.here and not probe.careless]
    with laid_out() as prey:
        assert {probe.name for probe in wanted} - await succeeded(prey, NoSandbox(), wanted) == set()


def test_what_no_kind_of_sandbox_gives_away_a_careless_start_does(tmp_path: Path) -> None:
    wanted = [probe for probe in PROBES if probe.careless]
    with laid_out() as prey, open(prey.places["home"] / ".netrc") as file:
        os.set_inheritable(file.fileno(), True)
        done = subprocess.run(
            ["python3", "-I", "-S", "-c", INSIDE],
            input=orders(prey, wanted),
            env={**os.environ, "PROBE_SECRET": prey.token},
            close_fds=False,
            cwd=tmp_path,
            capture_output=True,
            check=True,
        )
        assert judged(prey, answers(done.stdout, wanted)) == {probe.name for probe in wanted}


def test_there_are_as_many_probes_as_promised_and_each_has_a_name_of_its_own() -> None:
    assert len({probe.name for probe in PROBES}) == len(PROBES) >= 150
