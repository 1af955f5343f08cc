"""Every commit of the integration branch: which ticket it is of, by which attempt, proven by what, and where saved."""

from __future__ import annotations

from typing import Any

from codeswarm.domain.ids import Commit
from codeswarm.domain.session import Landing, Session, Ticket
from codeswarm.report.history import History


def lineage_of(history: History) -> list[dict[str, Any]]:
    """Oldest first. `epoch` None: a catch-up with the base branch."""
    session = history.session
    landings = {x.commit: x for x in session.landings.values() if x.state == "landed"}
    saved = _saved_by(history)
    return [_line(session, landings[commit], at_ms, saved.get(commit, "")) for _, commit, at_ms in history.line]


def _saved_by(history: History) -> dict[Commit, str]:
    """Commit → the first checkpoint that holds it."""
    commits = [commit for _, commit, _ in history.line]
    found: dict[Commit, str] = {}
    for save in history.saves:
        if save.event.new in commits:
            for commit in commits[: commits.index(save.event.new) + 1]:
                found.setdefault(commit, save.event.checkpoint)
    return found


def _line(session: Session, landing: Landing, at_ms: int, checkpoint: str) -> dict[str, Any]:
    ticket = session.tickets[landing.ticket] if landing.ticket is not None else None
    epoch = _epoch(ticket, landing.work) if ticket else None
    attempt = ticket.attempts.get(epoch) if ticket and epoch is not None else None
    return {
        "commit": landing.commit,
        "parent": landing.old,
        "tree": landing.tree,
        "landing": landing.number,
        "ticket": landing.ticket,
        "epoch": epoch,
        "phase": attempt.phase if attempt else "",
        "attempt": attempt.number if attempt else None,
        "agent": attempt.agent if attempt else "",
        "work": landing.work,
        "receipts": list(landing.receipts),
        "checkpoint": checkpoint,
        "at_ms": at_ms,
    }


def _epoch(ticket: Ticket, work: Commit) -> int | None:
    """The attempt whose work landed."""
    made = [attempt.epoch for attempt in ticket.attempts.values() if attempt.head == work]
    return made[-1] if made else None
