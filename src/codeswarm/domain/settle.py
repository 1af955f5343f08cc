"""Consequences for the whole session, drawn after every command until nothing follows any more.

Each answer is O(1) in the number of tickets.
"""

from __future__ import annotations

from codeswarm.domain import budget, cascade, events as ev, gates
from codeswarm.domain.ending import loose_ends
from codeswarm.domain.executions import moot
from codeswarm.domain.leasing import claimable_tickets
from codeswarm.domain.pipeline import AGENT_ROLES, Role
from codeswarm.domain.planning.asking import last_words, unplanned
from codeswarm.domain.saving import full_gate, requested
from codeswarm.domain.scheduling import FOR_EVER
from codeswarm.domain.session import Session
from codeswarm.domain.states import Outcome, SessionStatus, SuspendReason, TicketStatus
from codeswarm.domain.supervision import meltdown


def settle(session: Session, now_ms: int) -> list[ev.Event]:
    """The next consequence, or none. Never a consequence that is undone by the next one."""
    if session.open_approvals and (over := moot(session)):
        return over
    if session.status in (SessionStatus.DRAFT, SessionStatus.ACTIVE) and (why := meltdown(session, now_ms)):
        return [ev.SessionSuspended(reason=SuspendReason.MELTDOWN, detail=why)]
    if session.status is SessionStatus.DRAFT:
        return [] if session.to_be_started else _activation(session) or _without_plan(session)
    if session.status is SessionStatus.AWAITING_REVIEW:
        return _after_review(session)
    if session.status is SessionStatus.ACTIVE:
        return _while_active(session)
    return []


def _activation(session: Session) -> list[ev.Event]:
    accepted = session.plan is not None and session.plan.accepted
    base_passed = session.base_ready or not gates.base_commands(session)
    return [ev.SessionActivated()] if accepted and base_passed else []


def _without_plan(session: Session) -> list[ev.Event]:
    """A session that waits for a plan which nobody makes any more, or which can't be paid for."""
    if (stuck := unplanned(session)) is not None:
        why = stuck.reason or stuck.waiting_detail or "the planner made none"
        if stuck.status is not TicketStatus.CANCELLED:
            return [ev.SessionSuspended(reason=SuspendReason.NO_PLAN, detail=why)]
        over = ev.SessionFinalized(outcome=Outcome.FAILED, reason=f"the planning was cancelled: {why}")
        return [*loose_ends(session, over.reason), over]
    return _out_of_budget(session) or _out_of_agents(session) if session.planning else []


def _while_active(session: Session) -> list[ev.Event]:
    if session.save is not None:
        return []
    policy = session.settings.policy
    if policy.continuous and session.landed and session.tip != session.saved_tip and not session.save_refused:
        return [requested(session, session.by)]
    if session.working:
        return _out_of_budget(session) or _out_of_agents(session)
    return _at_rest(session)


def _out_of_budget(session: Session) -> list[ev.Event]:
    """Tickets may be claimed, nothing runs, and not even the first of them can be afforded.

    One that may not be claimed (the target is reached) is not waited for.
    """
    if session.in_progress or session.landing or session.landing_queue or session.gates:
        return []
    if not (session.settings.budget.in_usd or session.settings.budget.in_tokens):
        return []
    if next(claimable_tickets(session, FOR_EVER, frozenset({Role.VERIFIER}), None), None) is not None:
        return []
    short = None
    for role in sorted(session.ready.roles() & AGENT_ROLES):
        best = next(claimable_tickets(session, FOR_EVER, frozenset({role}), None), None)
        if best is None:
            continue
        wanted = budget.reservation(session, session.tickets[best])
        if budget.affordable(session, wanted) and budget.role_affordable(session, wanted):
            return []
        short = short or wanted
    if short is None:
        return []
    return [ev.SessionSuspended(reason=SuspendReason.BUDGET, detail=budget.shortage(session, short))]


def _out_of_agents(session: Session) -> list[ev.Event]:
    """Tickets wait for agents alone, and time brings none of these back: a person must mend one."""
    busy = session.in_progress or session.landing or session.landing_queue or session.gates
    if not session.without_agent or session.ready or busy:
        return []
    why = cascade.only_a_person(session)
    return [ev.SessionSuspended(reason=SuspendReason.NO_AGENT, detail=why)] if why else []


def _at_rest(session: Session) -> list[ev.Event]:
    """Nothing moves any more: the last gate, then the save or the review."""
    if session.open_approvals:
        waiting = ", ".join(session.open_approvals)
        return [ev.SessionAwaitingReview(reason="approvals", detail=f"open approvals: {waiting}")]
    if not session.landed:
        return [ev.SessionAwaitingReview(reason="nothing_landed", detail=unfinished(session))]
    if open_commands := gates.missing(session, session.tip_tree, gates.full_commands(session)):
        if session.full_gate_tree == session.tip_tree and not session.full_gate_green:
            return [ev.SessionAwaitingReview(reason="full_gate_red", detail="the full gate is red on what landed")]
        return [full_gate(session, open_commands)]
    if words := last_words(session):
        return words
    if session.saved_tip == session.tip:
        return [_finalized(session)]
    if session.save_refused:
        return [ev.SessionAwaitingReview(reason="save_refused", detail=session.save_refused)]
    if session.settings.policy.save_at_end:
        return [requested(session, session.by)]
    return [ev.SessionAwaitingReview(reason="unsaved", detail=unfinished(session))]


def _after_review(session: Session) -> list[ev.Event]:
    if session.in_progress:
        return [ev.SessionActivated()]  # a person has taken a ticket over, be it during a save
    if session.save is not None:
        return []
    if session.landing or session.landing_queue or session.can_claim:
        return [ev.SessionActivated()]
    if session.saved:
        return [_finalized(session)]
    return []


def _finalized(session: Session) -> ev.SessionFinalized:
    left = unfinished(session)
    whole = not left or session.target_reached
    return ev.SessionFinalized(outcome=Outcome.SAVED if whole else Outcome.PARTIAL, reason=left)


def unfinished(session: Session) -> str:
    """How many tickets did not land, for a person; empty where all did. Those that were cancelled are not missed."""
    if session.target_reached and session.left:
        return f"the target of {session.settings.policy.target} landed is reached; {session.left} more could land"
    return f"{session.left} of {session.to_land} tickets did not land" if session.left else ""
