"""What a lease of a worker is worked with."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from codeswarm.awake import Absence
from codeswarm.clock import Clock
from codeswarm.redaction import Secrets
from codeswarm.sandbox.base import Sandbox
from codeswarm.worker.gate import GateRunner
from codeswarm.worker.line import Line
from codeswarm.worker.outbox import Outbox
from codeswarm.worker.places import Places
from codeswarm.worker.processes import Tables
from codeswarm.worker.workspace import WorkspaceMaker


@dataclass(frozen=True, slots=True)
class Tools:
    line: Line
    clock: Clock
    places: Places
    sandbox: Sandbox
    maker: WorkspaceMaker
    gates: GateRunner
    outbox: Outbox
    secrets: Secrets
    """What no attempt's words may hold when they leave it: of each lease its own, for its agent can make it more."""
    known: Callable[[], Secrets]
    """What is secret as of now, whoever has the lease: a login may have been renewed since."""
    record: Path | None = None
    """Where attempts are recorded, if they are."""
    away_since: Callable[[float], Absence | None] = lambda moment: None
    """The longest time after a moment of the clock in which the machine slept, or this worker was stopped."""
    tables: Tables = field(default_factory=Tables)
    """Which processes there are, read once for all attempts."""


class LeaseLost(Exception):
    """The lease is someone else's now, or over: nothing more is reported under it."""
