"""The plan as programs read it: tickets, waves, the critical path, and how long it should take at least."""

from __future__ import annotations

from typing import Any

from codeswarm.domain import dag
from codeswarm.domain.session import Session
from codeswarm.report.outcome import built


def plan_of(session: Session) -> dict[str, Any]:
    """All tickets that are to land, or where none is accepted yet, those that are proposed.

    Estimates are the tickets' own, else the session's default.
    """
    specs = [ticket.spec for ticket in built(session)] or list(session.plan.tickets if session.plan else ())
    known = {spec.id for spec in specs}
    blockers = {spec.id: tuple(id_ for id_ in dict.fromkeys(spec.blocked_by) if id_ in known) for spec in specs}
    seconds = {spec.id: spec.estimate_s or session.settings.default_estimate_s for spec in specs}
    path = dag.critical_path(blockers, seconds)
    work_s, path_s = sum(seconds.values()), sum(seconds[id_] for id_ in path)
    return {
        "session": session.id,
        "goal": session.goal,
        "plan": session.plan.number if session.plan else None,
        "by": session.plan.by if session.plan else "",
        "accepted": session.plan is not None and session.plan.accepted,
        "tickets": [spec.model_dump(mode="json") for spec in specs],
        "waves": dag.waves(blockers),
        "critical_path": path,
        "estimate": {
            "work_s": work_s,
            "critical_path_s": path_s,
            "workers": session.settings.workers,
            "lower_bound_s": max(path_s, work_s / session.settings.workers),
        },
    }
