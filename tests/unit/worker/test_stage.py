"""The stage on which an agent plays."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any, cast

from codeswarm.domain.settings import Patience
from codeswarm.sandbox.base import Box
from codeswarm.sandbox.none import NoSandbox
from codeswarm.testing.clock import VirtualClock
from codeswarm.worker.processes import Tables
from codeswarm.worker.stage import WorkerStage
from codeswarm.worker.vitals import Vitals

ANYTHING = cast(Any, None)


async def test_what_an_adapter_begins_after_its_attempt_was_stopped_is_ended_at_once(tmp_path: Path) -> None:
    """A stop that comes while a program is being begun finds none to end; it must not run on until somebody looks."""
    folders = [tmp_path / part for part in ("files", "home", "run", "tmp")]
    for folder in folders:
        folder.mkdir()
    clock = VirtualClock()
    vitals = Vitals(Patience(), clock.monotonic())
    stage = WorkerStage(NoSandbox(), Box("a", *folders), {}, ANYTHING, clock, ANYTHING, vitals, Tables())
    stage.admit_no_more()
    assert await stage.end_all() == ()
    late = await stage.start([sys.executable, "-c", "import time; time.sleep(3141)"], {})
    assert late.process.returncode is not None
    assert await stage.end_all() == ()
