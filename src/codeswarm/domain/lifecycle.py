"""The session as a whole: started, suspended, resumed, cancelled; and what persons say in it."""

from __future__ import annotations

from codeswarm.domain import commands as cmd, events as ev, gates, parking
from codeswarm.domain.ending import loose_ends
from codeswarm.domain.ids import Commit, Tree
from codeswarm.domain.landing import bounce_events, gate_id
from codeswarm.domain.leasing import all_cancelled, holder
from codeswarm.domain.planning.agreements import agreements
from codeswarm.domain.planning.asking import again, request
from codeswarm.domain.policy import plan_approval, unanswered
from codeswarm.domain.rejection import Rejection, invalid, known_names, unknown, wrong_state
from codeswarm.domain.session import Session
from codeswarm.domain.states import FINAL_SESSION, SETTLED_TICKET, Purpose, SessionStatus, TicketStatus
from codeswarm.domain.until import after_resume, too_late

Decision = list[ev.Event] | Rejection


def start(session: Session, command: cmd.StartSession, now_ms: int) -> Decision:
    """Begin: the plan is proposed (and accepted, where no person is to be asked), the base is put to its gate."""
    if session.version:
        what = f"session {command.session} has been started already"
        return wrong_state(what, f"codeswarm status {command.session}", "an id names one session for ever")
    if not command.tickets and not command.ask.strip():
        what = "a session needs a goal or at least one ticket"
        return invalid(what, "codeswarm run 'WHAT YOU WANT'", "neither was named, and agents would have nothing to do")
    if problem := too_late(command.settings.policy.until, now_ms):
        return problem
    events: list[ev.Event] = [
        ev.SessionStarted(
            session=command.session,
            name=command.name,
            goal=command.goal,
            base_branch=command.base_branch,
            base=command.base,
            base_tree=command.base_tree,
            settings=command.settings,
            by=command.by,
            unseen=command.unseen,
            draft=command.draft,
        ),
        *(ev.SourceKept(source=source) for source in command.kept),
        *(parking.heard(one) for one in command.parked if parking.concerns(command.settings, one.agent)),
    ]
    seen = Session(id=command.session, settings=command.settings)
    policy = command.settings.policy
    if command.tickets:
        events.append(ev.PlanProposed(plan=1, tickets=command.tickets, by=command.by))
    else:
        events.append(request(seen, Purpose.GOAL, command.ask, command.by))
    if not policy.plan_only and not command.draft:
        events += _base_gate(seen, command.base, command.base_tree)
    if command.tickets and policy.approve_plan:
        events.append(plan_approval(seen, 1, command.tickets, now_ms))
    elif command.tickets:
        events += [ev.PlanAccepted(plan=1, by=command.by), *agreements(seen, command.tickets)]
    return events


def _base_gate(seen: Session, base: Commit, tree: Tree) -> list[ev.Event]:
    commands = gates.base_commands(seen)
    if not commands:
        return []
    return [
        ev.GateRequested(
            gate=gate_id(seen, "base"),
            purpose="base",
            commit=base,
            tree=tree,
            commands=commands,
            base=base,
        )
    ]


def suspend(session: Session, command: cmd.SuspendSession, now_ms: int) -> Decision:
    if session.status is SessionStatus.SUSPENDED:
        return []
    return [ev.SessionSuspended(reason=command.reason, detail=command.detail, by=command.by)]


def resume(session: Session, command: cmd.ResumeSession, now_ms: int) -> Decision:
    """Back to where it was suspended from. Asking for what is so already is no error.

    New caps and agents count for a session that was never suspended, too: after a crash nobody knows the difference.
    A session that was left in draft begins: its base is put to its gate.
    """
    if problem := too_late(command.until, now_ms):
        return problem
    until = after_resume(session, command.until, now_ms)
    caps = command.budget_usd is not None or command.budget_tokens is not None
    policy = session.settings.policy
    moved = command.target not in (None, policy.target)
    caps = caps or bool(command.role_budgets)
    unparked = parking.by_person(session, command.by, command.roles, everything=command.unpark)
    changes = bool(command.roles) or caps or moved or until != policy.until or bool(unparked)
    if session.status is not SessionStatus.SUSPENDED and not changes and not session.to_be_started:
        return []
    events: list[ev.Event] = [
        ev.SessionResumed(
            by=command.by,
            budget_usd=command.budget_usd,
            budget_tokens=command.budget_tokens,
            role_budgets=command.role_budgets,
            roles=command.roles,
            until=until,
            target=command.target,
        )
    ]
    events += unparked
    if session.to_be_started:
        events += _base_gate(session, session.base, session.base_tree)
    events += again(session, command.by)
    asked = {session.approvals[id_].evidence for id_ in session.open_approvals}
    for plan in unanswered(session):
        if str(plan.number) not in asked:
            events.append(plan_approval(session, plan.number, plan.tickets, now_ms))
    return events


def cancel(session: Session, command: cmd.CancelSession, now_ms: int) -> Decision:
    if session.save is not None and session.save.checkpoint is not None:
        return wrong_state(
            f"session {session.id} is being saved just now",
            f"codeswarm watch {session.id}",
            "a branch that moves is not left half-way",
        )
    events: list[ev.Event] = []
    if session.save is not None:
        events.append(ev.SaveRefused(reason="cancelled", detail="the session was cancelled"))
    events += all_cancelled(session, "the session was cancelled", now_ms)
    events += loose_ends(session, "the session was cancelled")
    if session.landing is not None:
        events += bounce_events(session, session.landing, "held", "the session was cancelled")
    return [*events, ev.SessionCancelled(by=command.by, reason=command.reason)]


def forget_transcripts(session: Session, command: cmd.ForgetTranscripts, now_ms: int) -> Decision:
    if session.status not in FINAL_SESSION:
        why = "what agents say is needed until a session is over"
        return wrong_state(f"session {session.id} is {session.status}", f"codeswarm status {session.id}", why)
    return [] if session.forgotten else [ev.TranscriptsForgotten(by=command.by, reason=command.reason)]


def send_message(session: Session, command: cmd.SendMessage, now_ms: int) -> Decision:
    if not command.text.strip():
        to = f"{session.id}/{command.ticket}" if command.ticket else session.id
        return invalid("the message is empty", f"codeswarm message {to} 'WHAT TO SAY'", "agents would be told nothing")
    if command.ticket is not None:
        ticket = session.tickets.get(command.ticket)
        if ticket is None:
            return unknown(
                f"there is no ticket {command.ticket!r} in session {session.id}",
                f"codeswarm ticket list {session.id}",
                known_names(command.ticket, session.tickets),
            )
        if ticket.status in SETTLED_TICKET and ticket.status is not TicketStatus.FAILED:
            return wrong_state(
                f"ticket {ticket.id} is {ticket.status}",
                f"codeswarm ticket show {session.id}/{ticket.id}",
                "nobody is left to read a message",
            )
    number = len(session.messages) + 1
    return [ev.MessageSent(message=number, by=command.by, text=command.text, ticket=command.ticket)]


def deliver_message(session: Session, command: cmd.DeliverMessage, now_ms: int) -> Decision:
    held = holder(session, command.ticket, command.epoch)
    if isinstance(held, Rejection):
        return held
    ticket, _ = held
    if not 1 <= command.message <= len(session.messages):
        what = f"there is no message {command.message} in session {session.id}"
        return unknown(what, f"codeswarm timeline {session.id}", f"{len(session.messages)} were sent")
    if command.message <= ticket.messages_seen:
        return []
    return [ev.MessageDelivered(message=command.message, ticket=command.ticket, epoch=command.epoch, how=command.how)]


def report_restart(session: Session, command: cmd.ReportRestart, now_ms: int) -> Decision:
    return [ev.SlotRestarted(worker=command.worker, reason=command.reason)]


def note(session: Session, command: cmd.Note, now_ms: int) -> Decision:
    return [ev.Noted(subject=command.subject, what=command.what, next_step=command.next_step, ticket=command.ticket)]
