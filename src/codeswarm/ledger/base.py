"""The port of the ledger. `codeswarm.testing.ledger_contract` is its real definition; this is its shape."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from codeswarm.domain.ids import SessionId
from codeswarm.ledger.tables import Row

if TYPE_CHECKING:  # what only looks at tables needs neither, and starts in half the time
    from concurrent.futures import Future

    from codeswarm.domain.events import Event

GENESIS = "0" * 64
"""What the first event's hash is chained to."""


class Recorded(NamedTuple):
    """An event as the ledger holds it. `seq` follows the order of commits over all sessions, without gaps."""

    seq: int
    session: SessionId
    version: int
    """1, 2, 3 … within the session."""
    at_ms: int
    event: Event


@dataclass(frozen=True, slots=True)
class Reply:
    """What was answered to a request with an idempotency key: committed with the events that it caused."""

    key: str
    body: str


@dataclass(slots=True)
class Batch:
    """The events of whole commands to one session, appended all or none."""

    session: SessionId
    expected_version: int
    """The session's version before this batch."""
    moments: Sequence[int]
    """When each of the events happened, in ms."""
    events: Sequence[Event]
    rows: Mapping[str, Sequence[Row]] = field(default_factory=dict)
    """Table → rows to upsert in the same transaction."""
    replies: Sequence[Reply] = ()

    @classmethod
    def at(
        cls,
        session: SessionId,
        expected_version: int,
        at_ms: int,
        events: Sequence[Event],
        rows: Mapping[str, Sequence[Row]] | None = None,
        replies: Sequence[Reply] = (),
    ) -> Batch:
        """A batch of one moment."""
        return cls(session, expected_version, [at_ms] * len(events), events, rows or {}, replies)


Listener = Callable[[list[Recorded]], None]


class Tables(Protocol):
    """Projections, for whoever only looks."""

    def table(self, name: str, /, *, only: Sequence[str] = (), **where: object) -> list[dict[str, Any]]:
        """Rows of a projection whose columns equal `where`, in the table's own order.

        `only`: the columns that are wanted, if not all: of ten thousand rows that is most of the time.
        Raises: KeyError for an unknown table or column.
        """
        ...


class Ledger(Tables, Protocol):
    """An append-only log with projections. Appends are asynchronous; reads see committed state only."""

    def append(self, batch: Batch) -> Future[list[Recorded]]:
        """Queue a batch. The future is done once it is synced to disk, in order of commit.

        It fails with VersionConflict (the session has moved on), LedgerFull, LedgerUnavailable or LedgerBroken;
        then nothing of the batch is recorded, nor of any batch behind it (after a VersionConflict: of its session)
        until `forgive` is called.
        """
        ...

    def forgive(self) -> None:
        """Accept batches again after a failure; the caller has dropped every state that ran ahead of the disk."""
        ...

    def listen(self, listener: Listener) -> None:
        """Call `listener` with each group of committed events, in order, from the writer's thread."""
        ...

    def history(self, session: SessionId) -> Iterator[Recorded]:
        """All events of one session, in order."""
        ...

    def after(self, seq: int, limit: int, session: SessionId | None = None) -> list[Recorded]:
        """At most `limit` events with a number greater than `seq`, in order."""
        ...

    def head(self) -> tuple[int, str]:
        """The last sequence number (0: none) and the hash of its event."""
        ...

    def sessions(self) -> list[SessionId]:
        """Every session with a history, oldest first."""
        ...

    def reply(self, key: str) -> str | None:
        """The body answered under an idempotency key, if any."""
        ...

    def close(self) -> None:
        """Write out what is queued and let go of the files. Idempotent."""
        ...


def chain(previous: str, seq: int, session: str, version: int, at_ms: int, kind: str, body: str) -> str:
    """The hash of an event: SHA-256 over the previous hash and everything that the event says."""
    text = f"{previous}\n{seq}\n{session}\n{version}\n{at_ms}\n{kind}\n{body}"
    return hashlib.sha256(text.encode()).hexdigest()
