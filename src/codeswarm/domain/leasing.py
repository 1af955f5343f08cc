"""Leases: who may work on what, and how a lease ends without a result.

At most one live lease per ticket and gate; a lease is named by its epoch, and a word with another epoch than the
live one changes nothing.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice

from codeswarm.domain import budget, cascade, commands as cmd, events as ev, resting
from codeswarm.domain.ids import GateId, Subject, TicketId, is_gate
from codeswarm.domain.pipeline import Role
from codeswarm.domain.planning.following import without
from codeswarm.domain.rejection import Rejection, known_names, stale, unknown, wrong_state
from codeswarm.domain.results import Report
from codeswarm.domain.retry import backoff_ms
from codeswarm.domain.scheduling import LOOK, may_overlap
from codeswarm.domain.session import Attempt, Gate, Session, Ticket
from codeswarm.domain.states import AttemptStatus, SessionStatus, SuspendReason, WaitReason

Decision = list[ev.Event] | Rejection

ALL_ROLES = frozenset(Role)
MOST_DENIED = 32
"""Of an attempt so many hosts are told that it may not reach; all are denied all the same."""


@dataclass(frozen=True, slots=True)
class WorkItem:
    """Something that may be claimed now."""

    subject: Subject
    role: Role
    requires: frozenset[str] = frozenset()


def work(session: Session, now_ms: int) -> Iterator[WorkItem]:
    """Everything that may be claimed now, best first: gates, then tickets by score."""
    for gate in claimable_gates(session, now_ms):
        yield WorkItem(gate.id, Role.VERIFIER)
    for id_ in claimable_tickets(session, now_ms, ALL_ROLES, None):
        ticket = session.tickets[id_]
        yield WorkItem(id_, ticket.phase.role, frozenset(ticket.spec.requires))


def claim(session: Session, command: cmd.Claim, now_ms: int) -> Decision:
    """Lease the best piece of work that this worker can do; an empty list where there is none."""
    if command.visits:
        return resting.lease(session, command, now_ms)
    if Role.VERIFIER in command.roles:
        for gate in claimable_gates(session, now_ms):
            return [ev.GateLeased(gate=gate.id, epoch=gate.epoch + 1, worker=command.worker)]
    return _claim_ticket(session, command, now_ms)


def claimable_gates(session: Session, now_ms: int) -> Iterator[Gate]:
    """Open gates that nobody runs. While suspended only those that a save waits for."""
    if session.status in (SessionStatus.FINALIZED, SessionStatus.CANCELLED):
        return
    for gate in session.gates.values():
        if session.status is SessionStatus.SUSPENDED and session.save is None:
            continue
        if gate.live_epoch is None and gate.not_before_ms <= now_ms:
            yield gate


def _claim_ticket(session: Session, command: cmd.Claim, now_ms: int) -> list[ev.Event]:
    if not session.ready and not session.without_agent:
        return []  # the common answer to whoever waits, before anything is looked at
    roles = _open_roles(session, command)
    waiting = cascade.standing(session, command) if session.parked else []
    skip: set[TicketId] = set()
    while True:
        best = claimable_tickets(session, now_ms, roles, command.labels)
        ticket = _finest(session, (id_ for id_ in best if id_ not in skip) if skip else best, command)
        if ticket is None:
            return waiting
        reservation = budget.reservation(session, ticket)
        if not budget.affordable(session, reservation, command.overdrawn):
            roles &= frozenset({Role.VERIFIER})  # no agent can be afforded; what starts none goes on
            continue
        if not budget.role_affordable(session, reservation, command.overdrawn):
            roles -= {reservation.role}
            continue
        if budget.ticket_affordable(session, ticket, reservation):
            return [*waiting, _lease(session, ticket, command, reservation)]
        waiting.append(
            ev.TicketWaiting(ticket=ticket.id, reason=WaitReason.BUDGET, detail=budget.spent_on(session, ticket))
        )
        skip.add(ticket.id)


def claimable_tickets(
    session: Session, now_ms: int, roles: frozenset[Role], labels: frozenset[str] | None
) -> Iterator[TicketId]:
    """Before a session is active, and once its target is reached, only planners' work may be claimed."""
    if session.status not in (SessionStatus.DRAFT, SessionStatus.ACTIVE) or not roles:
        return iter(())
    best = session.ready.best(now_ms, roles, labels)
    if session.status is SessionStatus.DRAFT or session.target_reached:
        return (id_ for id_ in best if id_ in session.plannings)
    return best


def _open_roles(session: Session, command: cmd.Claim) -> frozenset[Role]:
    """The worker's roles that tickets wait for, whose cap is not reached and one of whose agents it has."""
    return frozenset(
        [role for role in session.ready.roles() if role in command.roles and _open_to(session, role, command)]
    )


def _open_to(session: Session, role: Role, command: cmd.Claim) -> bool:
    cap = session.settings.role_caps.get(role)
    if cap is not None and sum(_agents_at(session, role)) >= cap:
        return False
    return role is Role.VERIFIER or cascade.has_agent(session, role, command)


def _agents_at(session: Session, role: Role) -> Iterator[bool]:
    """Which tickets in progress have an agent of this role; a person in its place takes nobody's."""
    for id_, busy in session.in_progress.items():
        live = session.tickets[id_].live
        yield busy is role and (live is None or live.rested is None)


def _finest(session: Session, best: Iterator[TicketId], command: cmd.Claim) -> Ticket | None:
    """Who has the right of way; then, among equals in priority: first those that touch no file which is being worked
    on, then those that this worker knows already (their HOME and conversation are there), then by score.
    """
    found: Ticket | None = None
    least = 0
    for id_ in islice(best, LOOK):
        ticket = session.tickets[id_]
        if found is None:
            if id_ in session.right_of_way:
                return ticket
        elif ticket.spec.priority != found.spec.priority:
            break  # and so has all that follows
        elif least == 1 and not session.ready.known:
            break  # nobody knows what follows either, and it can't touch less than nothing
        elif least == 1 and not ticket.epoch:
            continue
        overlaps = _overlaps(session, ticket)
        known = ticket.epoch > 0 and ticket.attempts[ticket.epoch].worker == command.worker
        rank = 2 * overlaps + (not known)
        if rank == 0:
            return ticket  # there is no better one
        if found is None or rank < least:
            found, least = ticket, rank
    return found


def _overlaps(session: Session, ticket: Ticket) -> int:
    """How many tickets in progress may touch its files."""
    files = ticket.spec.files
    return sum(may_overlap(files, session.tickets[id_].spec.files) for id_ in session.in_progress) if files else 0


def _lease(session: Session, ticket: Ticket, command: cmd.Claim, reservation: budget.Reservation) -> ev.AttemptLeased:
    agent, account = "", ""
    if ticket.phase.role is not Role.VERIFIER and (chosen := cascade.choice(session, ticket, command)):
        agent, account = chosen
    return ev.AttemptLeased(
        ticket=ticket.id,
        epoch=ticket.epoch + 1,
        phase=ticket.phase.name,
        attempt=ticket.tries.get(ticket.phase.name, 0) + 1,
        worker=command.worker,
        agent=agent,
        account=account,
        base=session.tip,
        reserved_usd=reservation.usd,
        reserved_tokens=reservation.tokens,
    )


# ── words of a lease's holder ────────────────────────────────────────────────────────────────────────────────


def holder(session: Session, ticket_id: TicketId, epoch: int) -> tuple[Ticket, Attempt] | Rejection:
    """The ticket and its live attempt, if `epoch` is the live one."""
    ticket = session.tickets.get(ticket_id)
    if ticket is None:
        return unknown(
            f"there is no ticket {ticket_id!r} in session {session.id}",
            f"codeswarm ticket list {session.id}",
            known_names(ticket_id, session.tickets),
        )
    attempt = ticket.attempts.get(epoch)
    if attempt is None:
        return unknown(f"ticket {ticket_id} never had an epoch {epoch}", _work(session, ticket_id), _last(ticket))
    if ticket.live_epoch != epoch:
        what = f"epoch {epoch} of ticket {ticket_id} is over ({attempt.status}); the last one is {ticket.epoch}"
        return stale(what, _work(session, ticket_id), _OVER)
    return ticket, attempt


_OVER = "the lease ran out or was taken back: what comes later is kept, and changes nothing"


def _work(session: Session, ticket: TicketId) -> str:
    return f"codeswarm work {session.id}/{ticket}"


def _last(ticket: Ticket) -> str:
    return f"its last one is {ticket.epoch}" if ticket.epoch else "nobody has begun it"


def no_attempt(session: Session, ticket_id: TicketId, epoch: int) -> Rejection:
    ticket = session.tickets.get(ticket_id)
    what = f"there is no attempt {ticket_id}:{epoch} in session {session.id}"
    if ticket is None:
        return unknown(what, f"codeswarm ticket list {session.id}", known_names(ticket_id, session.tickets))
    return unknown(what, _work(session, ticket_id), _last(ticket))


def gate_holder(session: Session, gate_id: GateId, epoch: int) -> Gate | Rejection:
    gate = session.gates.get(gate_id)
    if gate is None:
        what = f"gate {gate_id} of session {session.id} is not open any more"
        return stale(what, f"codeswarm timeline {session.id}", "it has an outcome already, or nobody needs one")
    if gate.live_epoch != epoch:
        what = f"epoch {epoch} of gate {gate_id} is over; the last one is {gate.epoch}"
        return stale(what, f"codeswarm timeline {session.id}", _OVER)
    return gate


def prepare(session: Session, command: cmd.PrepareAttempt, now_ms: int) -> Decision:
    held = holder(session, command.ticket, command.epoch)
    if isinstance(held, Rejection):
        return held
    ticket, attempt = held
    if attempt.start is not None:
        what = f"attempt {command.ticket}:{command.epoch} is prepared already"
        return wrong_state(what, _work(session, command.ticket), "an attempt begins at one commit")
    if command.conflicts and not ticket.phase.writes:
        what = f"phase {ticket.phase.name} writes nothing and can't be given conflicts to resolve"
        return wrong_state(what, _work(session, command.ticket), "only a phase that writes can resolve them")
    return [
        ev.AttemptPrepared(ticket=command.ticket, epoch=command.epoch, start=command.start, conflicts=command.conflicts)
    ]


def start(session: Session, command: cmd.StartAttempt, now_ms: int) -> Decision:
    held = holder(session, command.ticket, command.epoch)
    if isinstance(held, Rejection):
        return held
    _, attempt = held
    if attempt.status is not AttemptStatus.LEASED:
        return []
    if attempt.start is None:
        what = f"attempt {command.ticket}:{command.epoch} has no commit to begin with yet"
        return wrong_state(what, _work(session, command.ticket), "it is prepared before it starts")
    return [
        ev.AttemptStarted(
            ticket=command.ticket,
            epoch=command.epoch,
            sandbox=command.sandbox,
            conversation=command.conversation,
            resumed=command.resumed,
            lacks=command.lacks,
            told=command.told,
        )
    ]


def name_conversation(session: Session, command: cmd.NameConversation, now_ms: int) -> Decision:
    held = holder(session, command.ticket, command.epoch)
    if isinstance(held, Rejection):
        return held
    _, attempt = held
    if attempt.status is not AttemptStatus.RUNNING:
        what = f"attempt {command.ticket}:{command.epoch} is {attempt.status}, not running"
        return wrong_state(what, _work(session, command.ticket), "only an agent that runs has a conversation")
    if attempt.conversation == command.conversation:
        return []
    named = ev.ConversationNamed(ticket=command.ticket, epoch=command.epoch, conversation=command.conversation)
    return [named]


def begin_gating(session: Session, command: cmd.BeginGating, now_ms: int) -> Decision:
    held = holder(session, command.ticket, command.epoch)
    if isinstance(held, Rejection):
        return held
    _, attempt = held
    if attempt.status is AttemptStatus.GATING:
        return []
    if attempt.status is not AttemptStatus.RUNNING:
        what = f"attempt {command.ticket}:{command.epoch} is {attempt.status}, not running"
        return wrong_state(what, _work(session, command.ticket), "a gate judges what an agent has done")
    return [ev.AttemptGating(ticket=command.ticket, epoch=command.epoch, commit=command.commit)]


def record_snapshot(session: Session, command: cmd.RecordSnapshot, now_ms: int) -> Decision:
    held = holder(session, command.ticket, command.epoch)
    if isinstance(held, Rejection):
        return held
    return [
        ev.SnapshotTaken(
            ticket=command.ticket,
            epoch=command.epoch,
            commit=command.commit,
            files=command.files,
            left_out=command.left_out,
        )
    ]


def report_denied(session: Session, command: cmd.ReportDenied, now_ms: int) -> Decision:
    held = holder(session, command.ticket, command.epoch)
    if isinstance(held, Rejection):
        return held
    _, attempt = held
    if command.host in attempt.denied or len(attempt.denied) >= MOST_DENIED:
        return []
    return [
        ev.HostDenied(
            ticket=command.ticket,
            epoch=command.epoch,
            host=command.host,
            reason=command.why,
            next_step=command.hint,
        )
    ]


def record_salvage(session: Session, command: cmd.RecordSalvage, now_ms: int) -> Decision:
    ticket = session.tickets.get(command.ticket)
    attempt = ticket.attempts.get(command.epoch) if ticket else None
    if ticket is None or attempt is None:
        return no_attempt(session, command.ticket, command.epoch)
    if ticket.live_epoch == command.epoch:
        what = f"attempt {command.ticket}:{command.epoch} is alive; its own worker snapshots it"
        return wrong_state(what, _work(session, command.ticket), "only what a worker left behind is salvaged")
    if attempt.snapshot == command.commit:
        return []
    return [
        ev.WorkSalvaged(
            ticket=command.ticket,
            epoch=command.epoch,
            commit=command.commit,
            files=command.files,
            left_out=command.left_out,
        )
    ]


def record_commits(session: Session, command: cmd.RecordCommits, now_ms: int) -> Decision:
    ticket = session.tickets.get(command.ticket)
    if ticket is None or command.epoch not in ticket.attempts:
        return no_attempt(session, command.ticket, command.epoch)
    return [ev.CommitsKept(ticket=command.ticket, epoch=command.epoch, refs=command.refs)]


# ── ends without a result ────────────────────────────────────────────────────────────────────────────────────


def lose(session: Session, command: cmd.LoseLease, now_ms: int) -> Decision:
    if is_gate(command.subject):
        gate = gate_holder(session, GateId(command.subject), command.epoch)
        return gate if isinstance(gate, Rejection) else gate_interrupted(session, gate, command.reason, now_ms)
    held = holder(session, TicketId(command.subject), command.epoch)
    if isinstance(held, Rejection):
        return held
    ticket, attempt = held
    retry_ms = _retry_ms(session, ticket, attempt, now_ms)
    lost = ev.AttemptLost(
        ticket=ticket.id, epoch=attempt.epoch, reason=command.reason, retry_at_ms=retry_ms, usage=command.usage
    )
    return [lost, *_afterwards(session, ticket, attempt, Report(), command.reason, now_ms)]


def release(session: Session, command: cmd.ReleaseLease, now_ms: int) -> Decision:
    if is_gate(command.subject):
        gate = gate_holder(session, GateId(command.subject), command.epoch)
        return gate if isinstance(gate, Rejection) else gate_interrupted(session, gate, command.reason, now_ms, 0)
    held = holder(session, TicketId(command.subject), command.epoch)
    if isinstance(held, Rejection):
        return held
    ticket, attempt = held
    ended = cancelled(ticket, attempt, command.reason, now_ms, command)
    return [ended, *_afterwards(session, ticket, attempt, command.report, command.reason, now_ms)]


def _afterwards(
    session: Session, ticket: Ticket, attempt: Attempt, report: Report, reason: str, now_ms: int
) -> list[ev.Event]:
    """What follows the end of an attempt that came to no result."""
    if attempt.rested is None:
        return interruption_bound(session, ticket, reason)
    return [] if resting.handed_back(attempt, report) else resting.rest_again(session, ticket, attempt, now_ms)


def cancelled(
    ticket: Ticket, attempt: Attempt, reason: str, now_ms: int, command: cmd.ReleaseLease | None = None
) -> ev.AttemptCancelled:
    """A live attempt ended on request; its ticket is ready again at once."""
    event = ev.AttemptCancelled(ticket=ticket.id, epoch=attempt.epoch, reason=reason, retry_at_ms=now_ms)
    return event if command is None else event.model_copy(update={"report": command.report})


def all_cancelled(session: Session, reason: str, now_ms: int) -> list[ev.Event]:
    """Every live attempt ended."""
    live = [session.tickets[id_] for id_ in session.in_progress]
    return [cancelled(ticket, ticket.live, reason, now_ms) for ticket in live if ticket.live is not None]


def interruption_bound(session: Session, ticket: Ticket, reason: str) -> list[ev.Event]:
    """Interruptions are nobody's fault, but a ticket that only ever gets interrupted goes on hold."""
    bound = session.settings.bounds.max_interruptions
    if ticket.interruptions + 1 < bound:
        return []
    why = f"interrupted {bound} times in phase {ticket.phase.name}; the last time: {reason}"
    return without(ticket, why) or [ev.TicketHeld(ticket=ticket.id, reason=why, by="policy")]


def gate_interrupted(
    session: Session, gate: Gate, reason: str, now_ms: int, delay_ms: int | None = None
) -> list[ev.Event]:
    """A gate that could not be run to its end runs again later; past the bound a person must look."""
    bounds = session.settings.bounds
    tries = gate.interruptions + 1
    if delay_ms is None:
        delay_ms = backoff_ms(bounds, session.settings.seed, gate.id, gate.epoch, tries)
    lost = ev.GateLost(gate=gate.id, epoch=gate.epoch, reason=reason, retry_at_ms=now_ms + delay_ms)
    if tries < bounds.max_interruptions:
        return [lost]
    detail = f"the {gate.purpose} gate could not be run {tries} times; the last time: {reason}"
    return [lost, *_given_up(session, gate, detail)]


def _given_up(session: Session, gate: Gate, detail: str) -> list[ev.Event]:
    """A save that waits for a gate which can't be run is refused; anything else waits for a person."""
    suspended: list[ev.Event] = []
    if session.status is not SessionStatus.SUSPENDED:
        suspended = [ev.SessionSuspended(reason=SuspendReason.GATE_UNAVAILABLE, detail=detail)]
    if session.save is None:
        return suspended
    refused = ev.SaveRefused(reason="gate_unavailable", detail=detail)
    if gate.purpose == "full":
        return [ev.GateAbandoned(gate=gate.id, reason=detail), refused]
    return [refused, *suspended]


def _retry_ms(session: Session, ticket: Ticket, attempt: Attempt, now_ms: int) -> int:
    """A first loss is tried again at once: mostly a worker died, and another one is free."""
    if ticket.interruptions == 0:
        return now_ms
    bounds, seed = session.settings.bounds, session.settings.seed
    return now_ms + backoff_ms(bounds, seed, ticket.id, attempt.epoch, ticket.interruptions)
