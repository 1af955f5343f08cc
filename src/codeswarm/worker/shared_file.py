"""A file of the person's that agents use in place: their CLI's own login.

Behind walls it is mounted, the file itself and not its folder: every CLI that is driven writes a renewed login into it
then, the one that would rather put a new file in its place, too. Whoever keeps locks beside it gets a folder of ours
for them, the same for all who share the file: so two of them never renew the same login at once.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from hashlib import blake2b
from pathlib import Path

from codeswarm.sandbox.base import LOGIN, Mount
from codeswarm.sandbox.mount_points import make_mount_point

OURS_ALONE = 0o700


@dataclass(slots=True)
class SharedFile:
    """`file` is the host's; `secrets` reads what of it must not be written down."""

    file: Path
    secrets: Callable[[], Iterable[str]]
    _seen: tuple[int, int, int] = field(default=(0, 0, 0))

    def news(self) -> Iterable[str]:
        """Its secrets, where it has changed since it was looked at; it is looked at with each word of an agent's."""
        try:
            now = self.file.stat()
        except OSError:
            return ()
        seen, self._seen = self._seen, (now.st_ino, now.st_mtime_ns, now.st_size)
        return () if seen == self._seen else self.secrets()


def mounts(file: Path, locks: Path | None) -> tuple[Mount, ...]:
    """It alone in a folder inside. `locks`: ours, where all who share a file may write beside it. Raises: OSError."""
    shown = Mount(file, LOGIN / file.name, writable=True)
    if locks is None:
        return (shown,)
    folder = locks / blake2b(os.fsencode(file), digest_size=8).hexdigest()
    folder.mkdir(OURS_ALONE, parents=True, exist_ok=True)
    make_mount_point(folder, Path(file.name), folder=False)
    return (Mount(folder, LOGIN, writable=True), shown)
