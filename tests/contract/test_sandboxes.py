from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from codeswarm.sandbox.base import Sandbox
from codeswarm.sandbox.bubblewrap import Bubblewrap, probe
from codeswarm.sandbox.none import NoSandbox
from codeswarm.testing.sandbox_contract import SandboxContract, Walled

PROBE = probe()


class TestNoSandbox(SandboxContract):
    @pytest.fixture
    def sandbox(self) -> Sandbox:
        return NoSandbox()


@pytest.mark.skipif(not PROBE.works, reason=f"{PROBE.why}: {PROBE.fix}")
class TestBubblewrap(Walled):
    @pytest.fixture
    def sandbox(self) -> Sandbox:
        return Bubblewrap()

    def test_of_a_run_that_is_over_no_zombie_stays_with_whoever_orphans_come_to(self, tmp_path: Path) -> None:
        done = subprocess.run(
            [sys.executable, "-c", ORPHANS_COME_TO_US, str(tmp_path)], capture_output=True, text=True, check=False
        )
        assert (done.returncode, done.stdout, done.stderr) == (0, "[]\n", "")


ORPHANS_COME_TO_US = """
import asyncio, ctypes, os, sys
from pathlib import Path
from codeswarm.sandbox.bubblewrap import Bubblewrap
from codeswarm.testing.sandbox_contract import make_box, run

async def ten_runs():
    for number in range(10):
        await run(Bubblewrap(), make_box(Path(sys.argv[1])), "exit 0" if number % 2 else "sleep 1000 & exit 0")

ctypes.CDLL(None).prctl(36, 1, 0, 0, 0)
asyncio.run(ten_runs())
print(Path(f"/proc/{os.getpid()}/task/{os.getpid()}/children").read_text().split())
"""
"""Runs boxes in a process that is, as a worker is, a subreaper (PR_SET_CHILD_SUBREAPER); prints what is left to it."""
