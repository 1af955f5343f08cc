"""Back to beads: every line of the file as it was, but for what has changed since; new tickets are new lines.

What a line would give if it were read today is compared with the ticket as it is now, key by key. Only members that
differ are written anew, within the text of the line, so an import that changed nothing is exported byte for byte.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from codeswarm.domain.ids import TicketId
from codeswarm.domain.planning.steps import without_planners
from codeswarm.domain.session import Session, Ticket
from codeswarm.domain.states import TicketStatus
from codeswarm.domain.ticket import TicketSpec
from codeswarm.sources.beads import EXTRA, KIND, ours_in, parse, tail_of, tickets_of
from codeswarm.sources.beads_graph import BLOCKING, READY, Issue
from codeswarm.sources.json_text import dump, with_members

UNDER_WAY = (TicketStatus.IN_PROGRESS, TicketStatus.LANDING, TicketStatus.WAITING)
BY = "codeswarm"


def beads_file(session: Session, originals: Sequence[bytes]) -> bytes:
    """All kept files one after the other, each line with what has changed, and a line for every other ticket."""
    left = {ticket.id: ticket for ticket in session.tickets.values() if ticket.planning is None}
    refs = {ticket.id: _ref(ticket) for ticket in session.tickets.values()}
    pieces = [b"".join(_lines(session, data, left, refs)) for data in originals]
    new = [dump(_new_line(ticket, session, refs)).encode() + b"\n" for ticket in left.values()]
    return b"".join(_ended(piece) for piece in [*pieces[:-1]]) + _joined(pieces[-1:], new)


def _joined(last: list[bytes], new: list[bytes]) -> bytes:
    """A file without a last line end keeps it so, unless lines follow."""
    whole = b"".join(last)
    return (_ended(whole) if new else whole) + b"".join(new)


def _ended(data: bytes) -> bytes:
    return data if not data or data.endswith(b"\n") else data + b"\n"


def _ref(ticket: Ticket) -> str:
    origin = ticket.spec.origin
    return origin.ref if origin is not None and origin.kind == KIND else ticket.id


# ── lines that were there ──


def _lines(
    session: Session, data: bytes, left: dict[TicketId, Ticket], refs: Mapping[TicketId, str]
) -> Iterator[bytes]:
    """The file's lines, those of tickets brought up to date; these tickets are taken out of `left`."""
    document = parse(data)
    were, _, _ = tickets_of(document)
    ids = {ref: id_ for id_, ref in refs.items()}
    names = {row["id"]: ref for ref, row in were.items()}
    last = len(document.lines) - 1
    for number, line in enumerate(document.lines):
        text = line.text
        ref = line.issue["id"] if line.issue is not None else ""
        ticket = left.pop(ids[ref], None) if ref in were and ref in ids else None
        if ticket is not None and line.issue is not None:
            was = TicketSpec.model_validate(were[ref])
            now = without_planners(session, ticket.spec)
            changes = _changes(line.issue, was, now, ticket, refs, names)
            text = _with(text, changes)
        yield text if number == last else text + b"\n"


def _with(text: bytes, changes: Mapping[str, Any]) -> bytes:
    if not changes:
        return text
    mark, bare = (text[:3], text[3:]) if text.startswith(b"\xef\xbb\xbf") else (b"", text)
    return mark + with_members(bare.decode(), changes).encode()


def _changes(
    issue: Issue,
    was: TicketSpec,
    now: TicketSpec,
    ticket: Ticket,
    refs: Mapping[TicketId, str],
    names: Mapping[str, str],
) -> dict[str, Any]:
    """The members of an issue that are not any more as they stand there."""
    changes = {**_texts(issue, was, now), **_figures(was, now), **_status(issue, ticket)}
    if set(now.blocked_by) != set(was.blocked_by):
        changes["dependencies"] = _dependencies(issue, was, now, ticket.changed_ms, refs, names)
    ours = {key: _plain(now, key) for key in EXTRA if key != "hold" and getattr(now, key) != getattr(was, key)}
    if any(_needs_us(key, value) for key, value in ours.items()):
        metadata = issue.get("metadata")
        theirs = metadata if isinstance(metadata, dict) else {}
        changes["metadata"] = {**theirs, "codeswarm": {**ours_in(issue), **ours}}
    if changes:
        changes["updated_at"] = _time(ticket.changed_ms)
    return changes


def _texts(issue: Issue, was: TicketSpec, now: TicketSpec) -> dict[str, Any]:
    changes: dict[str, Any] = {}
    if now.title != was.title:
        changes["title"] = now.title
    if now.description != was.description:
        changes["description"] = now.description.removesuffix(tail_of(issue))
    if now.acceptance != was.acceptance:
        changes["acceptance_criteria"] = _listed(now.acceptance)
    return changes


def _figures(was: TicketSpec, now: TicketSpec) -> dict[str, Any]:
    changes: dict[str, Any] = {}
    if now.priority != was.priority:
        changes["priority"] = now.priority
    if now.labels != was.labels:
        changes["labels"] = list(now.labels)
    if now.estimate_s != was.estimate_s:
        changes["estimated_minutes"] = None if now.estimate_s is None else max(1, round(now.estimate_s / 60))
    if now.deadline != was.deadline:
        changes["due_at"] = None if now.deadline is None else now.deadline.isoformat()
    return changes


def _status(issue: Issue, ticket: Ticket) -> dict[str, Any]:
    before = issue.get("status") or "open"
    after = _status_of(ticket, before)
    if after == before:
        return {}
    if after != "closed":
        return {"status": after}
    return {"status": after, "closed_at": _time(ticket.changed_ms), "close_reason": _why_closed(ticket)}


def _status_of(ticket: Ticket, before: str) -> str:
    if ticket.status in (TicketStatus.COMPLETE, TicketStatus.CANCELLED):
        return "closed"
    if ticket.status in UNDER_WAY:
        return "in_progress"
    if ticket.status is not TicketStatus.ON_HOLD and before not in READY:
        return "open"
    return before


def _why_closed(ticket: Ticket) -> str:
    if ticket.status is TicketStatus.COMPLETE:
        return f"landed as {ticket.landed}"
    return f"cancelled: {ticket.reason}" if ticket.reason else "cancelled"


def _dependencies(
    issue: Issue,
    was: TicketSpec,
    now: TicketSpec,
    at_ms: int,
    refs: Mapping[TicketId, str],
    names: Mapping[str, str],
) -> list[Any]:
    """The links without the edges that are gone, and with those that are new."""
    gone = {names[id_] for id_ in was.blocked_by if id_ not in now.blocked_by}
    kept = [
        item
        for item in issue.get("dependencies") or []
        if not (isinstance(item, dict) and item.get("type") in BLOCKING and item.get("depends_on_id") in gone)
    ]
    fresh = [id_ for id_ in dict.fromkeys(now.blocked_by) if id_ not in was.blocked_by]
    return kept + list(_links(issue["id"], (refs[id_] for id_ in fresh), at_ms))


def _links(ref: str, blockers: Iterable[str], at_ms: int) -> Iterator[dict[str, Any]]:
    for blocker in blockers:
        yield {
            "issue_id": ref,
            "depends_on_id": blocker,
            "type": "blocks",
            "created_at": _time(at_ms),
            "created_by": BY,
        }


# ── lines that are new ──


def _new_line(ticket: Ticket, session: Session, refs: Mapping[TicketId, str]) -> dict[str, Any]:
    spec, ref = without_planners(session, ticket.spec), refs[ticket.id]
    ours = {key: _plain(spec, key) for key in EXTRA if key != "hold"}
    ours = {key: value for key, value in ours.items() if value != _plain(TicketSpec(id=spec.id, title="x"), key)}
    ours = ours if any(_needs_us(key, value) for key, value in ours.items()) else {}
    status = _status({"id": ref, "status": "open"}, ticket)
    if ticket.status is TicketStatus.ON_HOLD:
        status = {"status": "deferred"}
        ours["hold"] = ticket.reason or "on hold"
    line = {
        "id": ref,
        "title": spec.title,
        "description": spec.description,
        "acceptance_criteria": _listed(spec.acceptance),
        "status": "open",
        "priority": spec.priority,
        "issue_type": "task",
        "estimated_minutes": None if spec.estimate_s is None else max(1, round(spec.estimate_s / 60)),
        "created_at": _time(session.started_ms),
        "created_by": BY,
        "updated_at": _time(ticket.changed_ms),
        "due_at": spec.deadline.isoformat() if spec.deadline else None,
        "labels": list(spec.labels),
        "dependencies": list(_links(ref, (refs[id_] for id_ in dict.fromkeys(spec.blocked_by)), ticket.changed_ms)),
        "metadata": {"codeswarm": ours} if ours else None,
        **status,
    }
    return {key: value for key, value in line.items() if value not in (None, "", [])}


# ── values ──


def _plain(spec: TicketSpec, key: str) -> Any:
    return spec.model_dump(mode="json", include={key})[key]


def _needs_us(key: str, value: Any) -> bool:
    """Whether a key has no place in an issue, or not for this value."""
    if key == "acceptance":
        return any("\n" in sentence for sentence in value)
    if key == "estimate_s":
        return value is not None and value % 60 != 0
    return True


def _listed(sentences: Sequence[str]) -> str:
    return "\n".join(f"- {sentence}" for sentence in sentences)


def _time(at_ms: int) -> str:
    return datetime.fromtimestamp(at_ms / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
