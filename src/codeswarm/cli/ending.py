"""The end of a followed session: what came of it, what to type next, and the question whether to save."""

from __future__ import annotations

import asyncio
import shlex

from codeswarm.cli.again import again
from codeswarm.cli.follow import Follower, Rest, began_nothing
from codeswarm.cli.here import Here
from codeswarm.cli.host import Conversation, choose, is_terminal
from codeswarm.cli.output import count, duration, say
from codeswarm.detection.base import FILE
from codeswarm.domain.events import GateFinished
from codeswarm.domain.results import GateOutcome, GateRun
from codeswarm.domain.session import Session
from codeswarm.domain.states import SessionStatus, SuspendReason, TicketStatus, WaitReason
from codeswarm.errors import RouterUnreachable
from codeswarm.plain import money
from codeswarm.router_client import RouterClient

MOST_FAILING = 10
MOST_HEAD, MOST_TAIL = 10, 20
"""Lines of a gate's output that are shown where it ends a run: many programs say first what is wrong, and then how they
are used.
"""


async def finish(here: Here, client: RouterClient, conversation: Conversation, rest: Rest | None) -> int:
    """Tell how it ended, ask what must be asked, and answer the exit code."""
    follower = conversation.follower
    if rest is None:
        raise RouterUnreachable(
            "the router of this session has gone away",
            "its process ended; everything it acknowledged is in the ledger",
            f"codeswarm resume {follower.session.id}",
        )
    if not here.json:
        for line in _unfit_base(here, follower.session):
            say(line)
        _tell(follower.session, rest)
    if _may_ask_to_save(here, follower.session):
        return await _ask_to_save(here, client, follower)
    return conversation.interrupts.exit_code or rest.exit_code


def _unfit_base(here: Here, session: Session) -> list[str]:
    """Where nothing was begun since the base is red, or can't be set up: what was said, what failed, the ways out."""
    if session.status is not SessionStatus.FINALIZED or not began_nothing(session):
        return []
    with here.ledger() as ledger:
        finished = [record.event for record in ledger.history(session.id) if isinstance(record.event, GateFinished)]
    runs = [run for event in finished for run in event.runs]
    for run in reversed(runs):
        if run.setup_failed:
            return _set_up_explained(here, session, run)
        if run.outcome is GateOutcome.RED:
            return _explained(here, session, run)
    return []


def _set_up_explained(here: Here, session: Session, run: GateRun) -> list[str]:
    typed = shlex.join(["codeswarm", *here.typed])
    ways = (
        ("codeswarm doctor", "what a set-up is told of your proxies, mirrors and certificates"),
        ("codeswarm init --force", f"detect it anew; or change [workspace] setup in {FILE}; commit, and run again"),
        (f"CODESWARM_WORKSPACE_SETUP=true {typed}", "with a set-up that does nothing"),
    )
    return [
        *_shown(run.tail),
        f"{run.reason} on {session.base_branch} as it is, before any agent's work",
        "it runs behind walls: nothing of your HOME is there but the tools on your PATH",
        "three ways out:",
        *(f"  {command}   # {told}" for command, told in ways),
    ]


def _explained(here: Here, session: Session, run: GateRun) -> list[str]:
    from codeswarm.ledger.artifacts import Artifacts

    whole = Artifacts(here.home.data.artifacts).path(run.log) if run.log else None
    lines = [
        *_shown(run.tail),
        *([f"all that it said: zless {shlex.quote(str(whole))}"] if whole and whole.is_file() else []),
        f"`{run.command}` exits with {run.exit_code} on {session.base_branch} as it is, before any agent's work",
    ]
    if session.settings.workspace.sandbox != "none":
        lines.append(
            "it runs behind walls: no network, none of your variables, nothing of your HOME but tools on your PATH; "
            "variables that it needs go into its command, files that git ignores into [workspace] copy"
        )
    if run.failing:
        more = f" and {len(run.failing) - MOST_FAILING} more" if len(run.failing) > MOST_FAILING else ""
        lines.append(f"failing: {', '.join(run.failing[:MOST_FAILING])}{more}")
    ways = (
        (shlex.join(["codeswarm", *here.typed]), "once you have mended it, and committed that"),
        (again(here.typed, "--allow-red-base"), "begin all the same; only new failures count"),
        (again(here.typed, "--no-gate"), "land without the gate, in your name"),
    )
    return [*lines, "three ways out:", *(f"  {command}   # {told}" for command, told in ways)]


def _shown(output: str) -> list[str]:
    lines = output.splitlines()
    if len(lines) > MOST_HEAD + MOST_TAIL:
        lines = [*lines[:MOST_HEAD], "…", *lines[-MOST_TAIL:]]
    return [f"  {line}" for line in lines]


def _may_ask_to_save(here: Here, session: Session) -> bool:
    unsaved = session.status is SessionStatus.AWAITING_REVIEW and session.review_reason == "unsaved"
    return unsaved and is_terminal() and not here.json


async def _ask_to_save(here: Here, client: RouterClient, follower: Follower) -> int:
    from codeswarm.cli.save import show_diff

    session = follower.session
    while True:
        question = f"save to {session.base_branch}? yes / diff / no"
        answer = await asyncio.to_thread(choose, question, ("yes", "diff", "no"))
        if answer == "diff":
            show_diff(here, str(session.id), stat=False)
            continue
        if answer == "no":
            say(f"not saved; it stays on branch codeswarm/{session.id}: codeswarm save {session.id}")
            return 0
        body = {"command": "save_checkpoint", "by": here.by}
        await client.post(f"/sessions/{session.id}/commands", body)
        try:
            async with client.events(session.id, follower.last) as events:
                rest = await follower.until_rest(events)
        finally:
            follower.close()
        _tell(session, rest or Rest(1, "the router went away"))
        return rest.exit_code if rest else 1


def _tell(session: Session, rest: Rest) -> None:
    for line in closing_words(session, rest):
        say(line)


def closing_words(session: Session, rest: Rest) -> list[str]:
    """The last lines: figures, and the commands to go on with."""
    planned = session.plan.tickets if session.plan is not None else ()
    landed, whole = len(session.landed), session.to_land if session.planned else len(planned)
    took = duration(((session.ended_ms or _last_ms(session)) - session.started_ms) / 1000)
    came = f"{landed} of {count(whole, 'ticket')} landed in {took}" if whole else f"there is no plan after {took}"
    words = [f"{'nothing was begun' if began_nothing(session) else came}; {_cost(session)}"]
    for ticket in session.tickets.values():
        for_money = ticket.waiting is WaitReason.BUDGET
        if ticket.status in (TicketStatus.FAILED, TicketStatus.ON_HOLD) or for_money:
            verb = "retry" if ticket.status is TicketStatus.FAILED else "release"
            reason = next(iter((ticket.reason or ticket.waiting_detail).splitlines()), "")
            words.append(
                f"  {ticket.id} {ticket.shown_status}: {reason}   codeswarm ticket {verb} {session.id}/{ticket.id}"
            )
    if session.answer:
        words.append(session.answer)
    return words + _next_steps(session, rest)


def _last_ms(session: Session) -> int:
    ends = [attempt.ended_ms or 0 for ticket in session.tickets.values() for attempt in ticket.attempts.values()]
    return max([session.started_ms, *ends, *(ticket.landed_ms or 0 for ticket in session.tickets.values())])


def _cost(session: Session) -> str:
    spent = session.spending
    if spent.unknown and not spent.usd and not spent.subscription_usd:
        return "cost unknown"
    more = f", {count(spent.unknown, 'attempt')} unknown" if spent.unknown else ""
    return f"{money(spent.usd, spent.subscription_usd)}{more}"


def _next_steps(session: Session, rest: Rest) -> list[str]:
    """What there is to know, and last what to type now."""
    id_ = session.id
    if session.status is SessionStatus.FINALIZED:
        saved = [c for c in session.checkpoints.values() if c.state == "saved"]
        told = [f"saved: {c.branch} is at {c.new[:10]}, tag {c.id}" for c in saved[-1:]]
        return [*told, f"next: git log --oneline {session.base_branch}"] if told else [rest.reason]
    if session.status is SessionStatus.SUSPENDED:
        from codeswarm.report.outcome import going_on

        mend = ["mend it: codeswarm doctor   # what is wrong with each agent, and the command"]
        if session.suspend_reason is not SuspendReason.NO_AGENT:
            mend = []
        return [f"{rest.reason}", *mend, f"next: {going_on(session)}"]
    if session.open_approvals:
        waits = [
            f"waits for a person: codeswarm approve {id_}/{a}   (codeswarm approvals)" for a in session.open_approvals
        ]
        return [*waits, f"next: codeswarm approvals, and once answered: codeswarm resume {id_}"]
    lines = [f"look: codeswarm report {id_}   codeswarm diff --session {id_} --stat"]
    if session.landed:
        lines = [f"unsaved on branch codeswarm/{id_}", *lines, f"next: codeswarm save {id_}"]
    if session.target_reached and session.left:
        target = session.settings.policy.target
        more = f"codeswarm resume {id_} --target {session.to_land}"
        lines.insert(0, f"the target of {target} is reached; to build the other {session.left}: {more}")
    if session.review_reason == "save_refused":
        lines.insert(0, f"not saved: {session.save_refused}")
    return lines
