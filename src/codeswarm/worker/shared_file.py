"""A file of the person's that agents use in place: their CLI's own login.

Behind walls it is mounted, the file itself and not its folder: every CLI that is driven writes a renewed login into it
then, the one that would rather put a new file in its place, too. Whoever keeps locks beside it gets a folder of ours
for them, the same for all who share the file: so two of them never renew the same login at once.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from hashlib import blake2b
from pathlib import Path

from codeswarm.sandbox.base import LOGIN, Mount
from codeswarm.sandbox.mount_points import make_mount_point
from codeswarm.worker.locks import in_use

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


@contextmanager
def beside(file: Path, logins: Path) -> Iterator[Path]:
    """A folder of ours for what is kept beside a file, the same for all who share it: it stays to the end of the block.

    Raises: OSError.
    """
    folder = logins / blake2b(os.fsencode(file), digest_size=8).hexdigest()
    logins.mkdir(OURS_ALONE, parents=True, exist_ok=True)
    with in_use(lock_of(folder)):
        folder.mkdir(OURS_ALONE, exist_ok=True)
        make_mount_point(folder, Path(file.name), folder=False)
        yield folder


def lock_of(folder: Path) -> Path:
    """What those hold who use it. No agent sees it."""
    return folder.with_suffix(".lock")


def mounts(file: Path, folder: Path | None) -> tuple[Mount, ...]:
    """It alone in a folder inside; `folder`: ours, where all who share the file may write beside it."""
    shown = Mount(file, LOGIN / file.name, writable=True)
    return (shown,) if folder is None else (Mount(folder, LOGIN, writable=True), shown)
