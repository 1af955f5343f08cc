"""Landing, one at a time: merge, gate, then the commit point, which is an event. All gates end here, too."""

from __future__ import annotations

from itertools import takewhile

from codeswarm.domain import budget, commands as cmd, events as ev, gates
from codeswarm.domain.ending import loose_ends
from codeswarm.domain.ids import GateId, TicketId
from codeswarm.domain.leasing import all_cancelled, gate_holder, gate_interrupted
from codeswarm.domain.outcome import broke_setup, describe, passes, red_findings
from codeswarm.domain.policy import before_landing, needs_approval
from codeswarm.domain.rejection import Rejection, invalid, stale, wrong_state
from codeswarm.domain.results import Finding, GateOutcome, GateRun, Receipt, first_names
from codeswarm.domain.session import Gate, Landing, Session, Ticket
from codeswarm.domain.states import Outcome, SessionStatus, TicketStatus

Decision = list[ev.Event] | Rejection


def next_to_land(session: Session) -> Ticket | None:
    """The ticket that the lander may merge now. First come, first served; a save drains before it starts.

    But who had to give way once (a conflict) has the right of way from then on: what touches its files waits until it
    has landed. Else a ticket of a file that everyone edits could come back from each landing in vain.
    """
    if session.status is not SessionStatus.ACTIVE or session.landing is not None or session.save is not None:
        return None
    queue = (session.tickets[id_] for id_ in session.landing_queue)
    return next((ticket for ticket in queue if not _must_give_way(session, ticket)), None)


def _must_give_way(session: Session, ticket: Ticket) -> bool:
    if not session.right_of_way:
        return False
    before = takewhile(lambda id_: id_ != ticket.id, session.right_of_way)
    others = (session.tickets[id_] for id_ in before)
    mine = set(ticket.files)
    return any(not mine.isdisjoint(other.files) and _is_coming(session, other) for other in others)


def _is_coming(session: Session, ticket: Ticket) -> bool:
    """Whether somebody is at work on a ticket, or will be at once: who rests for long is not waited for."""
    if ticket.status is not TicketStatus.READY:
        return True
    if ticket.not_before_ms or session.target_reached:
        return False
    reservation = budget.reservation(session, ticket)
    in_session = budget.affordable(session, reservation) and budget.role_affordable(session, reservation)
    return in_session and budget.ticket_affordable(session, ticket, reservation)


def record_merge(session: Session, command: cmd.RecordMerge, now_ms: int) -> Decision:
    if refusal := _merge_refused(session, command):
        return refusal
    number = len(session.landings) + 1
    if command.conflicts or command.commit is None or command.tree is None:
        return _conflict(session, command, number)
    ticket = session.tickets[command.ticket] if command.ticket is not None else None
    commands = gates.landing_commands(session, ticket)
    events: list[ev.Event] = [
        ev.LandingMerged(
            landing=number,
            ticket=command.ticket,
            old=command.old,
            work=command.work,
            commit=command.commit,
            tree=command.tree,
            commands=commands,
        )
    ]
    if open_commands := gates.missing(session, command.tree, commands, command.old):
        events.append(
            ev.GateRequested(
                gate=gate_id(session, "landing"),
                purpose="landing" if ticket else "catch_up",
                commit=command.commit,
                tree=command.tree,
                commands=open_commands,
                base=command.old,
                ticket=command.ticket,
            )
        )
    return events


def gate_id(session: Session, purpose: str) -> GateId:
    return GateId(f"@{purpose}-{len(session.all_gates) + 1}")


def _merge_refused(session: Session, command: cmd.RecordMerge) -> Rejection | None:
    if session.landing is not None:
        return wrong_state(f"landing {session.landing.number} is under way", _watch(session), "one lands at a time")
    if command.old != session.tip:
        what = f"the merge was made on {command.old}, but the tip is {session.tip}"
        return stale(what, _watch(session), "something has landed meanwhile")
    if command.ticket is None:
        return _catch_up_refused(session)
    if session.save is not None:
        what = "a save is under way, and the tip stands still until it is over"
        return wrong_state(what, _watch(session), "what is saved must be what was gated")
    if command.ticket not in session.landing_queue:
        return stale(
            f"ticket {command.ticket} does not wait for a landing", _watch(session), "it left the queue meanwhile"
        )
    if session.tickets[command.ticket].work != command.work:
        what = f"{command.work} is not the work of ticket {command.ticket} any more"
        return stale(what, _watch(session), "a later attempt has taken its place")
    return None


def _watch(session: Session) -> str:
    return f"codeswarm watch {session.id}"


def _not_under_way(session: Session, number: int) -> Rejection:
    what = f"landing {number} is not under way any more"
    return stale(what, _watch(session), "it has landed, or was sent back")


def _catch_up_refused(session: Session) -> Rejection | None:
    if session.save is None:
        return wrong_state(
            "only a save catches up with the base branch", f"codeswarm save {session.id}", "none is asked for"
        )
    if session.save.checkpoint is not None:
        what = f"{session.save.checkpoint.id} is being saved, and the tip stands still until that is over"
        return wrong_state(what, _watch(session), "what is saved must be what was gated")
    return None


def _conflict(session: Session, command: cmd.RecordMerge, number: int) -> list[ev.Event]:
    bounced = ev.LandingBounced(
        landing=number,
        ticket=command.ticket,
        reason="conflict",
        detail=command.detail,
        files=command.conflicts,
    )
    if command.ticket is None:
        refused = ev.SaveRefused(
            reason="conflict",
            detail=f"{session.base_branch} has moved and conflicts with what landed here",
            files=command.conflicts,
        )
        return [bounced, refused]
    return [bounced, *_bounce_bound(session, command.ticket)]


def _bounce_bound(session: Session, ticket_id: TicketId) -> list[ev.Event]:
    bound = session.settings.bounds.max_bounces
    if session.tickets[ticket_id].bounces + 1 < bound:
        return []
    return [ev.TicketFailed(ticket=ticket_id, reason=f"its landing bounced {bound} times")]


# ── gates ────────────────────────────────────────────────────────────────────────────────────────────────────


def complete_gate(session: Session, command: cmd.CompleteGate, now_ms: int) -> Decision:
    gate = gate_holder(session, command.gate, command.epoch)
    if isinstance(gate, Rejection):
        return gate
    if (problem := _not_run(session, gate, command.runs)) and not _setup_is_red(session, gate, command.runs):
        return gate_interrupted(session, gate, problem, now_ms)
    red = [run for run in command.runs if not passes(session, run)]
    finished = ev.GateFinished(
        gate=gate.id, epoch=gate.epoch, runs=command.runs, receipts=command.receipts, green=not red
    )
    return [finished, *_after_red(session, gate, red, now_ms)] if red else [finished]


def _setup_is_red(session: Session, gate: Gate, runs: tuple[GateRun, ...]) -> bool:
    """Whether a set-up that fails is no accident: on the base, where nobody has done anything yet and a person must
    know at once; and before a landing that changes what the set-up reads.
    """
    if gate.purpose == "base":
        return any(run.setup_failed for run in runs)
    files = session.tickets[gate.ticket].files if gate.purpose == "landing" and gate.ticket is not None else ()
    return any(broke_setup(session, run, files) for run in runs)


def _not_run(session: Session, gate: Gate, runs: tuple[GateRun, ...]) -> str | None:
    """Why the gate has no outcome: a command could not run, or is missing though none was red."""
    for run in runs:
        if run.outcome is GateOutcome.UNAVAILABLE:
            return f"`{run.command}` could not run: {describe(run)}"
    ran = {run.command for run in runs}
    skipped = [command.command for command in gate.commands if command.command not in ran]
    if skipped and all(passes(session, run) for run in runs):
        return f"`{skipped[0]}` was not run"
    return None


def _after_red(session: Session, gate: Gate, red: list[GateRun], now_ms: int) -> list[ev.Event]:
    what = "; ".join(f"`{run.command}` {describe(run)}" for run in red)
    if gate.purpose == "base":
        broken = next((run.reason for run in red if run.setup_failed), None)
        reason = f"the gate is red on the base: {what}" if broken is None else f"on the base {broken}"
        ends = [*all_cancelled(session, reason, now_ms), *loose_ends(session, reason, but=gate.id)]
        return [*ends, ev.SessionFinalized(outcome=Outcome.FAILED, reason=reason)]
    if gate.purpose == "full":
        if session.save is None:
            return []
        return [ev.SaveRefused(reason="gate_red", detail=f"the full gate is red: {what}")]
    assert session.landing is not None
    bounced = bounce_events(session, session.landing, "gate_red", f"the landing gate is red: {what}", red_findings(red))
    if gate.purpose == "catch_up":
        detail = f"with what {session.base_branch} gained meanwhile the gate is red: {what}"
        return [*bounced, ev.SaveRefused(reason="gate_red", detail=detail)]
    return bounced


def bounce_events(
    session: Session, landing: Landing, reason: str, detail: str, findings: tuple[Finding, ...] = ()
) -> list[ev.Event]:
    bounced = ev.LandingBounced(
        landing=landing.number, ticket=landing.ticket, reason=reason, detail=detail, findings=findings
    )
    if landing.ticket is None or reason == "held":
        return [bounced]
    return [bounced, *_bounce_bound(session, landing.ticket)]


# ── the commit point ─────────────────────────────────────────────────────────────────────────────────────────


def land(session: Session, command: cmd.LandMerge, now_ms: int) -> Decision:
    landing = session.landing
    if landing is None or landing.number != command.landing:
        return _not_under_way(session, command.landing)
    if not may_land(session, landing):
        what = f"session {session.id} is {session.status}: nothing lands until it goes on"
        return wrong_state(what, f"codeswarm resume {session.id}", session.detail or "it does not go on just now")
    if landing.old != session.tip:
        what = f"landing {command.landing} expects the tip {landing.old}, but it is {session.tip}"
        return stale(what, _watch(session), "something has landed meanwhile")
    if open_commands := gates.missing(session, landing.tree, landing.commands, landing.old):
        what = f"`{open_commands[0].command}` has no green receipt on tree {landing.tree}"
        return wrong_state(what, _watch(session), "nothing lands that was not gated")
    receipts = gates.receipts_for(session, landing.tree, landing.commands) + _waived(command.waivers, landing)
    if not receipts:
        what = "a landing without any gate needs a waiver that names a person"
        return invalid(what, "codeswarm config show", "nothing lands ungated on nobody's word")
    if asked := _unapproved(session, landing, command.files, now_ms):
        return asked
    recorded = [ev.ReceiptsRecorded(receipts=command.waivers, ticket=landing.ticket)] if command.waivers else []
    return [*recorded, _landed(session, landing, receipts, command.files)]


def may_land(session: Session, landing: Landing) -> bool:
    """While a session is suspended only what a save waits for is finished."""
    return session.status is not SessionStatus.SUSPENDED or session.save is not None


def _unapproved(session: Session, landing: Landing, files: tuple[str, ...], now_ms: int) -> list[ev.Event]:
    """Back to a person, where what really changes on the tip touches more than attempts had told of."""
    ticket = None if landing.ticket is None else session.tickets[landing.ticket]
    if ticket is None or needs_approval(session, ticket, landing.work, files) is None:
        return []
    asked = before_landing(session, ticket, landing.work, files, now_ms)
    return [*bounce_events(session, landing, "held", "it waits for an approval"), *asked]


def _waived(waivers: tuple[Receipt, ...], landing: Landing) -> tuple[str, ...]:
    return tuple(waiver.id for waiver in waivers if waiver.tree == landing.tree and waiver.passes and waiver.by)


def _landed(
    session: Session, landing: Landing, receipts: tuple[str, ...], files: tuple[str, ...]
) -> ev.TicketLanded | ev.CaughtUp:
    if landing.ticket is None:
        return ev.CaughtUp(
            landing=landing.number,
            old=landing.old,
            new=landing.commit,
            tree=landing.tree,
            base=landing.work,
            receipts=receipts,
        )
    return ev.TicketLanded(
        landing=landing.number,
        ticket=landing.ticket,
        old=landing.old,
        new=landing.commit,
        tree=landing.tree,
        receipts=receipts,
        files=first_names(files),
    )


def bounce(session: Session, command: cmd.BounceLanding, now_ms: int) -> Decision:
    if session.landing is None or session.landing.number != command.landing:
        return _not_under_way(session, command.landing)
    return bounce_events(session, session.landing, command.reason, command.detail, command.findings)
