"""Named points at which a test can kill this process, to show that nothing is lost there.

Nothing happens unless `CODESWARM_FAILPOINT=NAME@TOKEN` is set: then the first process that reaches NAME while the file
TOKEN exists takes it away and kills itself with SIGKILL, as a power cut would. Taking the token is one atomic step, so
that of many processes exactly one dies, once.
"""

from __future__ import annotations

import os
import signal
from functools import cache
from pathlib import Path

from codeswarm.environment import Environment

POINTS = frozenset(
    {
        "ledger.before_commit",
        "ledger.after_commit",
        "attempts.prepared",
        "attempts.snapshot_stored",
        "attempts.work_stored",
        "attempts.completed",
        "lander.merged",
        "lander.recorded",
        "lander.landed",
        "lander.ref_moved",
        "saver.intended",
        "saver.tagged",
        "saver.moved",
        "worker.claimed",
        "worker.prepared",
        "worker.workspace_made",
        "worker.agent_started",
        "worker.agent_done",
        "worker.brought_home",
        "worker.gate_done",
        "worker.letter_written",
        "worker.letter_sent",
        "leaving.ready",
        "leaving.left",
        "background.ready",
        "background.hosting",
    }
)
"""Where a kill is tried; `reach` refuses any other name."""


def reach(name: str) -> None:
    """Die here, if a test wants it so."""
    armed = _armed()
    if armed is None or armed[0] != name:
        return
    try:
        armed[1].unlink()
    except FileNotFoundError:
        return
    os.kill(os.getpid(), signal.SIGKILL)


@cache
def _armed() -> tuple[str, Path] | None:
    name, _, token = Environment.read().variables.get("CODESWARM_FAILPOINT", "").partition("@")
    if not name:
        return None
    if name not in POINTS:
        raise ValueError(f"there is no failpoint {name!r}")
    return name, Path(token)
