"""Readings of the ledger for people and programs: the same for a command line and for the HTTP API."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from codeswarm.domain.ids import SessionId
from codeswarm.domain.rejection import known_names, no_session_yet, unknown
from codeswarm.errors import Refused, UsageError
from codeswarm.ledger.base import Recorded, Tables
from codeswarm.ledger.tables import TABLES

OVER = ("finalized", "cancelled")
_LISTS = {
    "tickets": {"blocked_by", "files"},
    "attempts": {"gates"},
    "landings": {"receipts"},
    "approvals": {"given_by", "reasons"},
}
"""Table → the columns that hold a list as JSON."""
BRIEF = ("id", "title", "place", "wave", "status", "phase", "epoch", "since_ms", "reason", "blocked_by")
"""What lists for people tell of a ticket."""


def wire(record: Recorded) -> dict[str, Any]:
    """An event as it travels."""
    return {
        "seq": record.seq,
        "session": record.session,
        "version": record.version,
        "at_ms": record.at_ms,
        "kind": record.event.kind,
        "data": record.event.model_dump(mode="json"),
    }


def rows(ledger: Tables, table: str, *, only: Sequence[str] = (), **where: object) -> list[dict[str, Any]]:
    """Rows of a projection with their lists as lists; `only`: the columns that are wanted, if not all."""
    found = ledger.table(table, only=only, **where)
    for name in _LISTS.get(table, set()).intersection(only or TABLES[table].columns):
        lists = json.loads(f"[{','.join(row[name] for row in found)}]")  # a whole column at once: ten times as fast
        for row, value in zip(found, lists, strict=True):
            row[name] = value
    return found


def find_session(ledger: Tables, wanted: str | None) -> dict[str, Any]:
    """The session that an id, a unique prefix or a name means; None: the latest one.

    Raises: Refused (unknown), UsageError where several fit.
    """
    sessions = rows(ledger, "sessions")
    if not sessions:
        raise Refused(no_session_yet())
    if wanted is None:
        return sessions[-1]
    exact = [row for row in sessions if wanted in (row["id"], row["name"])]
    found = exact or [row for row in sessions if row["id"].startswith(wanted)]
    if not found:
        raise Refused(
            unknown(f"there is no session {wanted!r}", "codeswarm session list", known_names(wanted, _names(sessions)))
        )
    if len(found) > 1 and not exact:
        ids = ", ".join(row["id"] for row in found)
        raise UsageError(
            f"{wanted!r} fits {len(found)} sessions: {ids}",
            "the beginning of an id must fit one alone",
            "codeswarm session list",
        )
    return found[-1]


def _names(sessions: list[dict[str, Any]]) -> list[str]:
    """Newest first: their names, and where there is none their ids."""
    return [row["name"] or row["id"] for row in reversed(sessions)]


def find_ticket(ledger: Tables, session: SessionId, wanted: str) -> dict[str, Any]:
    """A ticket's row by its id. Raises: Refused (unknown)."""
    found = rows(ledger, "tickets", session=session, id=wanted)
    if not found:
        raise Refused(
            unknown(
                f"there is no ticket {wanted!r} in session {session}",
                f"codeswarm ticket list {session}",
                known_names(wanted, (row["id"] for row in rows(ledger, "tickets", session=session))),
            )
        )
    return found[0]


def blocked_by_failure(tickets: list[dict[str, Any]]) -> dict[str, list[str]]:
    """Pending ticket → the tickets that keep it from ever starting: failed, cancelled or held ones behind its edges."""
    state = {row["id"]: row["status"] for row in tickets}
    stuck = {"failed", "cancelled", "on_hold"}
    if stuck.isdisjoint(state.values()):
        return {}
    causes: dict[str, set[str]] = {}
    for row in sorted(tickets, key=lambda row: row["wave"]):
        if row["status"] != "pending":
            continue
        own = {blocker for blocker in row["blocked_by"] if state.get(blocker) in stuck}
        inherited = {cause for blocker in row["blocked_by"] for cause in causes.get(blocker, ())}
        if own | inherited:
            causes[row["id"]] = own | inherited
    return {id_: sorted(found) for id_, found in causes.items()}


def overview(ledger: Tables, session: dict[str, Any], only: Sequence[str] = ()) -> dict[str, Any]:
    """All that `status` tells of a session; `only`: the columns that are wanted of its tickets, if not all."""
    where = {"session": session["id"]}
    tickets = rows(ledger, "tickets", only=only, **where)
    blocked = blocked_by_failure(tickets)
    for row in tickets:
        row["blocked_by_failure"] = blocked.get(row["id"], [])
    counts: dict[str, int] = {}
    for row in tickets:
        counts[row["status"]] = counts.get(row["status"], 0) + 1
    return {
        "session": session,
        "counts": counts,
        "tickets": tickets,
        "approvals": rows(ledger, "approvals", state="open", **where),
        "gates": [row for row in rows(ledger, "gates", **where) if row["state"] in ("open", "running")],
        "checkpoints": rows(ledger, "checkpoints", **where),
        "parked": [] if session["status"] in OVER else rows(ledger, "parkings", state="parked", **where),
        "cost_per_landed_usd": _per_landed(session),
    }


def _per_landed(session: dict[str, Any]) -> float | None:
    """None where nothing landed, or where some attempt did not say what it cost. Whoever paid: a subscription, too."""
    if not session["landed"] or session["cost_unknown"]:
        return None
    usd = float(session["cost_usd"]) + float(session["subscription_usd"] or 0)  # of an older ledger: nothing
    return round(usd / int(session["landed"]), 4)
