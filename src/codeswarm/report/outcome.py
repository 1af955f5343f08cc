"""The top of the page: what came of it in one sentence, the figures behind it, and what needs a person now."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from codeswarm import plain
from codeswarm.domain.budget import as_much_again, roles_as_much_again
from codeswarm.domain.ids import TicketId
from codeswarm.domain.results import FailureClass
from codeswarm.domain.session import Approval, Attempt, Session, Ticket
from codeswarm.domain.states import Outcome, SessionStatus, SuspendReason, TicketStatus, WaitReason
from codeswarm.plain import count, day_and_time, duration
from codeswarm.report.document import Ask, Cost
from codeswarm.report.history import History

S, T = SessionStatus, TicketStatus
MOST_ASKS = 20
"""Tickets that are asked about one by one; the others in one line."""
WORDS = {
    T.COMPLETE: "landed",
    T.FAILED: "failed",
    T.ON_HOLD: "on hold",
    T.WAITING: "waiting",
    T.IN_PROGRESS: "at work",
    T.LANDING: "landing",
    T.READY: "ready",
    T.PENDING: "pending",
    T.CANCELLED: "cancelled",
}
"""How the state of a ticket is said, in the order in which it matters in the morning."""


def cost_of(attempts: Iterable[Attempt]) -> Cost:
    """The sum of what agents said, and how many did not say."""
    usd, by_subscription, ended, unknown, running, tokens = 0.0, 0.0, 0, 0, 0, None
    for attempt in attempts:
        if not attempt.agent:
            continue
        if attempt.live:
            running += 1
            continue
        ended += 1
        if attempt.cost_known:
            usd += attempt.charged_usd
            by_subscription += attempt.subscription_usd
        else:
            unknown += 1
        if attempt.usage.tokens is not None:
            tokens = (tokens or 0) + attempt.charged_tokens
    return Cost(
        usd=round(usd, 6),
        subscription_usd=round(by_subscription, 6),
        attempts=ended,
        unknown=unknown,
        running=running,
        tokens=tokens,
    )


def money(cost: Cost) -> str:
    """What it cost, and how sure that is."""
    if not cost.attempts:
        return "nothing spent yet" if cost.running else "nothing spent"
    if cost.unknown == cost.attempts:
        which = "the agent" if cost.attempts == 1 else f"none of {cost.attempts} attempts"
        return f"cost unknown ({which} did not say)" if cost.attempts == 1 else f"cost unknown ({which} said)"
    if cost.unknown:
        least = plain.money(cost.usd, cost.subscription_usd)
        return f"at least {least} ({cost.unknown} of {cost.attempts} attempts did not say)"
    return plain.money(cost.usd, cost.subscription_usd) + (" so far" if cost.running else "")


def per_landed(cost: Cost, landed: int) -> float | None:
    """What a landed ticket costs, whoever paid; None where none has landed or somebody did not say."""
    known = landed and cost.attempts and not cost.unknown
    return round((cost.usd + cost.subscription_usd) / landed, 4) if known else None


def _each(cost: Cost, landed: int) -> str:
    """The same, for a person."""
    if not landed or not cost.attempts:
        return ""
    each, about = per_landed(cost, landed), "≈ " if cost.subscription_usd else ""
    return "; per landed ticket unknown" if each is None else f"; {about}${each:.2f} per landed ticket"


def built(session: Session) -> list[Ticket]:
    """The tickets that are to land: all but those in which planners work."""
    return [ticket for ticket in session.tickets.values() if ticket.planning is None]


def counts(session: Session) -> dict[str, int]:
    """State of tickets → how many, as `WORDS` orders them."""
    found: dict[TicketStatus, int] = {}
    for ticket in built(session):
        found[ticket.shown_status] = found.get(ticket.shown_status, 0) + 1
    return {state: found[state] for state in WORDS if state in found}


# ── the sentence ─────────────────────────────────────────────────────────────────────────────────────────────


def headline(history: History, *, live: bool) -> str:
    """What came of it, in one sentence."""
    session = history.session
    if not session.planned:
        return _before(session, live=live)
    told = _tickets(session)
    match session.status:
        case S.FINALIZED if session.outcome is Outcome.FAILED:
            return f"Nothing was begun: {_first_line(session.detail)}."
        case S.FINALIZED:
            return f"{told}, and all that landed is saved."
        case S.CANCELLED:
            return f"Cancelled{_because(session)}: {_lower(told)}."
        case S.SUSPENDED:
            return f"Suspended ({_first_line(session.detail) or session.suspend_reason}): {_lower(told)}."
        case S.AWAITING_REVIEW:
            return f"{told}; {_review(session)}."
        case S.DRAFT if session.to_be_started:
            return f"A draft of {count(session.to_land, 'ticket')}: nothing runs before you begin it."
        case S.DRAFT:
            return f"The plan has {count(session.to_land, 'ticket')}; the gate runs on the base."
    return f"{told}; " + ("it goes on." if live else "nobody hosts it any more.")


def _before(session: Session, *, live: bool) -> str:
    planned = count(len(session.plan.tickets), "ticket") if session.plan else "no tickets"
    if session.status is S.FINALIZED:
        return f"Nothing was begun: {_first_line(session.detail)}."
    if session.status is S.CANCELLED:
        return f"Cancelled{_because(session)} before anything was begun."
    if session.status is S.SUSPENDED:
        return f"Suspended ({_first_line(session.detail) or session.suspend_reason}) before anything was begun."
    if session.open_approvals:
        return f"The plan of {planned} waits for your word; nothing is begun before that."
    if session.plan is None:
        return "There is no plan yet" + ("; it is being made." if live else ", and nobody hosts the session.")
    return f"The plan has {planned}; nothing is begun yet."


def _tickets(session: Session) -> str:
    """`7 of 9 tickets landed, 1 failed, 1 pending`."""
    found = counts(session)
    landed = len(session.landed)
    rest = [f"{number} {WORDS[TicketStatus(state)]}" for state, number in found.items() if state != T.COMPLETE]
    whole = "All" if landed == session.to_land and landed > 1 else f"{landed or 'None'} of"
    return ", ".join([f"{whole} {count(session.to_land, 'ticket')} landed", *rest])


def _review(session: Session) -> str:
    if session.save_refused:
        return "the save was refused"
    return {
        "unsaved": "your branch has not moved: save it, or leave it",
        "full_gate_red": "the full gate is red on what landed",
        "approvals": "your word is waited for",
        "nothing_landed": "nothing can move without you",
    }.get(session.review_reason, "nothing can move without you")


def _because(session: Session) -> str:
    return f" ({_first_line(session.detail)})" if session.detail else ""


def _first_line(text: str) -> str:
    return next(iter(text.strip().splitlines()), "").rstrip(".")


def _lower(text: str) -> str:
    return text[:1].lower() + text[1:]


MOSTLY = 0.8
"""With less than this part of the time spent at work, both are told: the rest was waiting."""


def facts(history: History, cost: Cost, until_ms: int, busy_s: float) -> tuple[str, ...]:
    """The figures behind the sentence. `busy_s`: how long anything ran at all."""
    session = history.session
    moved = f" → {session.tip[:10]}" if session.tip != session.base else ", where it still stands"
    found = [f"{session.base_branch} at {session.base[:10]}{moved}", *_saved(history)]
    attempts = [attempt for ticket in session.tickets.values() for attempt in ticket.attempts.values()]
    took_s = (until_ms - session.started_ms) / 1000
    whole = f", {duration(took_s)} in all" if busy_s < MOSTLY * took_s else ""
    found.append(f"{count(len(attempts), 'attempt')}, {duration(busy_s)} of work{whole}")
    found.append(money(cost) + _each(cost, len(session.landed)))
    return tuple(found)


def _saved(history: History) -> Iterator[str]:
    session = history.session
    if history.saves:
        last = history.saves[-1].event
        more = "" if last.new == session.tip else "; what landed since is not"
        yield f"saved: {last.into} at {last.new[:10]}, tag {last.checkpoint}{more}"
    elif session.landed:
        yield f"not saved; it is on branch codeswarm/{session.id}"


# ── what needs a person ──────────────────────────────────────────────────────────────────────────────────────


def asks(history: History, *, live: bool) -> tuple[Ask, ...]:
    """What a person must do or decide now, most pressing first."""
    session = history.session
    if session.status is S.FINALIZED:
        return tuple(_tickets_asked(session)) if session.outcome is Outcome.FAILED and session.planned else ()
    if session.status is S.CANCELLED:
        return ()
    return (
        *_approvals(session),
        *_suspension(session, live=live),
        *_agents(session),
        *_saving(history),
        *_tickets_asked(session),
    )


def _approvals(session: Session) -> Iterator[Ask]:
    for id_ in session.open_approvals:
        approval = session.approvals[id_]
        about = f"ticket {approval.ticket}" if approval.ticket else f"the {approval.subject}"
        look = [f"codeswarm diff {session.id}/{approval.ticket}"] if approval.ticket else []
        answers = (f"codeswarm approve {session.id}/{id_}", f"codeswarm reject {session.id}/{id_} --why TEXT")
        yield Ask(what=f"Approve or reject {about}", why=_stakes(approval), commands=(*look, *answers))


def _stakes(approval: Approval) -> str:
    """Why it is asked, what speaks against a quick yes, and until when it can be answered."""
    risk = f"; risk {approval.risk} of 100" if approval.risk else ""
    reasons = f" ({'; '.join(approval.reasons)})" if approval.risk and approval.reasons else ""
    return f"{approval.why}{risk}{reasons}; without an answer by {day_and_time(approval.expires_ms)} it is a no"


def _suspension(session: Session, *, live: bool) -> Iterator[Ask]:
    if session.status is S.SUSPENDED:
        why = session.detail or f"it is suspended: {session.suspend_reason}"
        mend = ("codeswarm doctor",) if session.suspend_reason is SuspendReason.NO_AGENT else ()
        yield Ask(what="Go on, or leave it", why=why, commands=(*mend, going_on(session)))
    elif session.to_be_started:
        why = "it is a draft: nothing has run yet, not even the gate on its base"
        yield Ask(what="Begin it, or leave it", why=why, commands=(f"codeswarm resume {session.id}",))
    elif session.status in (S.DRAFT, S.ACTIVE) and not live and not session.open_approvals:
        why = "no process hosts the session; everything that it acknowledged is kept"
        yield Ask(what="Go on where it stands", why=why, commands=(f"codeswarm resume {session.id}",))


def _agents(session: Session) -> Iterator[Ask]:
    """Agents that time does not bring back. A session that is suspended for them has said so already."""
    if session.suspend_reason is SuspendReason.NO_AGENT:
        return
    for (agent, _), parking in session.parked.items():
        if parking.until_ms is None:
            what = f"Mend {agent.removesuffix(':*')}, which is sent nothing ({parking.why})"
            yield Ask(what=what, why=_first_line(parking.detail), commands=("codeswarm doctor", going_on(session)))


def going_on(session: Session) -> str:
    """The command that takes a suspended session up again. A budget that is used up must be raised for that."""
    words = ["codeswarm", "resume", session.id]
    if session.suspend_reason is SuspendReason.BUDGET:
        usd, tokens = as_much_again(session)
        words += [] if usd is None else ["--budget-usd", f"{usd:g}"]
        words += [] if tokens is None else ["--budget-tokens", str(tokens)]
        for role, caps in roles_as_much_again(session).items():
            words += [] if caps.usd is None else ["--role-usd", f"{role}={caps.usd:g}"]
            words += [] if caps.tokens is None else ["--role-tokens", f"{role}={caps.tokens}"]
    if session.suspend_reason is SuspendReason.NO_AGENT:
        words += unknown_models(session)
    return " ".join(words)


def unknown_models(session: Session) -> list[str]:
    """`--agent KIND`: a model that its provider does not have is not mended by trying it again."""
    unknown = [agent for (agent, _), one in session.parked.items() if one.why is FailureClass.UNKNOWN_MODEL]
    return ["--agent", unknown[0].partition(":")[0]] if unknown else []


def _saving(history: History) -> Iterator[Ask]:
    session = history.session
    if session.status is not S.AWAITING_REVIEW:
        return
    save = f"codeswarm save {session.id}"
    look = f"codeswarm diff --session {session.id}"
    if history.refused is not None and session.save_refused:
        refused = history.refused.event
        files = f" ({', '.join(refused.files[:5])})" if refused.files else ""
        yield Ask(what="Clear the way, then save", why=refused.detail + files, commands=(*refused.commands, save))
    elif session.review_reason == "full_gate_red":
        why = "each landing was green by itself; together they are not, so nothing is saved"
        yield Ask(what="See why the full gate is red", why=why, commands=(look, f"codeswarm timeline {session.id}"))
    elif session.landed and session.tip != session.saved_tip:
        why = f"what landed is on branch codeswarm/{session.id}, and {session.base_branch} has not moved"
        yield Ask(what=f"Save to {session.base_branch}", why=why, commands=(look, save))


def _tickets_asked(session: Session) -> Iterator[Ask]:
    for_money = [ticket for ticket in built(session) if ticket.waiting is WaitReason.BUDGET]
    found = [ticket for ticket in built(session) if ticket.status in (T.FAILED, T.ON_HOLD)] + for_money
    found.sort(key=lambda ticket: (ticket.status is not T.FAILED, ticket.place))
    for ticket in found[:MOST_ASKS]:
        yield _ticket_asked(session, ticket)
    if len(found) > MOST_ASKS:
        more = f"{len(found) - MOST_ASKS} more tickets failed or are on hold"
        yield Ask(what=more, commands=(f"codeswarm ticket list {session.id} --state failed",))


def _ticket_asked(session: Session, ticket: Ticket) -> Ask:
    name = f"{session.id}/{ticket.id}"
    stuck = [id_ for id_ in _behind(session, ticket) if session.tickets[id_].status is not T.CANCELLED]
    behind = f"; {count(len(stuck), 'ticket')} behind it can't start" if stuck else ""
    why = (_first_line(ticket.reason or ticket.waiting_detail) or "no reason was given") + behind
    if ticket.status is T.FAILED:
        what, verb = f"Retry or cancel {ticket.id}, which failed", "retry"
    else:
        where = "waits for budget" if ticket.waiting is WaitReason.BUDGET else "is on hold"
        what, verb = f"Release or cancel {ticket.id}, which {where}", "release"
    look = (f"codeswarm logs {name}",) if ticket.attempts else ()
    answers = (f"codeswarm ticket {verb} {name}", f"codeswarm ticket cancel {name}")
    return Ask(what=what, why=why, commands=(*look, *answers))


def _behind(session: Session, ticket: Ticket) -> list[TicketId]:
    """Everything that waits for a ticket, directly or not."""
    seen: dict[TicketId, None] = {}
    open_ = list(session.dependents.get(ticket.id, ()))
    while open_:
        id_ = open_.pop()
        if id_ not in seen:
            seen[id_] = None
            open_ += session.dependents.get(id_, ())
    return list(seen)
