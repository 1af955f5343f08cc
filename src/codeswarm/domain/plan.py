"""A plan read from untrusted data: every mistake at once, each with where it is and what to do.

The data is what YAML or JSON gave: `{"goal": …, "tickets": [{…}, …]}`.
"""

from __future__ import annotations

import difflib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from itertools import islice
from typing import Any

from pydantic import ValidationError

from codeswarm.domain import dag
from codeswarm.domain.ids import TicketId, name_problem
from codeswarm.domain.model import Frozen
from codeswarm.domain.pipeline import Pipeline
from codeswarm.domain.ticket import TicketSpec

MOST_ESTIMATE_S = 10 * 365 * 86_400
MAX_TICKETS = 100_000
MOST_CYCLES = 20
MOST_HINTS = 50
MOST_CANDIDATES = 2000
"""Bounds on what a file full of mistakes may cost: beyond them they are still told, but without a guess at the mend."""
PLAN_KEYS = ("goal", "tickets")
TICKET_KEYS = tuple(TicketSpec.model_fields)


Standing = Mapping[TicketId, Iterable[TicketId]]
"""Tickets that are there already, and what each of them waits for."""


class Plan(Frozen):
    """A valid plan: unique ids, known blockers, no cycle."""

    goal: str = ""
    tickets: tuple[TicketSpec, ...]


class Problem(Frozen):
    """One mistake in a plan: `where` points at it, `what` says it with the mend."""

    where: str
    what: str

    def __str__(self) -> str:
        return f"{self.where}: {self.what}"


def read_plan(
    data: object, pipelines: dict[str, Pipeline], standing: Standing | None = None, *, cycles: bool = False
) -> Plan | list[Problem]:
    """The plan in `data`, or all that is wrong with it (never an empty list).

    `standing`: the tickets that it comes on top of; its own may wait for them, and bear none of their ids.
    `cycles`: it may have some, since nobody is going to build it.
    """
    if not isinstance(data, dict):
        return [Problem(where="file", what=f"must be a mapping with the key 'tickets', not {_kind(data)}")]
    problems = _unknown_keys(data, PLAN_KEYS, "file")
    goal = data.get("goal") or ""
    if not isinstance(goal, str):
        problems.append(Problem(where="goal", what=f"must be text, not {_kind(goal)}"))
        goal = ""
    rows = data.get("tickets")
    if not isinstance(rows, list) or not rows:
        what = "is missing" if rows is None else "must be a list with at least one ticket"
        return [*problems, Problem(where="tickets", what=what)]
    if too_many := _too_many(len(rows), standing or {}):
        return [*problems, too_many]
    specs: list[TicketSpec] = []
    for index, row in enumerate(rows):
        spec, wrong = read_ticket(index, row, pipelines)
        problems += wrong
        if spec is not None:
            specs.append(spec)
    problems += graph_problems(_edges(rows), standing or {}, cycles=cycles)
    if problems:
        return problems
    return Plan(goal=goal, tickets=tuple(specs))


def problems_of(tickets: Sequence[TicketSpec], pipelines: Mapping[str, Pipeline], standing: Standing) -> list[Problem]:
    """All that is wrong with tickets that are to come on top of others; empty where nothing is."""
    if not tickets:
        return [Problem(where="tickets", what="must be a list with at least one ticket")]
    if too_many := _too_many(len(tickets), standing):
        return [too_many]
    problems = [
        problem for spec in tickets for problem in _pipeline_problems(f"ticket {spec.id!r}", spec.pipeline, pipelines)
    ]
    return problems + graph_problems([(spec.id, spec.blocked_by) for spec in tickets], standing)


def _too_many(count: int, standing: Standing) -> Problem | None:
    if count + len(standing) <= MAX_TICKETS:
        return None
    more = f" beside the {len(standing)} that are there" if standing else ""
    return Problem(where="tickets", what=f"has {count} tickets{more}; at most {MAX_TICKETS} fit")


def _pipeline_problems(where: str, pipeline: object, pipelines: Mapping[str, Pipeline]) -> list[Problem]:
    if not isinstance(pipeline, str) or pipeline in pipelines:
        return []
    what = f"names the pipeline {pipeline!r}, which is not known{_nearest(pipeline, pipelines)}"
    return [Problem(where=f"{where}.pipeline", what=what)]


def read_ticket(index: int, row: object, pipelines: dict[str, Pipeline]) -> tuple[TicketSpec | None, list[Problem]]:
    """The ticket in `row`, the `index`-th of a list, and all that is wrong with it but for its edges."""
    where = _label(index, row)
    if not isinstance(row, dict):
        return None, [Problem(where=where, what=f"must be a mapping, not {_kind(row)}")]
    problems = _unknown_keys(row, TICKET_KEYS, where)
    known = {key: value for key, value in row.items() if key in TICKET_KEYS and value is not None}
    problems += _pipeline_problems(where, known.get("pipeline"), pipelines)
    try:
        spec = TicketSpec.model_validate(known)
    except ValidationError as error:
        return None, problems + _schema_problems(where, error)
    if (spec.estimate_s or 0) > MOST_ESTIMATE_S:
        problems.append(Problem(where=f"{where}.estimate_s", what="is more than ten years"))
    return spec, problems


_WORDS = {
    "missing": "is missing",
    "tuple_type": "must be a list",
    "string_type": "must be text",
    "string_unicode": "must be text that can be written as UTF-8",
}
"""What a person should read instead of pydantic's own words."""


def _schema_problems(where: str, error: ValidationError) -> list[Problem]:
    problems = []
    for item in error.errors(include_url=False):
        path = ".".join(str(part) for part in item["loc"])
        what = _WORDS.get(item["type"], item["msg"].removeprefix("Value error, "))
        if item["type"] not in ("missing", "value_error"):
            what = f"{what} (got {_shown(item['input'])})"
        problems.append(Problem(where=f"{where}.{path}" if path else where, what=what))
    return problems


def _edges(rows: list[Any]) -> list[tuple[str, tuple[str, ...]]]:
    """Ids and blockers of all rows that have an id, even where other things are wrong with them."""
    named = [row for row in rows if isinstance(row, dict) and isinstance(row.get("id"), str)]
    return [(row["id"], _texts(row.get("blocked_by"))) for row in named]


def _texts(value: object) -> tuple[str, ...]:
    return tuple(item for item in value if isinstance(item, str)) if isinstance(value, list) else ()


def graph_problems(
    tickets: Sequence[tuple[str, Sequence[str]]], standing: Standing, *, cycles: bool = False
) -> list[Problem]:
    """Duplicate ids, unknown blockers and cycles that `tickets` (ids and what they wait for) would bring.

    `cycles`: these may be.
    """
    used = Counter(id_ for id_, _ in tickets)
    problems = [
        Problem(where=f"ticket {id_!r}", what=f"the id is used {count} times; ids are unique in a session")
        for id_, count in ((id_, count + (id_ in standing)) for id_, count in used.items())
        if count > 1
    ]
    edges: dict[str, list[str]] = {**{id_: list(ids) for id_, ids in standing.items()}, **{id_: [] for id_ in used}}
    for id_, blockers in tickets:
        for blocker in blockers:
            if blocker in edges:
                edges[id_].append(blocker)
            elif not name_problem(blocker):
                hint = _nearest(blocker, edges) if len(problems) < MOST_HINTS else ""
                what = f"names {blocker!r}, which is no ticket here{hint}"
                problems.append(Problem(where=f"ticket {id_!r}.blocked_by", what=what))
    for cycle in [] if cycles else dag.find_cycles(edges, MOST_CYCLES):
        what = "tickets wait for each other in a cycle: " + " → ".join(cycle) + "; remove one of these edges"
        problems.append(Problem(where="tickets", what=what))
    return problems


def _unknown_keys(mapping: dict[Any, Any], known: Iterable[str], where: str) -> list[Problem]:
    names = tuple(known)
    return [
        Problem(where=where, what=f"has the unknown key {key!r}{_nearest(str(key), names)}")
        for key in mapping
        if key not in names
    ]


def _nearest(word: str, known: Iterable[str]) -> str:
    near = nearest(word, known)
    return f"; did you mean {near!r}?" if near else ""


def nearest(word: str, known: Iterable[str]) -> str | None:
    """What someone may have meant."""
    near = difflib.get_close_matches(word.lower()[:64], list(islice(known, MOST_CANDIDATES)), n=1, cutoff=0.5)
    return near[0] if near else None


def _label(index: int, row: object) -> str:
    if isinstance(row, dict) and isinstance(row.get("id"), str):
        return f"ticket {row['id']!r}"
    return f"tickets[{index}]"


def _kind(value: object) -> str:
    names = {dict: "a mapping", list: "a list", str: "text", bool: "true/false", type(None): "nothing"}
    return names.get(type(value), type(value).__name__)


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "…"
