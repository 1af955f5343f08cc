"""A session's tickets as a file: the plan as it is now, or the beads file that it came from, brought up to date."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from codeswarm.domain.planning.steps import without_planners
from codeswarm.domain.session import Session, Ticket
from codeswarm.domain.states import TicketStatus
from codeswarm.domain.ticket import TicketSpec
from codeswarm.sources.beads_export import beads_file
from codeswarm.sources.tickets_file import write_json, write_yaml

FORMATS = ("yaml", "json", "beads")


def format_of(name: str) -> str:
    """What the end of a file's name says."""
    return "beads" if name.endswith(".jsonl") else "json" if name.endswith(".json") else "yaml"


def export(session: Session, format_: str, originals: Sequence[bytes]) -> bytes:
    """`originals`: the beads files that the session's tickets were made of, oldest first."""
    if format_ == "beads":
        return beads_file(session, originals)
    plan = {
        **({"goal": session.goal} if session.goal else {}),
        "tickets": [data_of(session, ticket) for ticket in session.tickets.values() if ticket.planning is None],
    }
    return (write_json(plan) if format_ == "json" else write_yaml(plan)).encode()


def data_of(session: Session, ticket: Ticket) -> dict[str, Any]:
    """A ticket as it stands in a tickets file; whether it is on hold is told as it is now."""
    held = (ticket.reason or "on hold") if ticket.status is TicketStatus.ON_HOLD else None
    return spec_data(without_planners(session, ticket.spec).model_copy(update={"hold": held}))


def spec_data(spec: TicketSpec) -> dict[str, Any]:
    """Only what is not as it is by default."""
    return spec.model_dump(mode="json", exclude_defaults=True)
