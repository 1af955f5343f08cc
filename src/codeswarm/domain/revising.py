"""What may be changed in a plan that is being built: tickets edited, split, linked.

An attempt that runs goes on with what it began with; it can neither be made to wait in its middle nor be judged by
other rules than those it was told. So such changes are refused while it runs, and all others count from the next
attempt on.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

from codeswarm.domain import commands as cmd, events as ev
from codeswarm.domain.adding import dead_blockers, refused
from codeswarm.domain.dag import find_cycle
from codeswarm.domain.ids import TicketId
from codeswarm.domain.plan import Problem, Standing, graph_problems, nearest, problems_of, read_ticket
from codeswarm.domain.planning.steps import standing, without_planners
from codeswarm.domain.rejection import Rejection, invalid, wrong_state
from codeswarm.domain.session import Session, Ticket
from codeswarm.domain.states import TicketStatus, WaitReason
from codeswarm.domain.ticket import TicketSpec
from codeswarm.domain.tickets import find, interrupt, way_on

Decision = list[ev.Event] | Rejection

KEPT_KEYS = ("id", "hold", "origin")
"""Never edited: hold and release have verbs of their own."""
OWN_KEYS = ("id", "title", "description", "acceptance", "estimate_s", "hold", "origin")
"""What a part of a split ticket does not have from it."""
BLOCKS = "blocks"
"""Of a part alone: who of those that waited for the whole waits for this part. Who is named by none waits for all."""
OVER = (TicketStatus.COMPLETE, TicketStatus.CANCELLED)


def _find(session: Session, id_: TicketId) -> Ticket | Rejection:
    ticket = find(session, id_)
    if isinstance(ticket, Ticket) and ticket.planning is not None:
        return wrong_state(
            f"{id_} is a planner's work, no ticket of the plan",
            f"codeswarm ticket cancel {session.id}/{id_}",
            "only tickets of the plan are edited",
        )
    return ticket


# ── edit ──


def edit(session: Session, command: cmd.EditTicket, now_ms: int) -> Decision:
    ticket = _find(session, command.ticket)
    if isinstance(ticket, Rejection):
        return ticket
    fixed = [key for key in command.changes if key in KEPT_KEYS]
    if fixed:
        return invalid(
            f"{fixed[0]!r} of a ticket can't be edited",
            f"codeswarm ticket edit {session.id}/{ticket.id}",
            "commits and other tickets name it; hold and release are verbs of their own",
        )
    data = {**ticket.spec.model_dump(mode="json", exclude_none=True), **command.changes}
    spec, problems = read_ticket(0, data, session.settings.pipelines)
    if spec is None or problems:
        return refused(session, problems, "codeswarm ticket edit --help   # what each option takes")
    changed = tuple(key for key in TicketSpec.model_fields if getattr(spec, key) != getattr(ticket.spec, key))
    if not changed:
        return []
    return (
        _blocked(session, ticket, spec.blocked_by)
        or _too_late(session, ticket, changed)
        or [ev.TicketEdited(ticket=ticket.id, spec=spec, changed=changed, by=command.by)]
    )


def _too_late(session: Session, ticket: Ticket, changed: Sequence[str]) -> Rejection | None:
    """Why these keys can't be changed any more."""
    if ticket.status in OVER:
        return wrong_state(
            f"ticket {ticket.id} is {ticket.status}", way_on(session, ticket), "nobody would read the change"
        )
    if ticket.done_with_phases and set(changed) != {"labels"}:
        what = f"the work on ticket {ticket.id} is done and about to land"
        return wrong_state(
            what,
            f"codeswarm ticket add --session {session.id} --blocked-by {ticket.id} --title …",
            "nobody would read the change",
        )
    if ticket.epoch and (phases := {"pipeline", "contract"} & set(changed)):
        what = f"ticket {ticket.id} has been begun"
        return wrong_state(
            what,
            f"codeswarm ticket split {session.id}/{ticket.id} --into FILE",
            f"its {min(phases)} can't be changed any more",
        )
    if ticket.live is not None and "gate" in changed:
        what = f"ticket {ticket.id} is being worked on"
        return wrong_state(
            what,
            f"codeswarm ticket hold {session.id}/{ticket.id}",
            "the attempt is judged by the gate that it began with",
        )
    return None


# ── link, unlink ──


def link(session: Session, command: cmd.LinkTicket, now_ms: int) -> Decision:
    ticket = _find(session, command.ticket)
    if isinstance(ticket, Rejection):
        return ticket
    after = tuple(map(TicketId, dict.fromkeys((*ticket.spec.blocked_by, *command.blocked_by))))
    if set(after) == set(ticket.spec.blocked_by):
        return []
    return _blocked(session, ticket, after) or [ev.BlockersChanged(ticket=ticket.id, blocked_by=after, by=command.by)]


def unlink(session: Session, command: cmd.UnlinkTicket, now_ms: int) -> Decision:
    ticket = _find(session, command.ticket)
    if isinstance(ticket, Rejection):
        return ticket
    if ticket.status in OVER:
        return wrong_state(f"ticket {ticket.id} is {ticket.status}", way_on(session, ticket), "it waits for nothing")
    strange = [id_ for id_ in command.blocked_by if id_ not in ticket.spec.blocked_by]
    if strange:
        return invalid(
            f"ticket {ticket.id} does not wait for {strange[0]!r}",
            f"codeswarm ticket show {session.id}/{ticket.id}",
            f"it waits for {', '.join(ticket.spec.blocked_by) or 'nothing'}",
        )
    after = tuple(id_ for id_ in ticket.spec.blocked_by if id_ not in command.blocked_by)
    return [ev.BlockersChanged(ticket=ticket.id, blocked_by=after, by=command.by)]


def _blocked(session: Session, ticket: Ticket, after: Sequence[TicketId]) -> Rejection | None:
    """Why a ticket can't wait for `after` from here on."""
    fresh = [id_ for id_ in dict.fromkeys(after) if id_ not in ticket.spec.blocked_by]
    if not fresh:
        return None
    others = {id_: blockers for id_, blockers in standing(session).items() if id_ != ticket.id}
    problems = graph_problems([(ticket.id, after)], others)
    problems += dead_blockers(session, ticket.spec.model_copy(update={"blocked_by": tuple(fresh)}))
    if problems:
        return refused(session, problems, _other_blockers(session, ticket, after, others))
    if ticket.status in OVER:
        return wrong_state(f"ticket {ticket.id} is {ticket.status}", way_on(session, ticket), "it can't wait any more")
    if all(session.tickets[id_].status is TicketStatus.COMPLETE for id_ in fresh) or _can_wait(ticket):
        return None
    if ticket.done_with_phases:
        what = f"the work on ticket {ticket.id} is done and about to land"
        return wrong_state(
            what, f"codeswarm ticket cancel {session.id}/{ticket.id}", f"it can't wait for {fresh[0]} any more"
        )
    what = f"ticket {ticket.id} is being worked on"
    return wrong_state(
        what, f"codeswarm ticket hold {session.id}/{ticket.id}", f"an attempt can't wait for {fresh[0]} in its middle"
    )


def _other_blockers(session: Session, ticket: Ticket, after: Sequence[TicketId], others: Standing) -> str:
    """What to type where a ticket can't wait for `after`: what was meant, or what makes room for it."""
    known = {**others, ticket.id: after}
    meant = [id_ if id_ in known else nearest(id_, others) for id_ in after if id_ not in ticket.spec.blocked_by]
    if None not in meant and not {*after} <= {*known}:
        return " ".join(f"--blocked-by {id_}" for id_ in meant)
    cycle = find_cycle({id_: [other for other in blockers if other in known] for id_, blockers in known.items()})
    for one, other in pairwise(cycle or ()):
        if one != ticket.id:
            return f"codeswarm ticket unlink {session.id}/{one} --blocked-by {other}   # then the same again"
    if cycle:
        return f"codeswarm ticket show {session.id}/{ticket.id}   # a ticket can't wait for itself: name another one"
    return f"codeswarm ticket list {session.id}   # the tickets that there are; then the same again with one of them"


def _can_wait(ticket: Ticket) -> bool:
    rests = ticket.status in (TicketStatus.READY, TicketStatus.ON_HOLD, TicketStatus.FAILED)
    waits = ticket.status is TicketStatus.WAITING and ticket.waiting in (WaitReason.BUDGET, WaitReason.QUOTA)
    return (rests or waits) and not ticket.done_with_phases


# ── split ──


def split(session: Session, command: cmd.SplitTicket, now_ms: int) -> Decision:
    """The parts come in, what waited for the ticket waits for them instead, and the ticket is cancelled."""
    ticket = _find(session, command.ticket)
    if isinstance(ticket, Rejection):
        return ticket
    if ticket.status in OVER:
        return wrong_state(
            f"ticket {ticket.id} is {ticket.status}", way_on(session, ticket), "it can't be split any more"
        )
    rows = tuple({key: value for key, value in row.items() if key != BLOCKS} for row in command.parts)
    waiting = _waiting(session, ticket, command.parts)
    if isinstance(waiting, Rejection):
        return waiting
    parts = _parts(session, ticket, rows, waiting)
    if isinstance(parts, Rejection):
        return parts
    ids = tuple(part.id for part in parts)
    reason = f"split into {', '.join(ids)}"
    return [
        ev.TicketsAdded(tickets=parts, by=command.by),
        *(
            ev.BlockersChanged(
                ticket=id_, blocked_by=_instead(session, id_, ticket.id, waiting.get(id_, ids)), by=command.by
            )
            for id_ in session.dependents[ticket.id]
            if session.tickets[id_].status not in OVER
        ),
        *interrupt(session, ticket, reason, now_ms),
        ev.TicketCancelled(ticket=ticket.id, by=command.by, reason=reason),
    ]


def _waiting(
    session: Session, ticket: Ticket, rows: Sequence[dict[str, Any]]
) -> dict[TicketId, tuple[TicketId, ...]] | Rejection:
    """Who waited for the whole, and now waits only for the parts that say so in `blocks`: id → those parts."""
    found: dict[TicketId, tuple[TicketId, ...]] = {}
    problems = []
    for row in rows:
        named, id_ = row.get(BLOCKS, []), row.get("id", "")
        where = f"ticket {id_!r}.{BLOCKS}"
        if not isinstance(named, list) or not all(isinstance(name, str) for name in named):
            problems.append(Problem(where=where, what="must be a list of ids"))
            continue
        strange = [name for name in named if name not in session.dependents[ticket.id]]
        what = f"does not wait for {ticket.id!r}"
        problems += [Problem(where=where, what=f"names {name!r}, which {what}") for name in strange]
        found |= {TicketId(name): (*found.get(TicketId(name), ()), TicketId(str(id_))) for name in dict.fromkeys(named)}
    shown = f"codeswarm ticket show {session.id}/{ticket.id}   # who waits for it"
    return refused(session, problems, shown) if problems else found


def _parts(
    session: Session,
    ticket: Ticket,
    rows: Sequence[dict[str, Any]],
    waiting: Mapping[TicketId, tuple[TicketId, ...]],
) -> tuple[TicketSpec, ...] | Rejection:
    if not rows:
        return invalid(
            "a ticket is split into at least one other",
            f"codeswarm ticket split {session.id}/{ticket.id} --into FILE",
            "none was named",
        )
    whole = without_planners(session, ticket.spec).model_dump(mode="json", exclude_none=True)
    inherited = {key: value for key, value in whole.items() if key not in OWN_KEYS}
    read = [read_ticket(i, {**inherited, **row}, session.settings.pipelines) for i, row in enumerate(rows)]
    problems = [problem for _, wrong in read for problem in wrong]
    parts = tuple(spec for spec, _ in read if spec is not None)
    ids = tuple(part.id for part in parts)
    if ticket.id in ids:
        problems.append(
            Problem(where=f"ticket {ticket.id!r}", what="is the ticket that is split: a part needs its own id")
        )
    others = {
        id_: _instead(session, id_, ticket.id, waiting.get(id_, ids)) for id_ in session.tickets if id_ != ticket.id
    }
    problems += problems_of(parts, session.settings.pipelines, others)
    problems += [problem for part in parts for problem in dead_blockers(session, part)]
    return refused(session, problems) if problems else parts


def _instead(session: Session, id_: TicketId, gone: TicketId, ids: Sequence[TicketId]) -> tuple[TicketId, ...]:
    """What a ticket waits for, with `ids` in the place of `gone`."""
    blockers = session.tickets[id_].spec.blocked_by
    return tuple(dict.fromkeys(new for old in blockers for new in (ids if old == gone else (old,))))
