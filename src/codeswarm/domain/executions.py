"""Execution approvals: an agent asks before it runs something, and a policy answers, a person, or the time.

A question is named by a digest of the ticket's phase and of what is asked. So whoever comes back after a crash, in the
same conversation or in a new one, asks the same one and finds what was answered meanwhile. A word is used once, and
not after the question's expiry.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from fnmatch import fnmatchcase

from codeswarm.domain import commands as cmd, events as ev
from codeswarm.domain.ids import ApprovalId, TicketId, call_name
from codeswarm.domain.leasing import holder
from codeswarm.domain.rejection import Rejection, wrong_state
from codeswarm.domain.session import Approval, Attempt, Session
from codeswarm.domain.settings import Policy
from codeswarm.domain.states import AttemptStatus, TicketStatus

Decision = list[ev.Event] | Rejection

EXECUTION = "execution"
"""The subject of these approvals."""
MOST_QUESTIONS = 200
"""Of one attempt. One that asks more is told no without a person."""
MOST_WORDS = 20_000
"""Characters of a command. More than that nobody can look through."""
SHOWN = 300
POLICY = "policy"
_TOO_MANY = f"it has asked {MOST_QUESTIONS} times: no more of its questions go to a person"

_SEVERAL = re.compile(r"[;&|<>`\n\r]|\$\(")
"""What makes more of a command than the one that it begins with."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What an agent is told."""

    allowed: bool
    by: str
    why: str = ""


def digest(ticket: TicketId, attempt: Attempt, command: str, cwd: str) -> str:
    """The name of a question: the same in every attempt at one phase of a ticket."""
    return hashlib.sha256("\0".join((ticket, attempt.phase, command, cwd)).encode(errors="replace")).hexdigest()


def ask(session: Session, command: cmd.AskPermission, now_ms: int) -> Decision:
    """Find the question, or make an approval of it; what was decided is used up by whoever hears it first."""
    held = holder(session, command.ticket, command.epoch)
    if isinstance(held, Rejection):
        return held
    _, attempt = held
    if attempt.status is not AttemptStatus.RUNNING:
        what = f"attempt {command.ticket}:{command.epoch} is {attempt.status}, not running"
        return wrong_state(what, f"codeswarm work {session.id}/{command.ticket}", "only a running agent asks")
    found = _found(session, attempt, command)
    if found is not None and (found.used or found.state != "granted" or now_ms < found.expires_ms):
        return [] if found.state == "open" or found.used else [_used(found.id, command)]
    known = judged(session.settings.policy, command.command)
    if known is not None and known.allowed:
        return []
    if known is None and attempt.questions < MOST_QUESTIONS:
        return [_request(session, attempt, command, now_ms)]
    return _denied(session, attempt, command, known, now_ms)


def _denied(
    session: Session, attempt: Attempt, command: cmd.AskPermission, known: Answer | None, now_ms: int
) -> list[ev.Event]:
    """A no of the policy's is told once; and so is that an agent asks too much."""
    before = session.asked.get(digest(command.ticket, attempt, command.command, command.cwd))
    if attempt.questions > MOST_QUESTIONS or (before and session.approvals[before].answered_by == POLICY):
        return []
    request = _request(session, attempt, command, now_ms)
    why = _TOO_MANY if known is None else known.why
    return [
        request,
        ev.ApprovalRejected(approval=request.approval, by=POLICY, why=why),
        _used(request.approval, command),
    ]


def _used(approval: ApprovalId, command: cmd.AskPermission) -> ev.ApprovalUsed:
    return ev.ApprovalUsed(approval=approval, ticket=command.ticket, epoch=command.epoch, call=command.call)


def answer(session: Session, command: cmd.AskPermission) -> Answer | None:
    """What the agent is told now; None: nobody has answered yet."""
    attempt = session.tickets[command.ticket].attempts[command.epoch]
    found = _found(session, attempt, command)
    if found is not None:
        return _of(found) if found.used else None
    if (known := judged(session.settings.policy, command.command)) is not None:
        return known
    return Answer(allowed=False, by=POLICY, why=_TOO_MANY) if attempt.questions > MOST_QUESTIONS else None


def _of(approval: Approval) -> Answer:
    """A decided approval in words."""
    return Answer(allowed=approval.state == "granted", by=approval.answered_by, why=approval.reason)


def _found(session: Session, attempt: Attempt, command: cmd.AskPermission) -> Approval | None:
    """The approval that this call has had its answer from, or that it may still have it from."""
    if (told := session.calls.get(call_name(command.ticket, command.epoch, command.call))) is not None:
        return session.approvals[told]
    asked = session.asked.get(digest(command.ticket, attempt, command.command, command.cwd))
    approval = session.approvals[asked] if asked is not None else None
    return None if approval is None or approval.used or approval.state == "voided" else approval


def _request(session: Session, attempt: Attempt, command: cmd.AskPermission, now_ms: int) -> ev.ApprovalRequested:
    shown = " ".join(command.command.split())
    shown = f"{shown[:SHOWN]} …" if len(shown) > SHOWN else shown
    reason = " ".join(command.reason.split())[:SHOWN]
    return ev.ApprovalRequested(
        approval=ApprovalId(f"a{session.approval_count + 1}"),
        subject=EXECUTION,
        evidence=digest(command.ticket, attempt, command.command, command.cwd),
        why=f"attempt {attempt.epoch} ({attempt.agent}) asks to run `{shown}`" + (f": {reason}" if reason else ""),
        expires_at_ms=now_ms + int(session.settings.policy.approval_timeout_s * 1000),
        ticket=command.ticket,
        epoch=command.epoch,
        command=command.command[:MOST_WORDS],
        cwd=command.cwd,
    )


# ── the policy ───────────────────────────────────────────────────────────────────────────────────────────────


def judged(policy: Policy, command: str) -> Answer | None:
    """What the policy says of a command by itself; None: a person is asked.

    A pattern that allows must fit the whole command, and never fits several in one line that it does not name itself;
    one that denies need only fit one of several.
    """
    if (fits := _first(policy.commands_deny, [command, *_SEVERAL.split(command)])) is not None:
        return Answer(allowed=False, by=POLICY, why=f"policy.commands_deny has {fits!r}")
    if policy.commands == "allow":
        return Answer(allowed=True, by=POLICY)
    if len(command) > MOST_WORDS:
        return Answer(allowed=False, by=POLICY, why=f"it is longer than the {MOST_WORDS} characters that are looked at")
    simple = [pattern for pattern in policy.commands_allow if pattern == command or not _SEVERAL.search(command)]
    return Answer(allowed=True, by=POLICY) if _first(tuple(simple), [command]) is not None else None


def _first(patterns: tuple[str, ...], commands: list[str]) -> str | None:
    """The first pattern that fits one of `commands`."""
    plain = [" ".join(command.split()) for command in commands]
    return next((p for p in patterns if any(fnmatchcase(c, p) for c in plain)), None)


# ── the end ──────────────────────────────────────────────────────────────────────────────────────────────────


def moot(session: Session) -> list[ev.Event]:
    """Open questions of agents that are not there any more and can't come back to them."""
    return [
        ev.ApprovalVoided(approval=id_, reason=why)
        for id_ in session.open_approvals
        if (why := _moot(session, session.approvals[id_]))
    ]


def _moot(session: Session, approval: Approval) -> str:
    """Why a question is moot; nothing where it is not, or is none of an agent's.

    It is not where the attempt was only cut off: the next one takes up its work, and mostly its conversation.
    """
    if approval.subject != EXECUTION or approval.ticket is None:
        return ""
    ticket = session.tickets[approval.ticket]
    asker, last = ticket.attempts[approval.epoch], ticket.attempts[ticket.epoch]
    goes_on = last.live or (last.status in _CUT_OFF and ticket.status in _MAY_GO_ON)
    same = last.phase == asker.phase == ticket.phase.name
    return "" if goes_on and same else f"attempt {asker.epoch}, which asked, has ended"


_CUT_OFF = frozenset({AttemptStatus.LOST, AttemptStatus.CANCELLED})
_MAY_GO_ON = frozenset({TicketStatus.READY, TicketStatus.WAITING})


def stands_still(session: Session) -> bool:
    """Whether every agent at work waits for a person's word, and nothing else can move meanwhile."""
    if not session.open_approvals or not session.in_progress or session.save is not None:
        return False
    if session.gates or session.landing is not None or session.landing_queue:
        return False
    if session.can_claim and len(session.in_progress) < session.settings.workers:
        return False
    asking = {session.approvals[id_].ticket for id_ in session.open_approvals if session.approvals[id_].epoch}
    return all(id_ in asking for id_ in session.in_progress)
