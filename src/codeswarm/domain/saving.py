"""Saving: the person's branch moves to the integration tip, in three steps that survive a crash between any two.

intent (recorded) → the move outside → outcome (recorded). Landings wait meanwhile, so that the tip stands still.
"""

from __future__ import annotations

from codeswarm.domain import commands as cmd, events as ev, gates
from codeswarm.domain.landing import gate_id
from codeswarm.domain.rejection import Rejection, invalid, stale, wrong_state
from codeswarm.domain.results import GateCommand
from codeswarm.domain.session import Session
from codeswarm.domain.states import SessionStatus

Decision = list[ev.Event] | Rejection


def request(session: Session, command: cmd.RequestSave, now_ms: int) -> Decision:
    if session.status is SessionStatus.DRAFT:
        what = (
            f"session {session.id} is a draft" if session.to_be_started else f"session {session.id} has not begun yet"
        )
        next_ = "resume" if session.to_be_started else "status"
        return wrong_state(what, f"codeswarm {next_} {session.id}", "nothing has landed that could be saved")
    if session.save is not None:
        return wrong_state(
            f"session {session.id} is being saved already",
            f"codeswarm watch {session.id}",
            "one save at a time moves a branch",
        )
    if session.tip == session.base:
        return wrong_state(
            f"nothing has landed in session {session.id} yet",
            f"codeswarm status {session.id}",
            "a save moves your branch to it",
        )
    return [requested(session, command.by, command.to, command.into)]


def requested(session: Session, by: str, to: str = "", into: str = "") -> ev.SaveRequested:
    """A save as asked for, by the policy where nothing else is said."""
    to = to or session.settings.policy.save_to
    beside = f"codeswarm-{session.id}"
    return ev.SaveRequested(by=by, to=to, into=into or (beside if to == "branch" else session.base_branch))


def request_full_gate(session: Session, command: cmd.RequestFullGate, now_ms: int) -> Decision:
    if any(gate.purpose == "full" for gate in session.gates.values()):
        return []
    open_commands = gates.missing(session, session.tip_tree, gates.full_commands(session))
    if not open_commands:
        return []
    return [full_gate(session, open_commands)]


def full_gate(session: Session, commands: tuple[GateCommand, ...]) -> ev.GateRequested:
    return ev.GateRequested(
        gate=gate_id(session, "full"),
        purpose="full",
        commit=session.tip,
        tree=session.tip_tree,
        commands=commands,
        base=session.base,
    )


def _watch(session: Session) -> str:
    return f"codeswarm watch {session.id}"


def _none_asked(session: Session) -> Rejection:
    return wrong_state("no save is under way", f"codeswarm save {session.id}", "none was asked for, or it is over")


def intend(session: Session, command: cmd.IntendSave, now_ms: int) -> Decision:
    if session.save is None:
        return _none_asked(session)
    if session.save.checkpoint is not None:
        what = f"{session.save.checkpoint.id} is being saved already; it is finished or refused first"
        return wrong_state(what, _watch(session), "one save at a time moves a branch")
    if session.landing is not None:
        what = f"landing {session.landing.number} is under way"
        return wrong_state(what, _watch(session), "what is saved is all that has landed")
    if command.checkpoint in session.checkpoints:
        what = f"{command.checkpoint} exists already"
        return invalid(what, f"codeswarm checkpoints {session.id}", "a tag is never moved")
    if command.new != session.tip:
        what = f"the save is of {command.new}, but the tip is {session.tip}"
        return stale(what, _watch(session), "something has landed meanwhile")
    commands = gates.full_commands(session)
    if open_commands := gates.missing(session, session.tip_tree, commands):
        what = f"`{open_commands[0].command}` has no green receipt on the tip yet"
        return wrong_state(what, _watch(session), "a branch moves to what is gated, and nowhere else")
    waivers = tuple(waiver.id for waiver in command.waivers if waiver.tree == session.tip_tree and waiver.by)
    receipts = gates.receipts_for(session, session.tip_tree, commands) + waivers
    if not receipts:
        what = "a save without any gate needs a waiver that names a person"
        return invalid(what, "codeswarm config show", "nothing is saved ungated on nobody's word")
    recorded = [ev.ReceiptsRecorded(receipts=command.waivers)] if command.waivers else []
    intended = ev.SaveIntended(
        checkpoint=command.checkpoint,
        into=session.save.into,
        old=command.old,
        new=command.new,
        tree=session.tip_tree,
        receipts=receipts,
    )
    return [*recorded, intended]


def complete(session: Session, command: cmd.CompleteSave, now_ms: int) -> Decision:
    checkpoint = session.save.checkpoint if session.save else None
    if checkpoint is None:
        return _none_asked(session)
    return [
        ev.CheckpointSaved(
            checkpoint=checkpoint.id,
            into=checkpoint.branch,
            old=checkpoint.old,
            new=checkpoint.new,
            how=command.how,
        )
    ]


def refuse(session: Session, command: cmd.RefuseSave, now_ms: int) -> Decision:
    if session.save is None:
        return _none_asked(session)
    return [
        ev.SaveRefused(
            reason=command.reason,
            detail=command.detail,
            files=command.files,
            commands=command.commands,
            checkpoint=session.save.checkpoint.id if session.save.checkpoint else "",
        )
    ]
