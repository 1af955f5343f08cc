"""The session, its plan, its saves, and what people say."""

from __future__ import annotations

from codeswarm.domain import events as ev
from codeswarm.domain.evolving import graph
from codeswarm.domain.evolving.moves import (
    count_restart,
    move,
    move_session,
    on,
    release_dependents,
    send_back,
)
from codeswarm.domain.ids import ApprovalId, call_name
from codeswarm.domain.pipeline import Role
from codeswarm.domain.planning.steps import first_steps, planning_ticket
from codeswarm.domain.session import Approval, Checkpoint, Feedback, Message, PlanState, Save, Session
from codeswarm.domain.settings import Caps
from codeswarm.domain.states import Purpose, SessionStatus, TicketStatus


@on(ev.SessionStarted)
def _session_started(session: Session, event: ev.SessionStarted, at_ms: int) -> None:
    session.id = event.session
    session.name = event.name
    session.goal = event.goal
    session.by = event.by
    session.base_branch = event.base_branch
    session.base = session.tip = event.base
    session.base_tree = session.tip_tree = event.base_tree
    session.settings = event.settings
    session.started_ms = at_ms
    session.to_be_started = event.draft


@on(ev.SessionActivated)
def _session_activated(session: Session, event: ev.SessionActivated, at_ms: int) -> None:
    move_session(session, SessionStatus.ACTIVE)
    session.base_ready = True
    session.detail = session.review_reason = ""


@on(ev.SessionSuspended)
def _session_suspended(session: Session, event: ev.SessionSuspended, at_ms: int) -> None:
    before = session.status
    move_session(session, SessionStatus.SUSPENDED)
    session.suspended_from = before
    session.suspend_reason = event.reason
    session.detail = event.detail


@on(ev.SessionResumed)
def _session_resumed(session: Session, event: ev.SessionResumed, at_ms: int) -> None:
    session.to_be_started = False
    if session.suspended_from is not None:
        move_session(session, session.suspended_from)
        session.suspended_from = session.suspend_reason = None
        session.detail = ""
        session.restarts.clear()
    budget = session.settings.budget
    caps = {"usd": event.budget_usd, "tokens": event.budget_tokens}
    raised = {role: _raised(budget.roles.get(role, Caps()), new) for role, new in event.role_budgets.items()}
    budget = budget.model_copy(
        update={
            **{key: value for key, value in caps.items() if value is not None},
            "roles": {**budget.roles, **raised},
        }
    )
    target = session.settings.policy.target if event.target is None else event.target
    policy = session.settings.policy.model_copy(update={"until": event.until, "target": target})
    session.settings = session.settings.model_copy(
        update={"budget": budget, "roles": {**session.settings.roles, **event.roles}, "policy": policy}
    )
    for gate in session.gates.values():
        gate.interruptions = 0


def _raised(old: Caps, new: Caps) -> Caps:
    return old.model_copy(update=new.model_dump(exclude_none=True))


@on(ev.SessionAwaitingReview)
def _session_awaiting_review(session: Session, event: ev.SessionAwaitingReview, at_ms: int) -> None:
    move_session(session, SessionStatus.AWAITING_REVIEW)
    session.review_reason = event.reason
    session.detail = event.detail


@on(ev.SessionFinalized)
def _session_finalized(session: Session, event: ev.SessionFinalized, at_ms: int) -> None:
    move_session(session, SessionStatus.FINALIZED)
    session.outcome = event.outcome
    session.review_reason = ""
    session.detail = event.reason
    session.ended_ms = at_ms


@on(ev.SessionCancelled)
def _session_cancelled(session: Session, event: ev.SessionCancelled, at_ms: int) -> None:
    move_session(session, SessionStatus.CANCELLED)
    session.detail = event.reason
    session.ended_ms = at_ms


@on(ev.PlanningRequested)
def _planning_requested(session: Session, event: ev.PlanningRequested, at_ms: int) -> None:
    ticket = planning_ticket(session, event, at_ms)
    session.plannings[ticket.id] = None
    graph.put_before(session, ticket, event.about)
    if event.purpose is Purpose.ANSWER:
        session.answered = len(session.landed)


@on(ev.PlanningFinished)
def _planning_finished(session: Session, event: ev.PlanningFinished, at_ms: int) -> None:
    ticket = session.tickets[event.ticket]
    assert ticket.planning is not None
    move(session, ticket, TicketStatus.COMPLETE)
    ticket.planning.result = event.result
    release_dependents(session, ticket, at_ms)
    if ticket.planning.purpose is Purpose.ANSWER:
        session.answer = event.result


@on(ev.PlanProposed)
def _plan_proposed(session: Session, event: ev.PlanProposed, at_ms: int) -> None:
    plan = PlanState(event.plan, event.tickets, event.by, planning=event.planning, adds=event.adds)
    session.plans = event.plan
    if event.adds:
        session.additions[event.plan] = plan
    else:
        session.plan = plan


@on(ev.PlanAccepted)
def _plan_accepted(session: Session, event: ev.PlanAccepted, at_ms: int) -> None:
    plan = session.additions.pop(event.plan, None) or session.plan
    assert plan is not None
    plan.accepted = True
    graph.enter(session, plan.tickets, at_ms)


@on(ev.TicketsAdded)
def _tickets_added(session: Session, event: ev.TicketsAdded, at_ms: int) -> None:
    graph.enter(session, event.tickets, at_ms)


@on(ev.SourceKept)
def _source_kept(session: Session, event: ev.SourceKept, at_ms: int) -> None:
    session.sources.append(event.source)


@on(ev.TranscriptsForgotten)
def _transcripts_forgotten(session: Session, event: ev.TranscriptsForgotten, at_ms: int) -> None:
    session.forgotten = True


@on(ev.TicketEdited)
def _ticket_edited(session: Session, event: ev.TicketEdited, at_ms: int) -> None:
    graph.rewrite(session, event.spec, at_ms)


@on(ev.BlockersChanged)
def _blockers_changed(session: Session, event: ev.BlockersChanged, at_ms: int) -> None:
    spec = session.tickets[event.ticket].spec
    graph.rewrite(session, spec.model_copy(update={"blocked_by": event.blocked_by}), at_ms)


@on(ev.PlanRejected)
def _plan_rejected(session: Session, event: ev.PlanRejected, at_ms: int) -> None:
    plan = session.additions.pop(event.plan, None)
    if plan is None:
        plan, session.plan = session.plan, None
    if event.back and plan is not None and plan.planning is not None:
        ticket = session.tickets[plan.planning]
        assert ticket.planning is not None
        ticket.planning.rejections += 1
        ticket.phases = first_steps(ticket.planning.purpose)
        send_back(session, ticket, Feedback("person", event.why, ticket.epoch), at_ms, Role.PLANNER)


@on(ev.SaveRequested)
def _save_requested(session: Session, event: ev.SaveRequested, at_ms: int) -> None:
    session.save = Save(event.by, event.to, event.into)
    session.save_refused = ""


@on(ev.SaveIntended)
def _save_intended(session: Session, event: ev.SaveIntended, at_ms: int) -> None:
    assert session.save is not None
    checkpoint = Checkpoint(event.checkpoint, event.into, event.old, event.new, at_ms)
    session.save.checkpoint = session.checkpoints[event.checkpoint] = checkpoint


@on(ev.CheckpointSaved)
def _checkpoint_saved(session: Session, event: ev.CheckpointSaved, at_ms: int) -> None:
    checkpoint = session.checkpoints[event.checkpoint]
    checkpoint.state, checkpoint.how = "saved", event.how
    session.save = None
    session.saved_tip = event.new


@on(ev.SaveRefused)
def _save_refused(session: Session, event: ev.SaveRefused, at_ms: int) -> None:
    if session.save is not None and session.save.checkpoint is not None:
        session.save.checkpoint.state = "refused"
    session.save = None
    session.save_refused = event.detail


@on(ev.ApprovalRequested)
def _approval_requested(session: Session, event: ev.ApprovalRequested, at_ms: int) -> None:
    session.approval_count += 1
    session.open_approvals[event.approval] = None
    session.approvals[event.approval] = Approval(
        id=event.approval,
        subject=event.subject,
        evidence=event.evidence,
        why=event.why,
        expires_ms=event.expires_at_ms,
        needed=event.needed,
        ticket=event.ticket,
        requested_ms=at_ms,
        risk=event.risk,
        reasons=event.reasons,
        epoch=event.epoch or 0,
        command=event.command,
        cwd=event.cwd,
    )
    if event.epoch is not None and event.ticket is not None:
        session.asked[event.evidence] = event.approval
        session.tickets[event.ticket].attempts[event.epoch].questions += 1


@on(ev.ApprovalGiven)
def _approval_given(session: Session, event: ev.ApprovalGiven, at_ms: int) -> None:
    approval = session.approvals[event.approval]
    approval.given_by.append(event.by)
    approval.answered_by, approval.reason = event.by, event.note


def _close_approval(session: Session, approval: ApprovalId, state: str, by: str = "", why: str = "") -> Approval:
    session.open_approvals.pop(approval, None)
    found = session.approvals[approval]
    found.state = state
    found.answered_by, found.reason = by or found.answered_by, why or found.reason
    return found


@on(ev.ApprovalGranted)
def _approval_granted(session: Session, event: ev.ApprovalGranted, at_ms: int) -> None:
    approval = _close_approval(session, event.approval, "granted")
    if approval.ticket is not None and not approval.epoch:
        session.tickets[approval.ticket].approved_work = session.tickets[approval.ticket].work


@on(ev.ApprovalRejected)
def _approval_rejected(session: Session, event: ev.ApprovalRejected, at_ms: int) -> None:
    _close_approval(session, event.approval, "rejected", event.by, event.why)


@on(ev.ApprovalExpired)
def _approval_expired(session: Session, event: ev.ApprovalExpired, at_ms: int) -> None:
    _close_approval(session, event.approval, "expired", "time", "nobody answered in time")


@on(ev.ApprovalVoided)
def _approval_voided(session: Session, event: ev.ApprovalVoided, at_ms: int) -> None:
    _close_approval(session, event.approval, "voided", why=event.reason)


@on(ev.ApprovalUsed)
def _approval_used(session: Session, event: ev.ApprovalUsed, at_ms: int) -> None:
    session.approvals[event.approval].used = True
    session.calls[call_name(event.ticket, event.epoch, event.call)] = event.approval


@on(ev.MessageSent)
def _message_sent(session: Session, event: ev.MessageSent, at_ms: int) -> None:
    session.messages.append(Message(event.message, event.by, event.text, event.ticket, at_ms))


@on(ev.MessageDelivered)
def _message_delivered(session: Session, event: ev.MessageDelivered, at_ms: int) -> None:
    ticket = session.tickets[event.ticket]
    ticket.messages_seen = max(ticket.messages_seen, event.message)


@on(ev.SlotRestarted)
def _slot_restarted(session: Session, event: ev.SlotRestarted, at_ms: int) -> None:
    count_restart(session, event.reason, at_ms)


@on(ev.CommandRejected)
def _command_rejected(session: Session, event: ev.CommandRejected, at_ms: int) -> None:
    """Told in the timeline; it changes nothing."""


@on(ev.Noted)
def _noted(session: Session, event: ev.Noted, at_ms: int) -> None:
    """Told in the timeline; it changes nothing."""
