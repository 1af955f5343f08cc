"""What took how long: the bars and marks of the time chart, read off the log."""

from __future__ import annotations

from collections.abc import Iterator

from codeswarm.domain import events as ev
from codeswarm.domain.session import Attempt, Session, Ticket
from codeswarm.report.document import Bar, Mark
from codeswarm.report.history import At, History
from codeswarm.report.shares import cut

MOST_BARS = 2_000
MOST_MARKS = 1_000


def bars(history: History, made_ms: int) -> list[Bar]:
    """Every attempt and every run of a gate, oldest first."""
    session = history.session
    found = [_attempt(t, a, made_ms) for t in session.tickets.values() for a in t.attempts.values()]
    found += _gates(history, made_ms)
    return sorted(found, key=lambda bar: (bar.from_ms, bar.about))


def _attempt(ticket: Ticket, attempt: Attempt, made_ms: int) -> Bar:
    agent = f" with {attempt.agent}" if attempt.agent else ""
    why = f": {attempt.failure.failure_class}" if attempt.failure else ""
    return Bar(
        kind="attempt",
        about=ticket.id,
        label=cut(f"{attempt.phase}, attempt {attempt.epoch}{agent}{why}", 160),
        outcome="running" if attempt.live else attempt.status,
        from_ms=attempt.leased_ms,
        to_ms=max(attempt.ended_ms or made_ms, attempt.leased_ms),
    )


def _gates(history: History, made_ms: int) -> Iterator[Bar]:
    """Each lease of a gate, to what ended it."""
    for id_, happened in history.gates.items():
        gate = history.session.all_gates[id_]
        about = gate.ticket or gate.purpose.replace("_", " ")
        since: int | None = None
        for at in happened:
            if isinstance(at.event, ev.GateLeased):
                since = at.at_ms
            elif since is not None:
                yield _gate(gate.purpose, about, _outcome(at), since, at.at_ms)
                since = None
        if since is not None:
            yield _gate(gate.purpose, about, "running", since, made_ms)


def _gate(purpose: str, about: str, outcome: str, from_ms: int, to_ms: int) -> Bar:
    label = f"{purpose.replace('_', ' ')} gate"
    return Bar(kind="gate", about=about, label=label, outcome=outcome, from_ms=from_ms, to_ms=max(to_ms, from_ms))


def _outcome(at: At[ev.Event]) -> str:
    if isinstance(at.event, ev.GateFinished):
        return "green" if at.event.green else "red"
    return "lost" if isinstance(at.event, ev.GateLost) else "cancelled"


def busy_s(found: list[Bar]) -> float:
    """How long anything ran at all, in seconds; `found` is in order."""
    busy_ms, until_ms = 0, 0
    for bar in found:
        busy_ms += max(bar.to_ms - max(bar.from_ms, until_ms), 0)
        until_ms = max(until_ms, bar.to_ms)
    return busy_ms / 1000


def marks(history: History) -> list[Mark]:
    """Landings, bounces, saves, pauses: moments, oldest first."""
    found = [
        Mark(kind="landed" if id_ else "caught_up", about=id_ or "", label=f"landed as {commit[:10]}", at_ms=at_ms)
        for id_, commit, at_ms in history.line
    ]
    for id_, bounced in history.bounces.items():
        found += [Mark(kind="bounced", about=id_, label=_words(at.event.reason), at_ms=at.at_ms) for at in bounced]
    for save in history.saves:
        label = f"{save.event.into} at {save.event.new[:10]}"
        found.append(Mark(kind="saved", about=save.event.checkpoint, label=label, at_ms=save.at_ms))
    for at in history.told:
        match at.event:
            case ev.SessionSuspended():
                found.append(Mark(kind="suspended", about="", label=_words(at.event.reason), at_ms=at.at_ms))
            case ev.SessionResumed():
                found.append(Mark(kind="resumed", about="", label=f"by {at.event.by}", at_ms=at.at_ms))
            case ev.SaveRefused():
                found.append(Mark(kind="refused", about="", label=cut(at.event.detail, 160), at_ms=at.at_ms))
    return sorted(found, key=lambda mark: mark.at_ms)


def _words(name: str) -> str:
    return name.replace("_", " ")


def until(session: Session, last_ms: int, made_ms: int, *, live: bool) -> int:
    """When it ended or came to rest; now, where it goes on."""
    return session.ended_ms or (made_ms if live else last_ms)
