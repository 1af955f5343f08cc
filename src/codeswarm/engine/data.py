"""The layout of a data directory: where the router keeps what it remembers."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Data:
    """The layout of a data directory."""

    root: Path

    @property
    def ledger(self) -> Path:
        return self.root / "ledger.sqlite3"

    @property
    def store(self) -> Path:
        return self.root / "store.git"

    @property
    def artifacts(self) -> Path:
        return self.root / "artifacts"

    @property
    def key(self) -> Path:
        return self.root / "keys" / "receipts.key"

    @property
    def socket(self) -> Path:
        return self.root / "router.sock"

    @property
    def lock(self) -> Path:
        return self.root / "router.lock"

    @property
    def outbox(self) -> Path:
        return self.root / "outbox"

    @property
    def workers(self) -> Path:
        return self.root / "workers"

    @property
    def logs(self) -> Path:
        return self.root / "logs"

    @property
    def edited(self) -> Path:
        """Texts that a person has in an editor, or that could not be taken."""
        return self.root / "edited"

    @property
    def tmp(self) -> Path:
        """Uploads on their way in: on the disk that is watched for room, and nobody's but ours to read."""
        return self.root / "tmp"
