"""`--until`: the moment from which on a session begins nothing new. A clock on the wall, whatever the machine did."""

from __future__ import annotations

from codeswarm.domain import commands as cmd, events as ev
from codeswarm.domain.rejection import Rejection, invalid, wrong_state
from codeswarm.domain.session import Session
from codeswarm.domain.settings import Until
from codeswarm.domain.states import STOPS, SessionStatus, SuspendReason


def due_ms(session: Session) -> int | None:
    """When a session that goes on is to stop; None: no end is set, or it rests."""
    until = session.settings.policy.until
    return until.at_ms if until is not None and session.status in STOPS else None


def too_late(until: Until | None, now_ms: int) -> Rejection | None:
    if until is None or until.at_ms > now_ms:
        return None
    what = f"until {until.said} is over already: nothing could begin"
    return invalid(what, "--until 8h   # or a time of day: 07:00", "that moment lies behind us")


def after_resume(session: Session, wanted: Until | None, now_ms: int) -> Until | None:
    """What holds after a resume: what was typed now; of what held before only that which lies ahead, and only where
    nothing was suspended (a crash). Who resumes what was stopped, and says no time, wants it to go on.
    """
    held = session.settings.policy.until
    if wanted is not None or session.status is SessionStatus.SUSPENDED:
        return wanted
    return held if held is not None and held.at_ms > now_ms else None


def time_is_up(session: Session, command: cmd.TimeIsUp, now_ms: int) -> list[ev.Event] | Rejection:
    """As `stop` does: no new work, agents end their phase. Idempotent; where nothing goes on nothing is stopped."""
    until = session.settings.policy.until
    if until is None or now_ms < until.at_ms:
        what = f"session {session.id} may go on: its time is not over"
        return wrong_state(what, f"codeswarm status {session.id}", until.said if until else "no end was set")
    if session.status not in STOPS:
        return []
    return [ev.SessionSuspended(reason=SuspendReason.STOPPED, detail=f"until {until.said} is over")]
