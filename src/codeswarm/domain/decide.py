"""`decide(session, command, now_ms)`: what a command means in a state. It reads; only `evolve` writes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from codeswarm.domain import (
    adding,
    commands as cmd,
    events as ev,
    executions,
    landing,
    leasing,
    lifecycle,
    metering,
    outcome,
    parking,
    policy,
    revising,
    saving,
    tickets,
    until,
    visits,
)
from codeswarm.domain.rejection import Rejection, wrong_state
from codeswarm.domain.session import Session
from codeswarm.domain.states import FINAL_SESSION

Decision = list[ev.Event] | Rejection

_DECIDERS: dict[type[cmd.Command], Callable[[Session, Any, int], Decision]] = {
    cmd.StartSession: lifecycle.start,
    cmd.SuspendSession: lifecycle.suspend,
    cmd.ResumeSession: lifecycle.resume,
    cmd.CancelSession: lifecycle.cancel,
    cmd.ForgetTranscripts: lifecycle.forget_transcripts,
    cmd.TimeIsUp: until.time_is_up,
    cmd.ParkAgent: parking.hear,
    cmd.UnparkAgent: parking.unpark,
    cmd.SendMessage: lifecycle.send_message,
    cmd.DeliverMessage: lifecycle.deliver_message,
    cmd.ReportRestart: lifecycle.report_restart,
    cmd.Note: lifecycle.note,
    cmd.AddTickets: adding.add,
    cmd.DelegateTask: tickets.delegate,
    cmd.EditTicket: revising.edit,
    cmd.SplitTicket: revising.split,
    cmd.LinkTicket: revising.link,
    cmd.UnlinkTicket: revising.unlink,
    cmd.HoldTicket: tickets.hold,
    cmd.ReleaseTicket: tickets.release,
    cmd.RetryTicket: tickets.retry,
    cmd.CancelTicket: tickets.cancel,
    cmd.GiveApproval: policy.give,
    cmd.RejectApproval: policy.reject,
    cmd.ExpireApproval: policy.expire,
    cmd.AttachPerson: visits.attach,
    cmd.BeginVisit: visits.begin,
    cmd.EndVisit: visits.end,
    cmd.AskPermission: executions.ask,
    cmd.Claim: leasing.claim,
    cmd.PrepareAttempt: leasing.prepare,
    cmd.StartAttempt: leasing.start,
    cmd.NameConversation: leasing.name_conversation,
    cmd.BeginGating: leasing.begin_gating,
    cmd.RecordSnapshot: leasing.record_snapshot,
    cmd.RecordSalvage: leasing.record_salvage,
    cmd.RecordCommits: leasing.record_commits,
    cmd.ReportDenied: leasing.report_denied,
    cmd.ReleaseLease: leasing.release,
    cmd.LoseLease: leasing.lose,
    cmd.MeterUsage: metering.meter,
    cmd.KeepQuota: parking.keep,
    cmd.CompleteAttempt: outcome.complete,
    cmd.CompleteGate: landing.complete_gate,
    cmd.RecordMerge: landing.record_merge,
    cmd.LandMerge: landing.land,
    cmd.BounceLanding: landing.bounce,
    cmd.RequestSave: saving.request,
    cmd.RequestFullGate: saving.request_full_gate,
    cmd.IntendSave: saving.intend,
    cmd.CompleteSave: saving.complete,
    cmd.RefuseSave: saving.refuse,
}

_AFTER_THE_END = (cmd.CompleteAttempt, cmd.RecordSalvage, cmd.RecordCommits, cmd.Note, cmd.ForgetTranscripts)
"""A late result, found files and a remark are still kept when a session is over; what agents said may go then."""


def decide(session: Session, command: cmd.Command, now_ms: int) -> Decision:
    """The events that `command` causes now (maybe none), or why it is refused. Pure."""
    if not session.version and not isinstance(command, cmd.StartSession):
        raise LookupError(f"session {session.id} has no history")
    if session.status in FINAL_SESSION and not isinstance(command, _AFTER_THE_END):
        hint = f"codeswarm report {session.id}   # what came of it; more is a new one: codeswarm run"
        what = f"session {session.id} is {session.status}"
        return wrong_state(what, hint, "it is over: nothing in it can change any more")
    return _DECIDERS[type(command)](session, command, now_ms)
