"""`codeswarm triage`: which ticket next, by what it holds up."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING, Annotated, Any

import typer

from codeswarm.cli.here import Here
from codeswarm.cli.output import count, progress, say, say_json, table
from codeswarm.clock import SystemClock

if TYPE_CHECKING:
    from codeswarm.triage.ranking import Triage

MOST_SHOWN = 12


def triage(
    context: typer.Context,
    session: Annotated[
        str | None, typer.Argument(help="Id, unique prefix or name; the latest one if left out.")
    ] = None,
    tickets: Annotated[
        str | None, typer.Option(metavar="SOURCE", help="A tickets file, beads:[DIR] or -, instead of a session.")
    ] = None,
    limit: Annotated[int, typer.Option(help="So many of the best.", min=1)] = 10,
) -> None:
    """Rank what could be begun now, by what it holds up.

    Says why, and where tickets wait for each other in a cycle.

    Example: codeswarm triage --tickets beads: --limit 5
    """
    from codeswarm.triage.ranking import document, triage as triaged

    here: Here = context.obj
    items = _of_source(here, tickets) if tickets is not None else _of_session(here, session)
    found = triaged(items, SystemClock().now_ms())
    if here.json:
        say_json(document(found, limit))
        return
    _tell(found, limit, tickets)


def _of_session(here: Here, wanted: str | None) -> list[Any]:
    from codeswarm.cli.ticket_files import state_of
    from codeswarm.triage.items import of_session

    return of_session(state_of(here, here.session(wanted)["id"]))


def _of_source(here: Here, source: str) -> list[Any]:
    from codeswarm.domain.pipeline import SHIPPED
    from codeswarm.domain.plan import read_plan
    from codeswarm.errors import TicketsInvalid
    from codeswarm.sources.read import read_source
    from codeswarm.triage.items import of_plan

    found = read_source(source, here.directory, lenient=True)
    for note in found.notes:
        progress(note)
    rows = found.plan.get("tickets")
    named = {row["pipeline"] for row in rows if _names_pipeline(row)} if isinstance(rows, list) else set()
    # Which pipelines there are is no question of the graph.
    plan = read_plan(found.plan, {**SHIPPED, **dict.fromkeys(named, SHIPPED["single"])}, cycles=True)
    if isinstance(plan, list):
        raise TicketsInvalid(found.name, [str(problem) for problem in plan])
    return of_plan(plan, found.cut, found.updated_ms)


def _names_pipeline(row: object) -> bool:
    return isinstance(row, dict) and isinstance(row.get("pipeline"), str)


def _tell(found: Triage, limit: int, source: str | None) -> None:
    measures = found.measures
    rows = (
        (number, one.item.id, f"{one.score:.2f}", "; ".join(one.why), one.item.title)
        for number, one in enumerate(found.ranked[:limit], 1)
    )
    table(("", "ticket", "score", "why", "title"), rows)
    rest = len(found.ranked) - limit
    startable = count(len(found.ranked), "ticket")
    say(f"{startable} of {len(found.items)} open ones can be begun" + (f", {rest} more: --limit" if rest > 0 else ""))
    if measures.critical_path:
        say(f"critical path: {_shortened(measures.critical_path, ' → ')}")
    for cycle in measures.cycles:
        say(f"a cycle: {_shortened(cycle, ', ')} wait for each other; {_broken(found, cycle, source)}")
    if measures.sources < len(found.items):
        say(f"betweenness is estimated from {measures.sources} of {len(found.items)} tickets; all else is exact")


def _broken(found: Triage, cycle: Collection[str], source: str | None) -> str:
    """How a cycle is taken apart: one of its edges, where the tickets stand."""
    waiting = (item for item in found.items if item.id in cycle)
    one, other = next((item.id, id_) for item in waiting for id_ in item.blocked_by if id_ in cycle)
    if source is None:
        return f"take an edge away: codeswarm ticket unlink {one} --blocked-by {other}"
    return f"take an edge away in {source}: {one} must not wait for {other}"


def _shortened(ids: list[str], between: str) -> str:
    more = f"{between}… ({len(ids)} in all)" if len(ids) > MOST_SHOWN else ""
    return between.join(ids[:MOST_SHOWN]) + more
