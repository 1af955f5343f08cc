"""Identifiers, and the one grammar that they share with git refs and URLs."""

from __future__ import annotations

import re
from typing import NewType

SessionId = NewType("SessionId", str)
TicketId = NewType("TicketId", str)
GateId = NewType("GateId", str)
"""Starts with `@`, which no ticket id may contain: a lease's subject is one or the other, never in doubt."""
ApprovalId = NewType("ApprovalId", str)
WorkerId = NewType("WorkerId", str)
Commit = NewType("Commit", str)
Tree = NewType("Tree", str)

Subject = TicketId | GateId
"""What a lease is on."""

_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")
_OBJECT = re.compile(r"[0-9a-f]{40}([0-9a-f]{24})?")
_GATE = re.compile(r"@[a-z_]+-[0-9]{1,9}")
_EPOCH = re.compile(r"[0-9]{1,15}")


def name_problem(text: str) -> str | None:
    """Why `text` can't be a ticket id or a session name, or None where it can.

    Both become components of a ref, so what git refuses there is refused here
    (source: git-check-ref-format(1), rules 1, 3 and 7).
    """
    if not _NAME.fullmatch(text):
        return "must be 1 to 64 of a-z, 0-9, '.', '_', '-' and start with a letter or a digit"
    if ".." in text:
        return "must not contain '..' (git refuses it in a ref)"
    if text.endswith("."):
        return "must not end with '.' (git refuses it in a ref)"
    if text.endswith(".lock"):
        return "must not end with '.lock' (git refuses it in a ref)"
    return None


def is_object_id(text: str) -> bool:
    """Whether `text` is a whole SHA-1 or SHA-256 object id."""
    return _OBJECT.fullmatch(text) is not None


def is_gate(subject: str) -> bool:
    return subject.startswith("@")


def lease_id(session: str, subject: str, epoch: int) -> str:
    """The wire name of a lease and of its attempt: `SESSION:SUBJECT:EPOCH`."""
    return f"{session}:{subject}:{epoch}"


def call_name(ticket: str, epoch: int, call: str) -> str:
    """One request of an attempt's agent, however often its worker repeats it."""
    return f"{ticket}:{epoch}:{call}"


def parse_lease_id(text: str) -> tuple[SessionId, Subject, int] | None:
    """The inverse of `lease_id`; None where `text` is not one."""
    parts = text.split(":")
    if len(parts) != 3 or not _EPOCH.fullmatch(parts[2]) or name_problem(parts[0]):
        return None
    subject = parts[1]
    if _GATE.fullmatch(subject):
        return SessionId(parts[0]), GateId(subject), int(parts[2])
    if name_problem(subject):
        return None
    return SessionId(parts[0]), TicketId(subject), int(parts[2])
