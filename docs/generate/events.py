"""The events: every kind, when it happens, and each field of its `data`."""

from __future__ import annotations

import re
from collections.abc import Iterator

from pydantic import BaseModel

from codeswarm.domain import events
from codeswarm.domain.events import Event, agents, attempts, care, landing, people, planning, saving, session, tickets
from codeswarm.domain.results import (
    Contract,
    Evidence,
    Failure,
    Finding,
    GateCommand,
    GateRun,
    LeftOut,
    ModelUsage,
    Receipt,
    Report,
    Usage,
    Work,
)
from codeswarm.domain.settings import Caps, Until
from codeswarm.domain.ticket import KeptSource
from generate.markdown import code, document, paragraph, sentence, table
from generate.sources import Undocumented, field_texts, text_of
from generate.types import in_words

INTRODUCTION = """\
The timeline of a session is its events, in order: `codeswarm timeline`, `codeswarm timeline --json`, `codeswarm ledger
export`, and the stream of `codeswarm run --json`. Each has `seq` (its number in the ledger), `session`, `version` (its
number in the session), `at_ms` and `at` (when), `kind`, and `data`, whose fields are below. Kinds and fields are
public; new ones may be added, none is renamed or used anew. A program passes over kinds that it does not know."""
OFTEN = {
    "ticket": "The ticket that it is about.",
    "epoch": "Which attempt of the ticket (or which try at the gate): 1, 2 …",
    "by": "Who: a person as `USER@HOST`, or the part of Codeswarm that did it.",
    "worker": "The worker that holds the lease.",
    "retry_at_ms": "Nothing is tried before, in milliseconds since 1970.",
    "landing": "Which landing of the session: 1, 2 …",
    "gate": "The id of the gate run.",
    "approval": "The id of the question.",
    "plan": "Which plan of the session: 1, 2 …",
    "checkpoint": "The name of the saved state, and of its tag.",
    "tickets": "As they were written.",
    "message": "Which message of the session: 1, 2 …",
    "tree": "The git tree of the commit.",
    "receipts": "The receipts that prove it.",
    "reason": "Why, in a word or a sentence.",
    "detail": "More on why.",
    "why": "Why, as the person put it.",
}
"""Fields that mean the same wherever they stand. An event that means something else says so below its field."""


def described(event: type[BaseModel]) -> str:
    """When it happens. Raises: Undocumented."""
    return paragraph(text_of(event))


def fields(event: type[BaseModel]) -> Iterator[tuple[str, str, str]]:
    """(name, meaning, type) of each. Raises: Undocumented."""
    schema = event.model_json_schema()
    texts = OFTEN | field_texts(event)
    for name in event.model_fields:
        if name not in texts:
            raise Undocumented(
                f"{event.__name__}.{name} has no description: write it below the field in {event.__module__}"
            )
        yield code(name), sentence(texts[name]), linked(in_words(schema["properties"][name], schema.get("$defs", {})))


VALUES = (
    *(KeptSource, Report, Work, Usage, ModelUsage, Failure, Evidence, Finding, Contract, GateCommand, GateRun, Receipt),
    *(LeftOut, Until, Caps),
)
"""What fields of events are made of."""
ELSEWHERE = {"TicketSpec": "tickets.md#keys-of-a-ticket", "Settings": "configuration.md"}
"""What fields of events are made of, too, and is described on another page."""


def linked(kind: str) -> str:
    """A type, with a link to where it is described. Raises: Undocumented."""
    places = {owner.__name__: f"#{owner.__name__.lower()}" for owner in VALUES} | ELSEWHERE
    for name in re.findall(r"\b[A-Z]\w+\b", kind):
        if name not in places:
            raise Undocumented(
                f"{name}, of which an event is made, is nowhere described: add it to VALUES in {__file__}"
            )
        kind = kind.replace(name, f"[{name}]({places[name]})")
    return kind


def _kind(event: type[BaseModel]) -> Iterator[str]:
    yield f"### {event.__name__}"
    yield described(event)
    if event.model_fields:
        yield table(("data", "meaning", "type"), fields(event))


GROUPS = (session, planning, attempts, agents, tickets, landing, saving, people, care)
"""In the order in which people read of them."""


def kinds() -> dict[str, list[type[Event]]]:
    """Heading → the kinds below it. Raises: Undocumented, where a kind is in no group."""
    found: dict[str, list[type[Event]]] = {str(group.__doc__): [] for group in GROUPS}
    groups = {group.__name__: found[str(group.__doc__)] for group in GROUPS}
    for name, event in Event.registry.items():
        if event.__module__ in groups:
            groups[event.__module__].append(event)
        elif event.__module__.startswith(events.__name__):
            raise Undocumented(f"{name} is in no group of events: add {event.__module__} to GROUPS in {__file__}")
    return found


def page() -> str:
    parts = [INTRODUCTION]
    for heading, members in kinds().items():
        parts.append(f"## {heading.removesuffix('.')}")
        parts += [part for event in members for part in _kind(event)]
    parts += ["## What data is made of", *(part for owner in VALUES for part in _kind(owner))]
    return document("Events", *parts)
