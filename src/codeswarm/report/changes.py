"""What each ticket changes: files and lines of all of them at once, then as much of each patch as has room."""

from __future__ import annotations

from dataclasses import dataclass, field

from codeswarm.domain.ids import Commit, TicketId
from codeswarm.domain.session import Ticket
from codeswarm.report.document import Change, FileChange
from codeswarm.report.evidence import Evidence, FileStat, Range
from codeswarm.report.history import History
from codeswarm.report.shares import ROW, Share, cut_lines


@dataclass(slots=True)
class Changes:
    """The changes of a session's tickets. What is cut or missing is counted."""

    history: History
    evidence: Evidence
    cut: int = 0
    """Tickets whose patch is not shown whole."""
    missing: int = 0
    """Tickets whose commits are not in the store any more."""
    _stats: dict[TicketId, tuple[Range, list[FileStat] | None]] = field(default_factory=dict)

    def look_up(self, tickets: list[Ticket]) -> None:
        """Find what these tickets change, in one go."""
        ranges = {ticket.id: found for ticket in tickets if (found := self._range(ticket)) is not None}
        stats = self.evidence.stats(list(ranges.values()))
        self._stats = {id_: (range_, stat) for (id_, range_), stat in zip(ranges.items(), stats, strict=True)}

    def _range(self, ticket: Ticket) -> Range | None:
        """Its landing, else its work against what it was made on, else the newest snapshot of an attempt."""
        if ticket.landed is not None:
            landing = self.history.landings[ticket.id]
            return landing.old, landing.commit
        snapshots = [a.snapshot for a in ticket.attempts.values() if a.snapshot is not None]
        newest = ticket.work or (snapshots[-1] if snapshots else None)
        if newest is None:
            return None
        return self.evidence.merge_base(self.history.session.tip, newest) or self.history.session.base, newest

    def of(self, ticket: Ticket, share: Share) -> Change | None:
        """What a ticket changes; None where it changes nothing yet."""
        if ticket.id not in self._stats:
            return None
        (old, new), stats = self._stats[ticket.id]
        if stats is None:
            self.missing += 1
            return None
        files = tuple(_file(stat, share) for stat in stats[: share.items * 2] if share.take(ROW // 2))
        patch, whole = self._patch(old, new, max(share.left, 0)) if stats else ("", True)
        self.cut += not whole
        return Change(
            old=old,
            new=new,
            files=files,
            more_files=len(stats) - len(files),
            added=sum(added or 0 for _, added, _ in stats),
            deleted=sum(deleted or 0 for _, _, deleted in stats),
            patch=patch,
            whole=whole,
            command=f"codeswarm diff {self.history.session.id}/{ticket.id}",
        )

    def _patch(self, old: Commit, new: Commit, most: int) -> tuple[str, bool]:
        found = self.evidence.patch(old, new, most)
        if found is None:
            return "", False
        text, whole = found
        shown, fits = cut_lines(text, most)
        return shown, whole and fits


def _file(stat: FileStat, share: Share) -> FileChange:
    path, added, deleted = stat
    return FileChange(path=share.cut(path, share.line), added=added, deleted=deleted)
