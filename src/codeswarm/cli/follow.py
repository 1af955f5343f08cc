"""Following a session: its events, folded into the same state that the router has, until it comes to rest."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Any, Protocol

from codeswarm.domain.events import Event
from codeswarm.domain.evolve import evolve
from codeswarm.domain.executions import stands_still
from codeswarm.domain.ids import SessionId
from codeswarm.domain.session import Session
from codeswarm.domain.states import Outcome, SessionStatus, SuspendReason, TicketStatus

Wire = dict[str, Any]


class Show(Protocol):
    """How progress is shown: a board, lines, or JSON Lines."""

    def event(self, record: Wire, session: Session) -> None: ...

    def close(self) -> None: ...


@dataclass(frozen=True, slots=True)
class Rest:
    """Where a session came to rest, and the exit code that this means."""

    exit_code: int
    reason: str


def rest_of(session: Session) -> Rest | None:
    """Whether nothing goes on any more without a person, and what that means for whoever waits."""
    match session.status:
        case SessionStatus.FINALIZED:
            return Rest(_final_code(session), session.detail or f"finalized: {session.outcome}")
        case SessionStatus.CANCELLED:
            return Rest(1, "cancelled")
        case SessionStatus.SUSPENDED:
            return _suspended(session)
        case SessionStatus.AWAITING_REVIEW if session.save is None and not (session.working or session.saved):
            # One that is saved is no rest: the word that it is over comes at once.
            return Rest(_review_code(session), session.review_reason)
        case SessionStatus.ACTIVE if stands_still(session):
            return Rest(3, "approvals")
        case SessionStatus.DRAFT if session.to_be_started:
            return Rest(3, f"a draft; begin: codeswarm resume {session.id}")
        case SessionStatus.DRAFT if session.open_approvals and not session.gates and not session.planning:
            return Rest(3, "approvals")
    return None


def _suspended(session: Session) -> Rest | None:
    """A suspended session rests once its agents have; a save of it still goes on."""
    if session.in_progress or session.save is not None:
        return None
    return Rest(4, f"suspended: {session.detail or session.suspend_reason}")


def _final_code(session: Session) -> int:
    if session.outcome in (Outcome.SAVED, Outcome.PLANNED):
        return 0
    return 2 if began_nothing(session) or not session.planned else 1


def began_nothing(session: Session) -> bool:
    """Whether it ended at its base: the gate is red there, or the set-up fails."""
    return "red on the base" in session.detail or session.detail.startswith("on the base ")


def _review_code(session: Session) -> int:
    """0 where all is done but the save; 1 where something failed; 3 where a person must decide."""
    if session.review_reason in ("approvals", "save_refused"):
        return 3
    if session.review_reason == "full_gate_red":
        return 1
    return _unfinished_code(session)


def _unfinished_code(session: Session) -> int:
    left = {ticket.status for ticket in session.tickets.values()} - {TicketStatus.COMPLETE, TicketStatus.CANCELLED}
    if session.target_reached or (session.landed and not left):
        return 0
    return 3 if left & {TicketStatus.ON_HOLD, TicketStatus.WAITING} and TicketStatus.FAILED not in left else 1


class Follower:
    """Folds a session's events and shows them."""

    def __init__(self, session: SessionId, show: Show, known: int = 0) -> None:
        """`known`: how many events are history already. Where the session rested among those is of no interest."""
        self.session = Session(session)
        self.last = 0
        self._show = show
        self._known = known

    def take(self, record: Wire) -> None:
        if record["seq"] <= self.last:
            return
        self.last = record["seq"]
        event = Event.registry[record["kind"]].model_validate(record["data"])
        evolve(self.session, event, record["at_ms"])
        self._show.event(record, self.session)

    async def until_rest(
        self, events: AsyncIterator[Wire], goes_on: Callable[[Session, Rest], bool] = lambda session, rest: False
    ) -> Rest | None:
        """Follow until the session rests (and `goes_on` does not object), or the events end (None)."""
        async for record in events:
            self.take(record)
            rest = rest_of(self.session) if record["version"] >= self._known else None
            if rest is not None and not goes_on(self.session, rest):
                return rest
        return None

    def close(self) -> None:
        """Take down what is shown."""
        self._show.close()

    @property
    def stopped(self) -> bool:
        return self.session.suspend_reason is SuspendReason.STOPPED
