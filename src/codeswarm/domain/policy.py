"""What a person must approve, and what an answer or a silence means. Silence is a no."""

from __future__ import annotations

import re
from collections.abc import Iterable
from fnmatch import translate
from functools import lru_cache

from codeswarm.domain import commands as cmd, events as ev
from codeswarm.domain.adding import problems_with, refused
from codeswarm.domain.ending import loose_ends
from codeswarm.domain.ids import ApprovalId, Commit
from codeswarm.domain.paths import as_bytes
from codeswarm.domain.planning.agreements import agreements
from codeswarm.domain.rejection import Rejection, invalid, known_names, unknown, wrong_state
from codeswarm.domain.results import Finding
from codeswarm.domain.risk import Risk, of_landing, of_plan
from codeswarm.domain.session import Approval, PlanState, Session, Ticket
from codeswarm.domain.states import Outcome, SessionStatus, SuspendReason, WaitReason
from codeswarm.domain.ticket import TicketSpec

Decision = list[ev.Event] | Rejection

MAX_REJECTIONS = 3
"""How often a person's no sends a plan back to its planner."""


def before_landing(
    session: Session, ticket: Ticket, work: Commit | None, files: tuple[str, ...], now_ms: int
) -> list[ev.Event]:
    """A ticket whose phases are done queues for landing, unless a person must see its work first."""
    if (why := needs_approval(session, ticket, work, files)) is None:
        return [ev.TicketQueued(ticket=ticket.id)]
    risk = of_landing(session, ticket, files, _sensitive(session, files))
    approval = _request(session, "landing", work or "", why, now_ms, risk, ticket)
    return [
        ev.TicketWaiting(ticket=ticket.id, reason=WaitReason.PERSON, detail=f"approval {approval.approval}"),
        approval,
    ]


def needs_approval(session: Session, ticket: Ticket, work: Commit | None, files: tuple[str, ...]) -> str | None:
    """Why a person must see the work before it lands; None where nobody must, or has."""
    if work is not None and ticket.approved_work == work:
        return None
    if touched := _sensitive(session, files):
        return "touches sensitive files: " + ", ".join(touched[:10])
    return "every landing is approved by a person" if session.settings.policy.approve_landing else None


def _sensitive(session: Session, files: Iterable[str]) -> list[str]:
    globs = session.settings.policy.sensitive
    return [file for file in files if matches(file, globs)]


def matches(path: str, globs: tuple[str, ...]) -> bool:
    """Whether one of `globs` names `path`; `**/` also stands for no folder at all, as in .gitignore.

    What counts is the path itself and not its text, which stands in quotes where it is no UTF-8.
    """
    return _pattern(globs).match(as_bytes(path).decode(errors="surrogateescape")) is not None


@lru_cache(maxsize=256)
def _pattern(globs: tuple[str, ...]) -> re.Pattern[str]:
    """Matches what one of the globs names."""
    both = (glob[skip:] for glob in globs for skip in ((0, 3) if glob.startswith("**/") else (0,)))
    return re.compile("|".join(map(translate, both)) or NOTHING)


NOTHING = "(?!)"
"""Matches no text."""


def unanswered(session: Session) -> list[PlanState]:
    """Proposed plans that nobody has accepted or rejected."""
    plan = [] if session.plan is None or session.plan.accepted else [session.plan]
    return plan + list(session.additions.values())


def asked_about(session: Session, approval: Approval) -> PlanState:
    """The plan that an open approval is for."""
    return next(plan for plan in unanswered(session) if str(plan.number) == approval.evidence)


def plan_approval(session: Session, plan: int, tickets: tuple[TicketSpec, ...], now_ms: int) -> ev.ApprovalRequested:
    files = dict.fromkeys(file for spec in tickets for file in spec.files)
    risk = of_plan(session, tickets, _sensitive(session, files))
    return _request(session, "plan", str(plan), "the plan is approved by a person before work starts", now_ms, risk)


def _request(
    session: Session, subject: str, evidence: str, why: str, now_ms: int, risk: Risk, ticket: Ticket | None = None
) -> ev.ApprovalRequested:
    policy = session.settings.policy
    return ev.ApprovalRequested(
        approval=ApprovalId(f"a{session.approval_count + 1}"),
        subject=subject,
        evidence=evidence,
        why=why,
        expires_at_ms=now_ms + int(policy.approval_timeout_s * 1000),
        needed=policy.landing_approvals if subject == "landing" else 1,
        ticket=ticket.id if ticket else None,
        risk=risk.score,
        reasons=risk.reasons,
    )


def give(session: Session, command: cmd.GiveApproval, now_ms: int) -> Decision:
    approval = _open(session, command.approval)
    if isinstance(approval, Rejection):
        return approval
    if command.tickets and approval.subject != "plan":
        return invalid(
            f"approval {approval.id} is for a {approval.subject}",
            f"codeswarm approve {session.id}/{approval.id}",
            "there is no plan to edit",
        )
    if command.by in approval.given_by:
        return wrong_state(
            f"{command.by} has approved {approval.id} already",
            "codeswarm approvals",
            f"{approval.needed} distinct people are needed",
        )
    events: list[ev.Event] = [ev.ApprovalGiven(approval=approval.id, by=command.by, note=command.note)]
    if len(approval.given_by) + 1 < approval.needed:
        return events
    events.append(ev.ApprovalGranted(approval=approval.id))
    if approval.subject == "plan":
        accepted = _plan_accepted(session, asked_about(session, approval), command)
        return accepted if isinstance(accepted, Rejection) else events + accepted
    if approval.subject == "landing" and approval.ticket is not None:
        events.append(ev.TicketQueued(ticket=approval.ticket))
    return events


def _plan_accepted(session: Session, plan: PlanState, command: cmd.GiveApproval) -> Decision:
    """The plan as it was proposed; or as the person changed it, which is then a proposal of their own.

    It is looked at once more: the session may have got other tickets since it was proposed.
    """
    if problems := problems_with(session, command.tickets or plan.tickets):
        return refused(session, problems, f"codeswarm approve {session.id}/{command.approval} --edit")
    if not command.tickets or command.tickets == plan.tickets:
        return [ev.PlanAccepted(plan=plan.number, by=command.by), *agreements(session, plan.tickets)]
    edited = ev.PlanProposed(
        plan=session.plans + 1, tickets=command.tickets, by=command.by, planning=plan.planning, adds=plan.adds
    )
    return [edited, ev.PlanAccepted(plan=edited.plan, by=command.by), *agreements(session, command.tickets)]


def reject(session: Session, command: cmd.RejectApproval, now_ms: int) -> Decision:
    approval = _open(session, command.approval)
    if isinstance(approval, Rejection):
        return approval
    events: list[ev.Event] = [ev.ApprovalRejected(approval=approval.id, by=command.by, why=command.why)]
    if approval.subject == "plan":
        events += _plan_rejected(session, approval, command)
    elif approval.subject == "landing" and approval.ticket is not None:
        ticket = session.tickets[approval.ticket]
        finding = Finding(severity="major", text=command.why)
        events.append(ev.ChangesRequested(ticket=ticket.id, epoch=ticket.epoch, findings=(finding,), by=command.by))
    return events


def _plan_rejected(session: Session, approval: Approval, command: cmd.RejectApproval) -> list[ev.Event]:
    """Back to the planner with the reason, a few times. Without one, or then, a session without a plan is over."""
    plan = asked_about(session, approval)
    planning = session.tickets[plan.planning].planning if plan.planning is not None else None
    back = planning is not None and planning.rejections < MAX_REJECTIONS
    rejected = ev.PlanRejected(plan=plan.number, by=command.by, why=command.why, back=back)
    if back or plan.adds:
        return [rejected]
    over = ev.SessionFinalized(outcome=Outcome.FAILED, reason=f"plan rejected: {command.why}")
    return [rejected, *loose_ends(session, "the plan was rejected", but=approval.id), over]


def expire(session: Session, command: cmd.ExpireApproval, now_ms: int) -> Decision:
    approval = _open(session, command.approval)
    if isinstance(approval, Rejection):
        return approval
    if now_ms < approval.expires_ms:
        return wrong_state(
            f"approval {approval.id} has not expired yet", "codeswarm approvals", "there is time to answer"
        )
    events: list[ev.Event] = [ev.ApprovalExpired(approval=approval.id)]
    if approval.subject == "execution":
        return events
    if approval.ticket is not None:
        reason = f"nobody answered approval {approval.id} in time; release the ticket to be asked again"
        events.append(ev.TicketHeld(ticket=approval.ticket, reason=reason, by="policy"))
    elif session.status is not SessionStatus.SUSPENDED:
        detail = f"nobody answered approval {approval.id} in time; resume to be asked again"
        events.append(ev.SessionSuspended(reason=SuspendReason.APPROVAL_EXPIRED, detail=detail))
    return events


def void_for(session: Session, ticket: Ticket, reason: str) -> list[ev.Event]:
    """The open approvals of a ticket, voided."""
    return [
        ev.ApprovalVoided(approval=id_, reason=reason)
        for id_ in session.open_approvals
        if session.approvals[id_].ticket == ticket.id
    ]


def _open(session: Session, id_: ApprovalId) -> Approval | Rejection:
    approval = session.approvals.get(id_)
    if approval is None:
        return unknown(
            f"there is no approval {id_!r} in session {session.id}",
            "codeswarm approvals",
            known_names(id_, session.open_approvals),
        )
    if approval.state != "open":
        why = approval.reason if approval.state == "voided" else "an answer is given once"
        return wrong_state(f"approval {id_} is {approval.state} already", "codeswarm approvals", why)
    return approval
