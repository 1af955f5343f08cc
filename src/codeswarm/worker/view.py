"""Through what a workspace's files are reached: they may be mounted where the host itself does not see them."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path

from codeswarm.sandbox.base import Namespaces
from codeswarm.worker.places import Place


@dataclass(slots=True)
class View:
    """A workspace's files, as long as it is open."""

    files: Path
    """For this process and those that it starts; not for git, which resolves paths and would miss it."""
    source: Path
    """For whoever is within `namespaces`, sandboxes first of all."""
    namespaces: Namespaces | None = None
    upper: Path | None = None
    """On the host: the layer that holds all that differs from the checkout below."""
    held: list[int] = field(default_factory=list)
    """The descriptors that keep it mounted. With the last one of them, in life or in death, the mount is gone."""

    @classmethod
    def of_checkout(cls, place: Place) -> View:
        return cls(place.files, place.files)

    def close(self) -> None:
        """Idempotent."""
        while self.held:
            os.close(self.held.pop())
