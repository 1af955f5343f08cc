"""Parking: an agent whose quota is spent, or that can't be used until a person mends it, is sent nothing.

It is a fact of an agent and an account. Who meets it parks the agent in its session, and the engine tells the others.
It ends when its time has come, or by a person's word. Tickets that no agent is left for wait until one is back.
"""

from __future__ import annotations

from collections.abc import Iterator

from codeswarm.domain import cascade, commands as cmd, events as ev
from codeswarm.domain.cascade import POLICY, covers, of_all_models
from codeswarm.domain.ids import TicketId
from codeswarm.domain.leasing import cancelled, holder, interruption_bound
from codeswarm.domain.rejection import Rejection, wrong_state
from codeswarm.domain.results import BURSTS, Failure, FailureClass
from codeswarm.domain.retry import LONGEST_WAIT_MS, parked_ms
from codeswarm.domain.session import AgentKey, Attempt, Session
from codeswarm.domain.settings import Settings
from codeswarm.domain.states import AttemptStatus

SAME_WINDOW_MS = 60_000
"""Moments that are nearer than this are one reset, told twice."""

Decision = list[ev.Event] | Rejection

UNTIL_A_PERSON = frozenset({FailureClass.AUTH, FailureClass.UNKNOWN_MODEL, FailureClass.MISSING})
"""Time mends none of these."""
OF_ALL_MODELS = frozenset({FailureClass.AUTH, FailureClass.MISSING})
OF_THE_ACCOUNT = frozenset({FailureClass.QUOTA, FailureClass.AUTH, *BURSTS})
"""What other sessions are told of, too."""


def parks(session: Session, failure: Failure, now_ms: int) -> bool:
    """Whether an attempt that ended like this leaves its agent parked. A burst does that only where the other side
    names a wait beyond any backoff: that is a quota by another name.
    """
    class_ = failure.failure_class
    if class_ in BURSTS:
        longest_ms = int(session.settings.bounds.backoff_max_s * 1000)
        return failure.retry_at_ms is not None and failure.retry_at_ms > now_ms + longest_ms
    return class_ is FailureClass.QUOTA or class_ in UNTIL_A_PERSON


def park(session: Session, attempt: Attempt, failure: Failure, now_ms: int, *, but: TicketId) -> list[ev.Event]:
    """Park the agent of an attempt that has met a spent quota, a refused login or an unknown model.

    `but`: the attempt's own ticket, whose end is told already.
    """
    if not attempt.agent or not parks(session, failure, now_ms):
        return []
    class_ = failure.failure_class
    agent = of_all_models(attempt.agent) if class_ in OF_ALL_MODELS else attempt.agent
    key = (agent, attempt.account)
    before, known = session.parkings.get(key), session.parked.get(key)
    times = 1 if before is None else before.times + (known is None)
    parked = ev.AgentParked(
        agent=agent,
        account=attempt.account,
        why=class_,
        detail=failure.message[:500],
        since_ms=now_ms,
        until_ms=_until_ms(session, key, failure, times, now_ms),
        times=times,
    )
    if known is not None and parked.until_ms is not None and (failure.retry_at_ms or 0) <= now_ms:
        return []  # who was at work at the same time met the same, and knows no more of it
    return _parked(session, parked, now_ms, but)


def _until_ms(session: Session, key: AgentKey, failure: Failure, times: int, now_ms: int) -> int | None:
    """The reset that was told; else, and where that was wrong before, a wait that grows. At most eight days."""
    if failure.failure_class in UNTIL_A_PERSON:
        return None
    told_ms = failure.retry_at_ms or 0
    if told_ms <= now_ms or times > 1:
        bounds, seed = session.settings.bounds, session.settings.seed
        told_ms = max(told_ms, now_ms + parked_ms(bounds, seed, ":".join(key), times))
    return min(told_ms, now_ms + LONGEST_WAIT_MS)


def keep(session: Session, command: cmd.KeepQuota, now_ms: int) -> Decision:
    """Leave the person their share of a usage window: beyond it nothing more is sent until it begins anew.

    Who is at work ends what it does. A window that does not tell when it begins anew parks nobody.
    """
    held = holder(session, command.ticket, command.epoch)
    if isinstance(held, Rejection):
        return held
    _, attempt = held
    reserve = session.settings.budget.quota_reserve
    over = [w for w in command.windows if w.used > 1 - reserve and w.resets_ms is not None and w.resets_ms > now_ms]
    if not reserve or not over or not attempt.agent:
        return []
    last = max(over, key=lambda window: window.resets_ms or 0)
    known = session.parked.get((of_all_models(attempt.agent), attempt.account))
    if known is not None and (known.until_ms is None or (last.resets_ms or 0) - known.until_ms < SAME_WINDOW_MS):
        return []
    of = f" of {last.name.replace('_', ' ')}" if last.name else ""
    parked = ev.AgentParked(
        agent=of_all_models(attempt.agent),
        account=attempt.account,
        why=FailureClass.QUOTA,
        detail=f"{last.used:.0%}{of} is used, and {reserve:.0%} is left to you (budget.quota_reserve)",
        since_ms=now_ms,
        until_ms=min(last.resets_ms or now_ms, now_ms + LONGEST_WAIT_MS),
    )
    return _parked(session, parked, now_ms)


def hear(session: Session, command: cmd.ParkAgent, now_ms: int) -> Decision:
    """Another session has met it. What this one never uses, or knows already, is no news."""
    if not concerns(session.settings, command.agent):
        return []
    if command.until_ms is not None and command.until_ms <= now_ms:
        return []
    return _parked(session, heard(command), now_ms)


def heard(command: cmd.ParkAgent) -> ev.AgentParked:
    return ev.AgentParked(**command.model_dump())


def concerns(settings: Settings, agent: str) -> bool:
    """Whether a session with these settings might use an agent."""
    return any(covers(agent, spec) for specs in settings.roles.values() for spec in specs)


def _parked(session: Session, parked: ev.AgentParked, now_ms: int, but: TicketId | None = None) -> list[ev.Event]:
    """The event, where it is news; and the end of attempts that were to use the agent and have not begun."""
    known = session.parked.get((parked.agent, parked.account))
    if known is not None and not longer(parked.until_ms, known.until_ms):
        return []
    return [parked, *_called_back(session, parked, but, now_ms)]


def longer(until_ms: int | None, known_ms: int | None) -> bool:
    """Whether a parking lasts longer than one that is known; None: until a person says so."""
    if until_ms is None or known_ms is None:
        return known_ms is not None
    return until_ms > known_ms


def _called_back(session: Session, parked: ev.AgentParked, but: TicketId | None, now_ms: int) -> Iterator[ev.Event]:
    """Nothing is sent any more, so an attempt whose agent has not begun ends; one that runs will see for itself."""
    for id_ in session.in_progress:
        attempt = session.tickets[id_].live
        if attempt is None or attempt.status is not AttemptStatus.LEASED or attempt.rested is not None or id_ == but:
            continue
        if attempt.account == parked.account and covers(parked.agent, attempt.agent):
            ticket, reason = session.tickets[id_], f"{parked.agent} is parked: {parked.why}"
            yield cancelled(ticket, attempt, reason, now_ms)
            yield from interruption_bound(session, ticket, reason)


# ── the end of it ──


def unpark(session: Session, command: cmd.UnparkAgent, now_ms: int) -> Decision:
    """Its time has come, or a person says so. An agent that is not parked is no error."""
    key = (command.agent, command.account)
    parking = session.parked.get(key)
    if parking is None:
        return []
    if not command.by and (parking.until_ms is None or now_ms < parking.until_ms):
        what = f"{command.agent} is parked: {parking.why}"
        return wrong_state(what, f"codeswarm resume {session.id} --unpark", "its time has not come")
    unparked = ev.AgentUnparked(agent=command.agent, account=command.account, by=command.by, told_by=command.told_by)
    return [unparked, *_released(session, {key}, session.settings)]


def by_person(session: Session, by: str, roles: dict[str, tuple[str, ...]], *, everything: bool) -> list[ev.Event]:
    """A person resumes: what waited for a person is tried again, `everything` even before its time. New `roles` may
    have agents that nobody knew of.
    """
    keys = [key for key, parking in session.parked.items() if everything or parking.until_ms is None]
    settings = session.settings.model_copy(update={"roles": {**session.settings.roles, **roles}})
    unparked: list[ev.Event] = [ev.AgentUnparked(agent=agent, account=account, by=by) for agent, account in keys]
    return [*unparked, *_released(session, {*keys}, settings)] if keys or roles else []


def _released(session: Session, keys: set[AgentKey], settings: Settings) -> Iterator[ev.Event]:
    """Tickets that an agent is there for again, once those named are not parked any more."""
    if not session.without_agent:
        return
    parked = {key: parking for key, parking in session.parked.items() if key not in keys}
    for id_ in session.without_agent:
        specs = settings.agents_for(session.tickets[id_].phase.role)
        accounts = [session.accounts.get(cascade.kind_of(spec), "") for spec in specs]
        if any(
            (s, a) not in parked and (of_all_models(s), a) not in parked for s, a in zip(specs, accounts, strict=True)
        ):
            yield ev.TicketReleased(ticket=id_, by=POLICY)
