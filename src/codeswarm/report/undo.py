"""What landed, in which order, where it was saved; and so, how to take it back.

Only commands that exist are named. They run in the person's repository, on their branch; nothing here runs them.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from codeswarm.domain.ids import Commit, TicketId
from codeswarm.domain.session import Session, Ticket
from codeswarm.report.document import Undo
from codeswarm.report.history import History

MOST = 40
"""Commits that one command names."""
REVERT = "git revert --no-edit"


@dataclass(slots=True)
class Landed:
    """What stands on the integration branch, and which of it is on the person's."""

    session: Session
    order: dict[TicketId, int] = field(default_factory=dict)
    """Ticket → its place among all that landed."""
    commits: list[tuple[TicketId | None, Commit]] = field(default_factory=list)
    saved: int = 0
    """How many of `commits`, from the first one, are saved."""
    into: str = ""
    """The branch that they are saved to."""
    caught_up: bool = False
    touched: dict[str, list[TicketId]] = field(default_factory=dict)
    """File → the tickets that changed it, in order."""

    @classmethod
    def of(cls, history: History) -> Landed:
        found = cls(history.session)
        for place, (ticket, commit, _) in enumerate(history.line):
            found.commits.append((ticket, commit))
            found.caught_up |= ticket is None
            if ticket is not None:
                found.order[ticket] = place
                for file in history.session.tickets[ticket].files:
                    found.touched.setdefault(file, []).append(ticket)
        for save in history.saves:
            place = next((n for n, (_, commit) in enumerate(found.commits, 1) if commit == save.event.new), 0)
            if place >= found.saved:
                found.saved, found.into = place, save.event.into
        return found

    def undo(self, ticket: Ticket) -> Undo | None:
        """None for a ticket that has not landed: there is nothing to take back."""
        if ticket.landed is None or ticket.id not in self.order:
            return None
        dependents = self._dependents(ticket.id)
        with_them = [self._commit(id_) for id_ in (*dependents, ticket.id)] if dependents else []
        return Undo(
            commands=(f"{REVERT} {_short(ticket.landed)}",),
            note=self._note(ticket),
            dependents=tuple(dependents[:MOST]),
            with_dependents=(f"{REVERT} {' '.join(with_them)}",) if 0 < len(with_them) <= MOST else (),
        )

    def _commit(self, id_: TicketId) -> str:
        return _short(self.session.tickets[id_].landed or "")

    def _dependents(self, id_: TicketId) -> list[TicketId]:
        """Landed tickets that build on one, newest first: the order in which they are taken back."""
        seen: set[TicketId] = set()
        open_ = list(self.session.dependents.get(id_, ()))
        while open_:
            name = open_.pop()
            if name not in seen:
                seen.add(name)
                open_ += self.session.dependents.get(name, ())
        return sorted((name for name in seen if name in self.order), key=lambda name: -self.order[name])

    def _note(self, ticket: Ticket) -> str:
        place = self.order[ticket.id]
        where = f"on {self.into}" if place < self.saved else "not on your branch yet: once it is saved, this undoes it"
        later = {id_ for file in ticket.files for id_ in self.touched.get(file, ()) if self.order[id_] > place}
        if not later:
            return where
        names = sorted(later, key=lambda id_: self.order[id_])
        some = ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")
        return f"{where}; {some} changed the same files later, so git may ask you to settle a conflict"

    def undo_all(self) -> tuple[str, ...]:
        """Takes back all that was saved, newest first."""
        saved = [_short(commit) for ticket, commit in self.commits[: self.saved] if ticket is not None]
        if not saved:
            return ()
        if len(saved) <= MOST:
            return (f"{REVERT} {' '.join(reversed(saved))}",)
        return (f"{REVERT} {_short(self.session.base)}..{saved[-1]}",) if not self.caught_up else ()


def _short(commit: str) -> str:
    """As much of a commit's id as names it in any repository of people."""
    return commit[:12]
