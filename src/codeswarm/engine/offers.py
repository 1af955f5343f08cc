"""A lease becomes an offer: everything that its holder needs to begin, in one answer."""

from __future__ import annotations

from pathlib import Path

from codeswarm.config import Config
from codeswarm.domain.ids import GateId, SessionId, TicketId, is_gate, lease_id
from codeswarm.domain.pipeline import Role
from codeswarm.domain.session import Session, Ticket
from codeswarm.domain.states import AttemptStatus
from codeswarm.engine.leases import Leased
from codeswarm.git.store import Store
from codeswarm.protocol import GateOrder, Offer, WorkspaceOrder

_UNFINISHED = frozenset({AttemptStatus.LOST, AttemptStatus.CANCELLED})


class Offers:
    def __init__(self, store: Store, repository: Path | None) -> None:
        self._store = store
        self._repository = repository
        self._orders: dict[SessionId, WorkspaceOrder] = {}

    def set_order(self, session: SessionId, order: WorkspaceOrder) -> None:
        """How workspaces of a session are set up."""
        self._orders[session] = order

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
            "silence_timeout_s": leasing.silence_timeout_s,
            "workspace": self._orders[leased.session],
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
            conversation=_conversation(ticket, attempt.agent),
            earlier_epochs=tuple(a.epoch for a in ticket.attempts.values() if a.status in _UNFINISHED),
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


def _conversation(ticket: Ticket, agent: str) -> str:
    """That of the interrupted attempt, where the same agent is to go on."""
    if ticket.conversation_epoch is None:
        return ""
    before = ticket.attempts[ticket.conversation_epoch]
    return before.conversation if before.agent == agent else ""


def workspace_order(
    config: Config, store: Store, repository: Path | None, included: tuple[str, ...], sandbox: str
) -> WorkspaceOrder:
    """How workspaces are set up, as configured."""
    workspace = config.workspace
    return WorkspaceOrder(
        repository=str(repository or ""),
        objects=str(store.objects),
        setup=workspace.setup,
        setup_inputs=tuple(workspace.setup_inputs),
        setup_network=bool(workspace.setup_network),
        setup_timeout_s=workspace.setup_timeout_s,
        copies=tuple(dict.fromkeys((*workspace.copy_, *included))),
        ports=tuple(workspace.ports),
        max_file_bytes=workspace.max_file_mib << 20,
        max_ignored_bytes=workspace.max_ignored_mib << 20,
        sandbox=sandbox,
        agent_network=bool(config.sandbox.network),
        visible=tuple(config.sandbox.read),
    )
