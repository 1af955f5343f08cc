"""What a report looks up beside the log: changes in the store, ends of transcripts, whether a signature is ours.

All of it is only read. What is not there (a store that was lost, a transcript that was cleared away) is left out of the
report and named in it; it never fails the report.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import BinaryIO, Protocol

from codeswarm.domain.ids import Commit
from codeswarm.domain.results import Receipt
from codeswarm.engine.receipts import Signer
from codeswarm.errors import GitError
from codeswarm.git.store import Store
from codeswarm.ledger.artifacts import Artifacts

Range = tuple[Commit, Commit]
"""(old, new)."""
FileStat = tuple[str, int | None, int | None]
"""(path, lines added, lines deleted); None: binary."""
TAIL_BYTES = 20_000


class Evidence(Protocol):
    """Where a report looks things up."""

    def stats(self, ranges: Sequence[Range]) -> list[list[FileStat] | None]:
        """What each range changes; None where its commits are not here."""
        ...

    def patch(self, old: Commit, new: Commit, most: int) -> tuple[str, bool] | None:
        """At most `most` bytes of a difference, and whether that is all of it."""
        ...

    def merge_base(self, one: Commit, other: Commit) -> Commit | None: ...

    def last_words(self, session: str, ticket: str, epoch: int, lines: int) -> str:
        """The end of what an agent said; empty where nothing is kept."""
        ...

    def genuine(self, receipt: Receipt) -> bool | None:
        """Whether a receipt's signature is our key's; None where the key is not here."""
        ...


class Nothing:
    """Evidence of which nothing is left."""

    def stats(self, ranges: Sequence[Range]) -> list[list[FileStat] | None]:
        return [None] * len(ranges)

    def patch(self, old: Commit, new: Commit, most: int) -> tuple[str, bool] | None:
        return None

    def merge_base(self, one: Commit, other: Commit) -> Commit | None:
        return None

    def last_words(self, session: str, ticket: str, epoch: int, lines: int) -> str:
        return ""

    def genuine(self, receipt: Receipt) -> bool | None:
        return None


@dataclass(frozen=True, slots=True)
class Kept:
    """What a data directory holds."""

    store: Store
    artifacts: Artifacts
    signer: Signer | None

    def stats(self, ranges: Sequence[Range]) -> list[list[FileStat] | None]:
        try:
            return list(self.store.numstat(ranges))
        except (GitError, OSError):  # one that is missing fails them all: then each by itself
            return [self._stat(one) for one in ranges]

    def _stat(self, one: Range) -> list[FileStat] | None:
        try:
            return self.store.numstat([one])[0]
        except (GitError, OSError):
            return None

    def patch(self, old: Commit, new: Commit, most: int) -> tuple[str, bool] | None:
        try:
            return self.store.patch_head(old, new, most)
        except (GitError, OSError):
            return None

    def merge_base(self, one: Commit, other: Commit) -> Commit | None:
        try:
            return self.store.merge_base(one, other)
        except (GitError, OSError):
            return None

    def last_words(self, session: str, ticket: str, epoch: int, lines: int) -> str:
        try:
            found = _tail(self.artifacts.open_transcript(session, ticket, epoch))
        except (OSError, EOFError, zlib.error):
            return ""
        said = [text for line in found if (text := _said(line))]
        return "\n".join(said[-lines:])

    def genuine(self, receipt: Receipt) -> bool | None:
        return None if self.signer is None else self.signer.genuine(receipt)


def _tail(file: BinaryIO | None) -> list[bytes]:
    """The last lines. What is packed has no end to be sought: it is read through, and forgotten as it is."""
    if file is None:
        return []
    last = b""
    with file:
        while data := file.read(TAIL_BYTES):
            last = (last + data)[-TAIL_BYTES:]
    return last.splitlines()


def _said(line: bytes) -> str:
    """The text of one line of a transcript; empty where it has none, or was cut in two."""
    try:
        found = json.loads(line)
    except ValueError:
        return ""
    text = found.get("text", "") if isinstance(found, dict) else ""
    return text.encode(errors="replace").decode() if isinstance(text, str) else ""
