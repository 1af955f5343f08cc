"""What must be closed before a session is over."""

from __future__ import annotations

from codeswarm.domain import events as ev
from codeswarm.domain.ids import ApprovalId, GateId
from codeswarm.domain.session import Session


def loose_ends(session: Session, reason: str, *, but: ApprovalId | GateId | None = None) -> list[ev.Event]:
    """Open gates abandoned and open approvals voided, except the one whose own end is the cause."""
    gates = [ev.GateAbandoned(gate=id_, reason=reason) for id_ in session.gates if id_ != but]
    approvals = [ev.ApprovalVoided(approval=id_, reason=reason) for id_ in session.open_approvals if id_ != but]
    return [*gates, *approvals]
