"""What a probe is."""

from __future__ import annotations

import os
from dataclasses import dataclass


@dataclass(frozen=True)
class Probe:
    """One way out. Its script is Python, run in a process of its own; what it may name stands in `inside.py`.

    It has succeeded where it has printed what only the host knows (the token), or that the kernel let it (REACHED), or
    where afterwards something has changed on the host that it was after.
    """

    name: str
    script: str
    target: str = ""
    """A path of the prey: it has also succeeded if that is another one afterwards, or is there and was not."""
    root: bool = False
    """An ordinary person may not do it anyhow, so it is seen to succeed only where the tests are run by root."""
    needs: str = ""
    """A path without which a machine has no such way out."""
    careless: bool = False
    """Even `none` gives nothing of the kind away: it is seen to succeed where a program is started with all we have."""

    @property
    def here(self) -> bool:
        """Whether it can be seen to succeed on this machine, by this user."""
        return (not self.root or os.getuid() == 0) and (not self.needs or os.path.exists(self.needs))
