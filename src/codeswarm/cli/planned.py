"""A plan for a person to read, to edit and to keep: as waves, and as a tickets file."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from codeswarm.cli.output import duration
from codeswarm.domain import dag
from codeswarm.domain.ticket import TicketSpec

MOST_TICKETS = 30
"""So many tickets are listed where a plan is only asked about."""


def as_document(goal: str, tickets: Sequence[TicketSpec]) -> dict[str, Any]:
    """The plan in the shape of a tickets file."""
    rows = [spec.model_dump(mode="json", exclude_defaults=True) for spec in tickets]
    return {**({"goal": goal} if goal else {}), "tickets": rows}


def as_yaml(goal: str, tickets: Sequence[TicketSpec]) -> str:
    from codeswarm.sources.tickets_file import write_yaml

    return write_yaml(as_document(goal, tickets))


def measures(tickets: Sequence[TicketSpec], workers: int, default_s: float) -> dict[str, Any]:
    """Waves, the critical path, and the least time that it takes."""
    here = {spec.id for spec in tickets}
    blockers = {spec.id: tuple(b for b in spec.blocked_by if b in here) for spec in tickets}
    seconds = {spec.id: spec.estimate_s or default_s for spec in tickets}
    path = dag.critical_path(blockers, seconds)
    work_s = sum(seconds.values())
    path_s = sum(seconds[id_] for id_ in path)
    return {
        "waves": dag.waves(blockers),
        "critical_path": path,
        "critical_path_s": path_s,
        "work_s": work_s,
        "lower_bound_s": max(path_s, work_s / workers),
        "workers": workers,
        "estimated": sum(spec.estimate_s is not None for spec in tickets),
    }


def plan_lines(tickets: Sequence[TicketSpec], figures: Mapping[str, Any]) -> Iterator[str]:
    """The plan in words: what in which wave, what is longest, and how long it takes at least."""
    by_id = {spec.id: spec for spec in tickets}
    for number, wave in enumerate(figures["waves"], 1):
        yield f"wave {number}"
        for id_ in wave:
            spec = by_id[id_]
            after = f"  (after {', '.join(spec.blocked_by)})" if spec.blocked_by else ""
            yield f"  {id_}: {spec.title}{after}"
    yield f"critical path: {' → '.join(figures['critical_path'])}"
    unsure = len(by_id) - figures["estimated"]
    guessed = f", {unsure} of {len(by_id)} tickets without an estimate" if unsure else ""
    yield (
        f"at least {duration(figures['lower_bound_s'])} with {figures['workers']} agents at once "
        f"({duration(figures['work_s'])} of work, {duration(figures['critical_path_s'])} on the critical path{guessed})"
    )
