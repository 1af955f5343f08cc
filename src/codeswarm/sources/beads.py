"""Beads: an issue tracker that keeps one issue a line in `.beads/issues.jsonl`. What is open there becomes tickets.

Fields as its own source names them (`internal/types/types.go`). The file itself is kept as it was, so whatever we
do not know of an issue is given back on export.
"""

from __future__ import annotations

import hashlib
import json
import re
import shlex
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from codeswarm.domain.dag import without_cycles
from codeswarm.domain.ids import name_problem
from codeswarm.errors import TicketsInvalid, UsageError
from codeswarm.sources.base import Found, Original
from codeswarm.sources.beads_graph import Graph, Issue, graph_of
from codeswarm.sources.json_text import HALF, NO_NUMBER, halves, no_numbers, why_unreadable

KIND = "beads"
MOST_TITLE = 200
MOST_SHOWN = 5
EXTRA = ("acceptance", "files", "interfaces", "estimate_s", "requires", "pipeline", "contract", "gate", "hold")
"""Keys of ours that an issue has no place for: they stand in its `metadata`, under `codeswarm`."""
LOWEST = 4
TEXTS = ("title", "description", "design", "notes", "acceptance_criteria")
_KINDS: dict[Any, tuple[str, tuple[str, ...]]] = {
    str: ("text", (*TEXTS, "status", "issue_type", "assignee", "due_at")),
    list: ("list", ("labels", "dependencies")),
    int: ("whole number", ("priority",)),
    int | float: ("number", ("estimated_minutes",)),
}
"""What the fields that we read must be, where they are there at all."""
_BULLET = re.compile(r"^\s*(?:[-*+]|\d+[.)])\s+(?:\[[ xX]\]\s+)?")


@dataclass(frozen=True, slots=True)
class Line:
    """A line of the file as it is; `issue` where it holds one that counts."""

    text: bytes
    issue: Issue | None = None


@dataclass(slots=True)
class Document:
    lines: list[Line] = field(default_factory=list)
    issues: dict[str, Issue] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)


def read(name: str, data: bytes, *, lenient: bool = False) -> Found:
    """Raises: TicketsInvalid with every line that is no issue, and every cycle, unless `lenient`."""
    document = parse(data)
    tickets, notes, cut = tickets_of(document)
    problems = [*document.problems, *(f"{one} waits for {other}, which closes a cycle" for one, other in cut)]
    if problems and not lenient:
        raise _invalid(name, problems)
    if not tickets:
        raise _nothing_left(name, problems, len(document.issues))
    notes += [f"left out: {problem}" for problem in problems]
    return Found(
        {"tickets": list(tickets.values())},
        name,
        tuple(notes),
        Original(KIND, name, data),
        tuple((tickets[one]["id"], tickets[other]["id"]) for one, other in cut),
        {ticket["id"]: _updated_ms(document.issues[ref]) for ref, ticket in tickets.items()},
    )


def _nothing_left(name: str, problems: list[str], others: int) -> UsageError:
    rest = f"{others} are closed or no work"
    if not problems:
        return UsageError(f"{name} has no open issue", rest, "bd list")
    error = TicketsInvalid(name, problems)
    error.what, error.why = f"{name} has no open issue left", f"{rest}; left out:\n{error.why}"
    return error


def _invalid(name: str, problems: list[str]) -> TicketsInvalid:
    error = TicketsInvalid(name, problems)
    source = "-" if name == "standard input" else shlex.quote(name)
    error.hint = f"codeswarm ticket import {source} --lenient   # leaves out what is named; or mend it there with bd"
    return error


# ── lines ──


def parse(data: bytes) -> Document:
    """Every line, and every issue by its id."""
    document = Document()
    for number, text in enumerate(data.split(b"\n"), 1):
        issue = _issue(document, number, text)
        document.lines.append(Line(text, issue))
        if issue is not None:
            document.issues[issue["id"]] = issue
    return document


def _issue(document: Document, number: int, text: bytes) -> Issue | None:
    if not text.strip():
        return None
    try:
        found = json.loads(text.decode("utf-8-sig" if number == 1 else "utf-8"))
    except (ValueError, RecursionError) as error:
        conflict = text.startswith((b"<<<<<<<", b"=======", b">>>>>>>"))
        why = "a mark of a git conflict" if conflict else f"not JSON ({_short(error)})"
        document.problems.append(f"line {number} is {why}")
        return None
    if problem := _shape(document, found):
        document.problems.append(f"line {number} {problem}")
        return None
    return dict(found)


def _shape(document: Document, found: object) -> str | None:
    if not isinstance(found, dict):
        return "is no JSON object"
    id_ = found.get("id")
    if not isinstance(id_, str) or not id_.strip():
        return "has no id"
    if id_ in document.issues:
        return f"has the id {id_!r} of an earlier line"
    for kind, (told, keys) in _KINDS.items():
        for key in keys:
            if (value := found.get(key)) is not None and (not isinstance(value, kind) or isinstance(value, bool)):
                return f"has a {key!r} that is no {told}"
    if where := next(halves(found), None):
        return f"holds {HALF}, in {where}"
    ours = {"estimated_minutes": found.get("estimated_minutes"), "metadata.codeswarm": ours_in(found)}
    if where := next(no_numbers(ours), None):
        return f"has in {where} what {NO_NUMBER}"
    if not 0 <= (found.get("priority") or 0) <= LOWEST:
        return f"has a priority beyond 0 to {LOWEST}"
    return None


def _short(error: Exception) -> str:
    said = why_unreadable(error)
    return f"{type(error).__name__}: {said}"[:120] if isinstance(error, UnicodeError) else said[:120]


# ── tickets ──


def tickets_of(document: Document) -> tuple[dict[str, dict[str, Any]], list[str], list[tuple[str, str]]]:
    """By the ids of the issues: the tickets. Then what a person should know, and the edges that close a cycle.

    These edges (issue, blocker) are left out: a plan can't have them.
    """
    graph = graph_of(document.issues)
    names = new_ids(graph.blocked_by)
    acyclic, dropped = without_cycles(graph.blocked_by)
    tickets = {}
    for ref, blockers in acyclic.items():
        ticket = {"id": names[ref], **fields_of(document.issues[ref])}
        if blockers:
            ticket["blocked_by"] = [names[blocker] for blocker in blockers]
        if ref in graph.hold:
            ticket.setdefault("hold", graph.hold[ref])
        tickets[ref] = {**ticket, "origin": {"kind": KIND, "ref": ref}}
    return tickets, list(_notes(document, graph)), dropped


def _updated_ms(issue: Mapping[str, Any]) -> int:
    """0 where it is not said, or not as a time."""
    try:
        return int(datetime.fromisoformat(issue.get("updated_at") or "").timestamp() * 1000)
    except (ValueError, TypeError, OverflowError):
        return 0


def new_ids(refs: Iterable[str]) -> dict[str, str]:
    """Ids of ours for theirs: the same where it can be, else in small letters, else with a piece of its digest."""
    names: dict[str, str] = {}
    used: set[str] = set()
    for ref in sorted(refs, key=lambda ref: (name_problem(ref) is not None, ref)):
        name = ref.lower()
        if name_problem(name) or name in used:
            digest = hashlib.sha256(ref.encode("utf-8", "surrogatepass")).hexdigest()[:10]
            name = f"{re.sub(r'[^a-z0-9]+', '-', name).strip('-')[:50]}-{digest}".lstrip("-")
        used.add(name)
        names[ref] = name
    return names


def fields_of(issue: Mapping[str, Any]) -> dict[str, Any]:
    """An issue's own fields as keys of a ticket, its id and its edges left out. Nothing is checked here."""
    title = " ".join((issue.get("title") or issue["id"]).split())
    fields: dict[str, Any] = {
        "title": title if len(title) <= MOST_TITLE else title[: MOST_TITLE - 1] + "…",
        "description": _own_text(issue, title) + tail_of(issue),
        # A missing number is Go's zero, and that is how beads reads it.
        "priority": issue.get("priority") or 0,
        "acceptance": _sentences(issue.get("acceptance_criteria")),
        "labels": [label for label in issue.get("labels") or [] if isinstance(label, str) and label.strip()],
        "deadline": issue.get("due_at"),
    }
    if (minutes := issue.get("estimated_minutes") or 0) > 0:
        fields["estimate_s"] = 60.0 * minutes
    fields |= ours_in(issue)
    return {key: value for key, value in fields.items() if value not in (None, "", [])}


def ours_in(issue: Mapping[str, Any]) -> dict[str, Any]:
    metadata = issue.get("metadata")
    ours = metadata.get("codeswarm") if isinstance(metadata, dict) else None
    return {key: ours[key] for key in EXTRA if key in ours} if isinstance(ours, dict) else {}


def _own_text(issue: Mapping[str, Any], title: str) -> str:
    text = issue.get("description") or ""
    return f"{title}\n\n{text}" if len(title) > MOST_TITLE else text


def tail_of(issue: Mapping[str, Any]) -> str:
    """Design and notes, as they stand behind the description."""
    parts = [
        f"\n\n## {name.capitalize()}\n\n{text.strip()}"
        for name in ("design", "notes")
        if (text := issue.get(name) or "").strip()
    ]
    return "".join(parts)


def _sentences(text: str | None) -> list[str]:
    """Acceptance criteria one by one, where they are written as a list."""
    if not text or not text.strip():
        return []
    lines = [line for line in text.splitlines() if line.strip()]
    if all(_BULLET.match(line) for line in lines):
        return [found for line in lines if (found := _BULLET.sub("", line).strip())]
    return [text.strip()]


# ── what a person should know ──


def _notes(document: Document, graph: Graph) -> Iterator[str]:
    done = len(document.issues) - len(graph.open)
    if done:
        yield f"{done} issues are closed or deleted: no tickets"
    for ids, what in (
        (graph.containers, "stand for their children, and what waits for them waits for these"),
        (graph.no_work, "are no work (messages, agents, gates …): no tickets"),
        (graph.dangling, "are waited for but not in the file: taken as done"),
        (graph.to_ancestors, "wait for an epic of their own: taken as not waiting for it"),
        ([ref for ref in graph.blocked_by if ref in graph.hold], "are on hold: beads does not show them as ready"),
    ):
        if ids:
            yield f"{len(ids)} {what}: {', '.join(list(ids)[:MOST_SHOWN])}{' …' if len(ids) > MOST_SHOWN else ''}"
