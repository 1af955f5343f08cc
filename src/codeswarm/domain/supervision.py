"""One for one, but not for ever: too many deaths within a window suspend the session."""

from __future__ import annotations

from codeswarm.domain.session import Session


def meltdown(session: Session, now_ms: int) -> str | None:
    """Why the session must be suspended, or None. Counted are crashed, hung and lost attempts and slots.

    What is yet to come by a clock that was put back was not within the window: it may have been any time ago.
    """
    if not session.restarts:
        return None
    bounds = session.settings.bounds
    begin_ms = now_ms - int(bounds.restart_window_s * 1000)
    recent = sum(1 for at_ms in session.restarts if begin_ms < at_ms <= now_ms)
    if recent <= bounds.max_restarts:
        return None
    return f"{recent} agents or slots died within {bounds.restart_window_s:g} s; the last: {session.last_restart}"
