"""What stands beside the ledger: transcripts (by attempt, while they grow) and artifacts (by digest, for ever).

Events name both by digest, so that damage shows.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
from pathlib import Path

from codeswarm.errors import CodeswarmError


class TranscriptGap(CodeswarmError):
    """A piece of a transcript would leave a hole; `size` is where the next one must begin."""

    http_status = 409

    def __init__(self, size: int) -> None:
        what = f"the transcript has {size} bytes; the next piece must begin there"
        super().__init__(what, "a hole in it could never be filled", "codeswarm logs   # what there is of it")
        self.size = size


class Artifacts:
    def __init__(self, folder: Path) -> None:
        self.folder = folder

    # ── by digest ──

    def put(self, data: bytes) -> str:
        """Keep bytes; their SHA-256. Durable when it returns, and idempotent."""
        digest = hashlib.sha256(data).hexdigest()
        path = self.path(digest)
        if not path.exists():
            _make(path.parent)
            with tempfile.NamedTemporaryFile(dir=path.parent, delete=False) as file:
                try:
                    file.write(data)
                    file.flush()
                    os.fsync(file.fileno())
                    Path(file.name).replace(path)
                except OSError:
                    Path(file.name).unlink()
                    raise
            _sync(path.parent)
        return digest

    def path(self, digest: str) -> Path:
        return self.folder / "objects" / digest[:2] / digest[2:]

    def get(self, digest: str) -> bytes | None:
        path = self.path(digest)
        return path.read_bytes() if digest and path.is_file() else None

    # ── transcripts ──

    def transcript(self, session: str, ticket: str, epoch: int) -> Path:
        return self.folder / "transcripts" / session / ticket / f"{epoch}.jsonl"

    def append(self, session: str, ticket: str, epoch: int, offset: int, data: bytes) -> int:
        """Add a piece that begins at `offset`; the size afterwards. A piece that is there already changes nothing.

        Raises: TranscriptGap where it begins beyond the end.
        """
        path = self.transcript(session, ticket, epoch)
        _make(path.parent)
        with path.open("ab") as file:
            size = file.tell()
            if offset > size:
                raise TranscriptGap(size)
            fresh = data[size - offset :]
            file.write(fresh)
            return size + len(fresh)

    def sync_transcript(self, session: str, ticket: str, epoch: int) -> None:
        """Make a transcript durable, before an event names its digest. None at all is no error."""
        path = self.transcript(session, ticket, epoch)
        if path.is_file():
            _sync(path)
            _sync(path.parent)


def _make(folder: Path) -> None:
    """Make a folder that lasts: an entry in a folder is durable only once that folder is synced, too."""
    if not folder.is_dir():
        _make(folder.parent)
        folder.mkdir(exist_ok=True)
        _sync(folder.parent)


def _sync(path: Path) -> None:
    fd = os.open(path, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
