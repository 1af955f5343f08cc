"""Whether a worker's disk still has room: what failed for want of it is nobody's fault."""

from __future__ import annotations

import os
from pathlib import Path

LEAST_BYTES = 1 << 20
"""With less than this left nothing that builds or tests can be expected to work."""


def lacks_room(folder: Path) -> bool:
    """Whether the disk that a folder is on is as good as full. Measured, not believed: no agent can claim it."""
    found = os.statvfs(folder)
    no_more_files = found.f_files > 0 and found.f_favail == 0
    return no_more_files or found.f_bavail * found.f_frsize < LEAST_BYTES
