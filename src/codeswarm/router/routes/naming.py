"""Leases and attempts as paths name them: `SESSION:SUBJECT:EPOCH`."""

from __future__ import annotations

from typing import Annotated

from fastapi import Query

from codeswarm.domain.ids import SessionId, Subject, TicketId, is_gate, parse_lease_id
from codeswarm.domain.rejection import invalid, unknown
from codeswarm.errors import Refused

Number = Annotated[int, Query(ge=0, lt=1 << 63)]
"""A place in a log or a file, as 64 bits can tell it."""


def parse(text: str) -> tuple[SessionId, Subject, int]:
    found = parse_lease_id(text)
    if found is None:
        raise Refused(unknown(f"{text!r} is no lease (SESSION:SUBJECT:EPOCH)"))
    return found


def lease_of(text: str, epoch: int) -> tuple[SessionId, Subject, int]:
    session, subject, named = parse(text)
    if named != epoch:
        raise Refused(invalid(f"the lease {text} is of epoch {named}, but the request says {epoch}"))
    return session, subject, epoch


def attempt_lease(text: str, epoch: int) -> tuple[SessionId, TicketId]:
    session, subject, _ = lease_of(text, epoch)
    if is_gate(subject):
        raise Refused(invalid(f"{text} is the lease of a gate, not of an attempt"))
    return session, TicketId(subject)
