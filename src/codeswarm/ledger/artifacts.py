"""What stands beside the ledger: transcripts (by attempt, while they grow) and artifacts (by digest, compressed).

Events name both by digest, so that damage shows.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import os
import re
import shutil
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import BinaryIO, cast

from codeswarm.errors import CodeswarmError

COMPRESSED, COMPRESSION = ".gz", 6
CLOSED = ".closed"
"""A file that names the digest of a transcript that was closed."""
CHUNK = 1 << 20


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
        """Keep bytes, compressed; their SHA-256. Durable when it returns, and idempotent."""
        digest = hashlib.sha256(data).hexdigest()
        if not self.path(digest).exists():
            self._keep(digest, io.BytesIO(data))
        return digest

    def path(self, digest: str) -> Path:
        """Where it is, or would be: compressed, or as it is where an earlier version kept it."""
        plain = self.folder / "objects" / digest[:2] / digest[2:]
        return plain if plain.is_file() else plain.with_suffix(COMPRESSED)

    def open(self, digest: str) -> BinaryIO | None:
        """Its bytes as they were, to be read; None where there is nothing of that name."""
        path = self.path(digest) if digest else self.folder
        if not path.is_file():
            return None
        return cast(BinaryIO, gzip.open(path)) if path.suffix == COMPRESSED else path.open("rb")

    def get(self, digest: str) -> bytes | None:
        """Raises: OSError, EOFError, zlib.error for what is damaged."""
        file = self.open(digest)
        if file is None:
            return None
        with file:
            return file.read()

    def _keep(self, digest: str, source: BinaryIO) -> None:
        path = (self.folder / "objects" / digest[:2] / digest[2:]).with_suffix(COMPRESSED)
        _make(path.parent)
        with tempfile.NamedTemporaryFile(dir=path.parent, delete=False) as file:
            try:
                with gzip.GzipFile("", "wb", COMPRESSION, file, mtime=0) as packed:
                    shutil.copyfileobj(source, packed, CHUNK)
                file.flush()
                os.fsync(file.fileno())
                Path(file.name).replace(path)
            except OSError:
                Path(file.name).unlink()
                raise
        _sync(path.parent)

    # ── transcripts ──

    def transcript(self, session: str, ticket: str, epoch: int) -> Path:
        """Where it grows, until it is closed."""
        return self.folder / "transcripts" / session / ticket / f"{epoch}.jsonl"

    def open_transcript(self, session: str, ticket: str, epoch: int) -> BinaryIO | None:
        """A transcript to be read, whether it grows or is closed; None where there is none."""
        path = self.transcript(session, ticket, epoch)
        try:
            return path.open("rb")
        except FileNotFoundError:
            return self.open(_named_in(path.with_suffix(CLOSED)))

    def transcript_path(self, session: str, ticket: str, epoch: int) -> Path:
        """Where a transcript is now; where it would grow, if there is none."""
        path = self.transcript(session, ticket, epoch)
        digest = "" if path.exists() else _named_in(path.with_suffix(CLOSED))
        return self.path(digest) if digest else path

    def close_transcript(self, session: str, ticket: str, epoch: int) -> None:
        """Keep a transcript that nothing is added to any more by its digest, compressed. None at all is no error.

        Idempotent; whatever it is cut off by, the transcript can be read.
        """
        path = self.transcript(session, ticket, epoch)
        if not path.is_file():
            return
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
            if not self.path(digest).exists():
                file.seek(0)
                self._keep(digest, file)
        name = path.with_suffix(CLOSED)
        name.write_text(digest)
        _sync(name)
        _sync(name.parent)
        path.unlink()

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

    def forget(self, session: str, digests: Iterable[str]) -> None:
        """Throw away a session's transcripts and these artifacts. Idempotent."""
        for digest in digests:
            self.path(digest).unlink(missing_ok=True)
        shutil.rmtree(self.folder / "transcripts" / session, ignore_errors=True)

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


def _named_in(path: Path) -> str:
    """The digest that a file names; empty where it names none."""
    try:
        text = path.read_text(encoding="ascii")
    except (OSError, ValueError):
        return ""
    return text if re.fullmatch(r"[0-9a-f]{64}", text) else ""
