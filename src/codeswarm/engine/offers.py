"""A lease becomes an offer: everything that its holder needs to begin, in one answer."""

from __future__ import annotations

from pathlib import Path

from codeswarm.domain.ids import GateId, TicketId, is_gate, lease_id
from codeswarm.domain.pipeline import Role
from codeswarm.domain.resting import left_off
from codeswarm.domain.results import FailureClass, Usage
from codeswarm.domain.session import Attempt, Session, Ticket
from codeswarm.domain.states import AttemptStatus
from codeswarm.engine.leases import Leased
from codeswarm.git.store import Store
from codeswarm.protocol import GateOrder, Offer, WorkspaceOrder

_UNFINISHED = frozenset({AttemptStatus.LOST, AttemptStatus.CANCELLED})


_CUT_OFF = frozenset({FailureClass.WORKER_ERROR, FailureClass.DISK_FULL})


def _left_something(attempt: Attempt) -> bool:
    """Whether an attempt's files may still lie where it ran, on their way home."""
    cut_off = attempt.failure is not None and attempt.failure.failure_class in _CUT_OFF
    return cut_off or attempt.status in _UNFINISHED


class Offers:
    def __init__(self, store: Store, repository: Path | None) -> None:
        self._store = store
        self._repository = repository

    def offer(self, session: Session, leased: Leased) -> Offer:
        leasing = session.settings.leasing
        common = {
            "id": lease_id(leased.session, leased.subject, leased.epoch),
            "session": leased.session,
            "subject": leased.subject,
            "epoch": leased.epoch,
            "ttl_s": leasing.lease_ttl_s,
            "heartbeat_s": leasing.heartbeat_s,
            "attempt_timeout_s": leasing.attempt_timeout_s,
            "patience": leasing.patience,
            "workspace": WorkspaceOrder(
                repository=str(self._repository or ""),
                objects=str(self._store.objects),
                settings=session.settings.workspace,
            ),
        }
        if is_gate(leased.subject):
            return Offer(**common, role=Role.VERIFIER, gate=self._gate(session, GateId(leased.subject)))
        ticket = session.tickets[TicketId(leased.subject)]
        attempt = ticket.attempts[leased.epoch]
        return Offer(
            **common,
            role=attempt.role,
            phase=attempt.phase,
            attempt=attempt.number,
            agent=attempt.agent,
            conversation=_conversation(ticket, attempt),
            used=_used(ticket, attempt),
            visitor=attempt.visitor if attempt.rested is not None else "",
            ask=session.settings.policy.asks,
            earlier_epochs=tuple(a.epoch for a in ticket.attempts.values() if _left_something(a)),
        )

    def _gate(self, session: Session, gate_id: GateId) -> GateOrder:
        gate = session.gates[gate_id]
        return GateOrder(
            purpose=gate.purpose,
            commit=gate.commit,
            tree=gate.tree,
            base=gate.base,
            commands=gate.commands,
            changed_files=self._store.changed_files(gate.base, gate.commit),
            ticket=gate.ticket or "",
        )


def _used(ticket: Ticket, attempt: Attempt) -> Usage:
    """What that conversation had used when it was last heard of: its figures go on from there."""
    earlier = _conversation(ticket, attempt)
    told = [a.usage for a in ticket.attempts.values() if earlier and a.conversation == earlier and a.usage != Usage()]
    return told[-1] if told else Usage()


def _conversation(ticket: Ticket, attempt: Attempt) -> str:
    """That of the interrupted attempt, where the same agent is to go on; a person goes on with the last one's."""
    if attempt.rested is not None:
        last = left_off(ticket, attempt.role, attempt.epoch)
        return "" if last is None else last.conversation
    if ticket.conversation_epoch is None:
        return ""
    before = ticket.attempts[ticket.conversation_epoch]
    return before.conversation if before.agent == attempt.agent else ""
