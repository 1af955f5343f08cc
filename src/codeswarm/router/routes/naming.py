"""Leases and attempts as paths name them: `SESSION:SUBJECT:EPOCH`."""

from __future__ import annotations

from typing import Annotated

from fastapi import Query

from codeswarm.domain.ids import SessionId, Subject, TicketId, is_gate, parse_lease_id
from codeswarm.domain.rejection import invalid, unknown
from codeswarm.errors import Refused
from codeswarm.router.problems import ROUTES

Number = Annotated[int, Query(ge=0, lt=1 << 63)]
"""A place in a log or a file, as 64 bits can tell it."""


def parse(text: str) -> tuple[SessionId, Subject, int]:
    found = parse_lease_id(text)
    if found is None:
        raise Refused(unknown(f"{text!r} is no lease", ROUTES, "one is written SESSION:SUBJECT:EPOCH"))
    return found


def lease_of(text: str, epoch: int) -> tuple[SessionId, Subject, int]:
    session, subject, named = parse(text)
    if named != epoch:
        what = f"the lease {text} is of epoch {named}, but the request says {epoch}"
        raise Refused(invalid(what, ROUTES, "every word of a lease's holder carries its epoch"))
    return session, subject, epoch


def attempt_lease(text: str, epoch: int) -> tuple[SessionId, TicketId]:
    session, subject, _ = lease_of(text, epoch)
    if is_gate(subject):
        raise Refused(invalid(f"{text} is the lease of a gate", ROUTES, "only an attempt has files and a transcript"))
    return session, TicketId(subject)
