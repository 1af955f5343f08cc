"""Which agent is to do an attempt: a role's agents are a list, first choice first.

A ticket goes to the first choice that is not parked and that the worker has. Too many bursts leave one choice out,
once; a red gate may bring the ticket up to the next choice, for good. All choices stay in the list, so that a role of
whose agents one can be used is never without.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache

from codeswarm.domain import commands as cmd, events as ev
from codeswarm.domain.pipeline import Role
from codeswarm.domain.results import BURSTS, FailureClass
from codeswarm.domain.session import AgentKey, Attempt, Parking, Session, Ticket
from codeswarm.domain.states import STOPS, WaitReason

POLICY = "policy"
ALL_MODELS = "*"
OF_PROGRAMS = frozenset({"acp", "command", "replay"})
"""Kinds whose argument is a program, not a model: what one of them logs in with says nothing of another."""
ESCALATES = frozenset({FailureClass.GATE_RED, FailureClass.CONTRACT_PASSES, FailureClass.SETUP_BROKEN})
"""The gate says that the work is not good enough: another model may do better."""


@lru_cache(maxsize=256)
def kind_of(spec: str) -> str:
    return spec.partition(":")[0]


def of_all_models(spec: str) -> str:
    """The name of an agent in all of its models, where its argument is one."""
    kind = kind_of(spec)
    return spec if kind in OF_PROGRAMS else f"{kind}:{ALL_MODELS}"


def covers(agent: str, spec: str) -> bool:
    """Whether what is said of an agent, perhaps of all of its models, is said of a spec."""
    return agent in (spec, of_all_models(spec))


def parking_of(session: Session, spec: str, account: str) -> Parking | None:
    """Why nothing is sent to an agent now: what lasts longest counts."""
    found = [session.parked.get((agent, account)) for agent in dict.fromkeys((of_all_models(spec), spec))]
    return max((one for one in found if one is not None), key=_lasts, default=None)


def _lasts(parking: Parking) -> float:
    return float("inf") if parking.until_ms is None else parking.until_ms


# ── the choice ──


def choice(session: Session, ticket: Ticket, claim: cmd.Claim) -> AgentKey | None:
    """The agent that is to do the ticket's next attempt, and its account, among those that the claiming worker has.

    None where it has none that could be used.
    """
    for spec in _in_turn(ticket, session.settings.agents_for(ticket.phase.role)):
        if _usable(session, spec, claim):
            return spec, claim.accounts.get(kind_of(spec), "")
    return None


def _in_turn(ticket: Ticket, specs: tuple[str, ...]) -> tuple[str, ...]:
    """The choices as this ticket has them: from its rung on, then those below; the one that is passed over last."""
    rung = ticket.rungs.get(ticket.phase.name, 0) if ticket.rungs else 0
    if rung:
        specs = specs[rung:] + specs[:rung]
    if ticket.passed_over in specs:
        specs = (*(spec for spec in specs if spec != ticket.passed_over), ticket.passed_over)
    return specs


def has_agent(session: Session, role: Role, claim: cmd.Claim) -> bool:
    """Whether the claiming worker has an agent for a role that can be used now."""
    specs = session.settings.agents_for(role)
    if not session.parked and not claim.agents:
        return bool(specs)
    return any(_usable(session, spec, claim) for spec in specs)


def _usable(session: Session, spec: str, claim: cmd.Claim) -> bool:
    kind = kind_of(spec)
    if claim.agents and kind not in claim.agents:
        return False
    return not session.parked or parking_of(session, spec, claim.accounts.get(kind, "")) is None


# ── roles without an agent ──


def shut(session: Session, role: Role) -> list[Parking]:
    """Why each agent of a role is parked, by the accounts that were last heard of; empty where one can be used."""
    found = []
    for spec in session.settings.agents_for(role):
        parking = parking_of(session, spec, session.accounts.get(kind_of(spec), ""))
        if parking is None:
            return []
        found.append(parking)
    return found


def why_shut(session: Session, role: Role) -> str:
    """What a role waits for, for a person: its agents, and why each of them is parked."""
    specs = session.settings.agents_for(role)
    return ", ".join(f"{spec} ({parking.why})" for spec, parking in zip(specs, shut(session, role), strict=False))


def standing(session: Session, claim: cmd.Claim) -> list[ev.Event]:
    """What a claim shows: tickets that no agent is left for, and those that this worker has one for after all."""
    events: list[ev.Event] = []
    if session.status not in STOPS:
        return events
    for role in sorted(session.ready.roles() - {Role.VERIFIER}):
        if shut(session, role) and not has_agent(session, role, claim):
            detail = why_shut(session, role)
            events += [
                ev.TicketWaiting(ticket=id_, reason=WaitReason.QUOTA, detail=detail)
                for id_ in session.ready.of_role(role)
            ]
    for id_ in session.without_agent:
        if (found := choice(session, session.tickets[id_], claim)) is not None:
            events.append(ev.TicketReleased(ticket=id_, by=POLICY, agent=found[0], account=found[1]))
    return events


def only_a_person(session: Session) -> str:
    """Why nothing goes on before a person has mended an agent, where that is so; empty otherwise."""
    found = {role: shut(session, role) for role in dict.fromkeys(_waiting_roles(session))}
    if not found or any(
        not parkings or any(one.until_ms is not None for one in parkings) for parkings in found.values()
    ):
        return ""
    waiting = "; ".join(f"{role}: {why_shut(session, role)}" for role in found)
    return f"no agent can be used ({waiting}): {next(iter(found.values()))[0].detail}"


def _waiting_roles(session: Session) -> Iterator[Role]:
    return (session.tickets[id_].phase.role for id_ in session.without_agent)


# ── what an end means for the next choice ──


def recent_bursts(session: Session, ticket: Ticket, now_ms: int) -> tuple[int, ...]:
    begin_ms = now_ms - int(session.settings.bounds.burst_window_s * 1000)
    return tuple(moment for moment in ticket.bursts if begin_ms < moment <= now_ms)


def passed_over(
    session: Session, ticket: Ticket, attempt: Attempt, class_: FailureClass, now_ms: int
) -> list[ev.AgentPassedOver]:
    """After too many bursts the next attempt goes to another choice, where there is one that can be used."""
    if class_ not in BURSTS:
        return []
    bursts = len(recent_bursts(session, ticket, now_ms)) + 1
    if bursts < session.settings.bounds.max_bursts or not _other(session, attempt):
        return []
    return [ev.AgentPassedOver(ticket=ticket.id, epoch=attempt.epoch, agent=attempt.agent, bursts=bursts)]


def _other(session: Session, attempt: Attempt) -> bool:
    """Whether the attempt's role has another agent than the attempt's that is not parked."""
    return any(
        spec != attempt.agent and parking_of(session, spec, session.accounts.get(kind_of(spec), "")) is None
        for spec in session.settings.agents_for(attempt.role)
    )


def escalated(session: Session, ticket: Ticket, attempt: Attempt, class_: FailureClass) -> list[ev.TicketEscalated]:
    """After a red gate the phase goes to the choice above the one that did it, where policy says so."""
    specs, wanted = session.settings.agents_for(attempt.role), session.settings.policy.escalate
    if class_ not in ESCALATES or not {attempt.role.value, "*"} & {*wanted} or attempt.agent not in specs:
        return []
    rung = specs.index(attempt.agent) + 1
    if rung <= ticket.rungs.get(attempt.phase, 0) or rung >= len(specs):
        return []
    return [
        ev.TicketEscalated(
            ticket=ticket.id,
            epoch=attempt.epoch,
            phase=attempt.phase,
            agent=specs[rung],
            instead_of=attempt.agent,
            rung=rung,
        )
    ]
