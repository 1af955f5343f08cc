"""The plan as a graph that grows and changes: what tickets wait for, their waves, and the roads behind them.

A change costs what lies behind and before the tickets that it touches, never the whole plan.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

from codeswarm.domain import dag
from codeswarm.domain.evolving.moves import enqueue
from codeswarm.domain.ids import TicketId
from codeswarm.domain.pipeline import Phase, Pipeline, Role
from codeswarm.domain.session import Session, Ticket
from codeswarm.domain.states import TicketStatus
from codeswarm.domain.ticket import ContractKind, TicketSpec


def enter(session: Session, specs: Sequence[TicketSpec], at_ms: int) -> None:
    """New tickets, which may wait for each other and for those that are there. What landed already blocks nobody."""
    for spec in specs:
        session.tickets[spec.id] = _ticket(session, spec, len(session.tickets), at_ms)
        session.dependents[spec.id] = []
    waits = _Waits(session)
    for spec in specs:
        for blocker in waits[spec.id]:
            session.dependents[blocker].append(spec.id)
        _count_open(session, spec.id, waits)
    _renew(session, [spec.id for spec in specs], waits=waits)
    for spec in specs:
        _enqueue(session, session.tickets[spec.id])


def put_before(session: Session, ticket: Ticket, behind: Sequence[TicketId]) -> None:
    """A ticket that was not there, before others: it waits for all that they wait for, and they wait for it."""
    before = dict.fromkeys(blocker for id_ in behind for blocker in blockers(session, id_))
    ticket.spec = ticket.spec.model_copy(update={"blocked_by": tuple(before)})
    session.tickets[ticket.id] = ticket
    session.dependents[ticket.id] = list(behind)
    for blocker in before:
        session.dependents[blocker].append(ticket.id)
    for id_ in behind:
        follower = session.tickets[id_]
        session.ready.discard(id_)
        follower.spec = follower.spec.model_copy(update={"blocked_by": (*follower.spec.blocked_by, ticket.id)})
    waits = _Waits(session)
    for id_ in (ticket.id, *behind):
        _count_open(session, id_, waits)
    _renew(session, [ticket.id], waits=waits)
    enqueue(session, ticket)


def rewrite(session: Session, spec: TicketSpec, at_ms: int) -> None:
    """Other words or other edges for a ticket that is there; in the queue it stands where it belongs now."""
    ticket = session.tickets[spec.id]
    was_pending = ticket.open_blockers > 0
    before = list(blockers(session, spec.id))
    if (spec.pipeline, spec.contract) != (ticket.spec.pipeline, ticket.spec.contract):
        ticket.phases = _phases(session, spec)
    ticket.spec, ticket.changed_ms = spec, at_ms
    session.ready.discard(spec.id)
    _relink(session, spec.id, before)
    waits = _Waits(session)
    _count_open(session, spec.id, waits)
    _renew(session, [spec.id], before, waits=waits)
    if was_pending and not ticket.open_blockers:
        ticket.ready_ms = at_ms
    _enqueue(session, ticket)


def _relink(session: Session, id_: TicketId, before: Sequence[TicketId]) -> None:
    after = blockers(session, id_)
    for blocker in before:
        if blocker not in after:
            session.dependents[blocker].remove(id_)
    for blocker in after:
        if blocker not in before:
            session.dependents[blocker].append(id_)


def behind(session: Session, id_: TicketId) -> Iterable[TicketId]:
    """A ticket and all that wait for it, at once or through others."""
    return _reach([id_], session.dependents.__getitem__)


def _ticket(session: Session, spec: TicketSpec, place: int, at_ms: int) -> Ticket:
    ticket = Ticket(spec, place, wave=0, phases=_phases(session, spec), ready_ms=at_ms, changed_ms=at_ms)
    if spec.hold:
        ticket.status, ticket.reason = TicketStatus.ON_HOLD, spec.hold
    return ticket


def _enqueue(session: Session, ticket: Ticket) -> None:
    if ticket.status is TicketStatus.READY:
        enqueue(session, ticket)


def blockers(session: Session, id_: TicketId) -> Mapping[TicketId, None]:
    """What a ticket waits for, each named once."""
    return dict.fromkeys(session.tickets[id_].spec.blocked_by)


class _Waits(dict[TicketId, Mapping[TicketId, None]]):
    """Ticket → what it waits for, as long as nobody changes that; each is looked at once."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def __missing__(self, id_: TicketId) -> Mapping[TicketId, None]:
        self[id_] = found = blockers(self._session, id_)
        return found


def _count_open(session: Session, id_: TicketId, waits: _Waits) -> None:
    still = [blocker for blocker in waits[id_] if session.tickets[blocker].status is not TicketStatus.COMPLETE]
    session.tickets[id_].open_blockers = len(still)


def _renew(session: Session, changed: Sequence[TicketId], before: Sequence[TicketId] = (), *, waits: _Waits) -> None:
    """The waves of the changed tickets and of all that wait for them; the roads of them and of all they wait for.

    `before`: what they waited for until now.
    """
    tickets = session.tickets
    behind = _reach(changed, session.dependents.__getitem__)
    ahead = _reach([*changed, *before], waits.__getitem__)
    onward = _in_order(waits, behind)
    for id_ in onward:
        tickets[id_].wave = 1 + max([tickets[blocker].wave for blocker in waits[id_]], default=-1)
    back = onward if ahead.keys() == behind.keys() else _in_order(waits, ahead)
    for id_ in reversed(back):
        _renew_road(session, session.tickets[id_])


def _renew_road(session: Session, ticket: Ticket) -> None:
    behind = [session.tickets[dependent].road_s for dependent in session.dependents[ticket.id]]
    road_s = (ticket.spec.estimate_s or session.settings.default_estimate_s) + max(behind, default=0.0)
    if road_s == ticket.road_s:
        return
    ticket.road_s = road_s
    if ticket.id in session.ready:
        # Its key in the queue is made of the road.
        session.ready.discard(ticket.id)
        enqueue(session, ticket)


def _reach(start: Iterable[TicketId], beyond: Callable[[TicketId], Iterable[TicketId]]) -> dict[TicketId, None]:
    """`start` and all that can be reached from there."""
    found = dict.fromkeys(start)
    open_ = list(found)
    while open_:
        for id_ in beyond(open_.pop()):
            if id_ not in found:
                found[id_] = None
                open_.append(id_)
    return found


def _in_order(waits: _Waits, among: dict[TicketId, None]) -> list[TicketId]:
    return dag.in_order({id_: [blocker for blocker in waits[id_] if blocker in among] for id_ in among})


def _phases(session: Session, spec: TicketSpec) -> tuple[Phase, ...]:
    pipeline: Pipeline = session.settings.pipelines[spec.pipeline or session.settings.default_pipeline]
    if spec.contract is not ContractKind.NONE:
        return pipeline.phases
    return tuple(phase for phase in pipeline.phases if phase.role is not Role.TEST_WRITER)
