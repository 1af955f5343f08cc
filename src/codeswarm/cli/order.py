"""What a background host and the process that starts it say to each other."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import BaseModel

GO, READY, HOSTING, LIVE = "go", "ready", "hosting", "live"


class Order(BaseModel):
    """What a background host is told when it is started."""

    directory: Path
    data: Path
    slots: int
    labels: tuple[str, ...] = ()
    record: Path | None = None
    keep_awake: bool = False
    sessions: tuple[str, ...] = ()
    """Those that it stays for, beside the ones that are begun or resumed at it."""
    wait: bool = False
    """Stay for answers of people, too."""
    go: int
    """A descriptor: one line says that it may begin, the end of it that its starter is gone or content."""
    report: int
    lock: int | None = None
    listener: int | None = None


class Report(BaseModel):
    """A word to the starter."""

    state: str
    problem: dict[str, Any] | None = None
