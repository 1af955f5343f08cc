"""What is promised of agents that are parked, and of cascades, read off the committed events alone.

Nothing is sent to a parked agent, by the session that parked it or by any other that could have heard of it; every
parking is bounded; a ticket goes up its role's list and never round; and whatever happens to agents, a phase that is
finished is not done again.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from codeswarm.domain import events as ev
from codeswarm.domain.ids import SessionId, TicketId
from codeswarm.domain.results import FailureClass

LONGEST_MS = 8 * 24 * 3_600_000
HEARD_S = 120.0
"""Within this every session that lives has heard of a parking: a full disk keeps a word back for a minute at most."""
PERSONS = frozenset({FailureClass.AUTH, FailureClass.UNKNOWN_MODEL, FailureClass.MISSING})
"""What no time mends."""
BACK = (ev.ChangesRequested, ev.ContractDisputed, ev.LandingBounced, ev.TicketRetried, ev.PlanRejected, ev.TicketEdited)
"""After these a phase may have to be done again."""

OF_OTHERS = frozenset({ev.AgentParked, ev.AgentUnparked, ev.AttemptLeased, ev.AttemptStarted})
OF_AGENTS = OF_OTHERS | {ev.AttemptSucceeded, ev.AttemptFailed, ev.TicketEscalated, *BACK}
"""Kinds of events that are worth a look; most are not."""

Agent = tuple[str, str]


def names(agent: Agent) -> tuple[Agent, Agent]:
    """What an agent may be parked as: itself, or its CLI in all of its models."""
    spec, account = agent
    return agent, (f"{spec.partition(':')[0]}:*", account)


@dataclass
class AgentBooks:
    """One session's."""

    parked: dict[Agent, ev.AgentParked] = field(default_factory=dict)
    done: dict[TicketId, set[str]] = field(default_factory=dict)
    """Phases that are finished."""
    leased: dict[tuple[TicketId, int], ev.AttemptLeased] = field(default_factory=dict)
    rungs: dict[tuple[TicketId, str], int] = field(default_factory=dict)
    told: dict[Agent, int] = field(default_factory=dict)
    """The reset that an agent's own attempt has just met."""

    def look(self, event: ev.Event, at_ms: int) -> Iterator[str]:
        match event:
            case ev.AttemptLeased():
                yield from self._leased(event)
            case ev.AttemptStarted():
                lease = self.leased[event.ticket, event.epoch]
                if parked := self._why(lease):
                    yield f"attempt {event.ticket}:{event.epoch} was started with {lease.agent}, which is {parked}"
            case ev.AttemptSucceeded():
                self.done.setdefault(event.ticket, set()).add(self.leased[event.ticket, event.epoch].phase)
            case ev.AttemptFailed() if event.failure.failure_class is FailureClass.QUOTA:
                lease = self.leased[event.ticket, event.epoch]
                self.told[lease.agent, lease.account] = event.failure.retry_at_ms or 0
            case ev.AgentParked():
                yield from self._parked(event)
            case ev.AgentUnparked():
                yield from self._unparked(event, at_ms)
            case ev.TicketEscalated():
                yield from self._escalated(event)
            case _ if isinstance(event, BACK):
                self._back(event)

    def _leased(self, event: ev.AttemptLeased) -> Iterator[str]:
        self.leased[event.ticket, event.epoch] = event
        if event.visitor:  # a person works where they like, and starts no agent
            self._back(event)
            return
        if event.phase in self.done.get(event.ticket, ()):
            yield f"phase {event.phase} of {event.ticket} is done, and was leased again at epoch {event.epoch}"
        if event.agent and (parked := self._why(event)):
            yield f"attempt {event.ticket}:{event.epoch} was leased to {event.agent}, which is {parked}"

    def _why(self, lease: ev.AttemptLeased) -> str:
        agents = () if lease.visitor else names((lease.agent, lease.account))
        found = [self.parked[name] for name in agents if name in self.parked]
        return f"parked: {found[0].why}" if found else ""

    def _parked(self, event: ev.AgentParked) -> Iterator[str]:
        self.parked[event.agent, event.account] = event
        if (event.until_ms is None) != (event.why in PERSONS):
            yield f"{event.agent} is parked for {event.why} until {event.until_ms}"
        if event.until_ms is None:
            return
        if event.until_ms - event.since_ms > LONGEST_MS:
            yield f"{event.agent} is parked for longer than eight days"
        of_quota = not event.told_by and event.why is FailureClass.QUOTA
        told_ms = self.told.pop((event.agent, event.account), 0) if of_quota else 0
        if event.until_ms < min(told_ms, event.since_ms + LONGEST_MS):
            yield f"{event.agent} is parked until {event.until_ms}, but its quota is back at {told_ms}"

    def _unparked(self, event: ev.AgentUnparked, at_ms: int) -> Iterator[str]:
        parked = self.parked.pop((event.agent, event.account), None)
        self.told.pop((event.agent, event.account), None)  # met while it was parked for longer: that is over, too
        if parked is None:
            yield f"{event.agent} is back and was not away"
        elif not event.by and (parked.until_ms is None or at_ms < parked.until_ms):
            yield f"{event.agent} is back at {at_ms}, before its time ({parked.until_ms}), and nobody said so"

    def _escalated(self, event: ev.TicketEscalated) -> Iterator[str]:
        if event.rung <= self.rungs.get((event.ticket, event.phase), 0):
            yield f"phase {event.phase} of {event.ticket} went up to choice {event.rung}, where it was already"
        self.rungs[event.ticket, event.phase] = event.rung

    def _back(self, event: ev.Event) -> None:
        ticket = getattr(event, "ticket", None)
        for id_ in [ticket] if ticket is not None else list(self.done):
            self.done.pop(id_, None)
        if isinstance(event, ev.TicketRetried | ev.AttemptLeased):
            self.rungs = {key: rung for key, rung in self.rungs.items() if key[0] != event.ticket}


class Heard:
    """What each session must have heard from the others by now."""

    def __init__(self) -> None:
        self._known: dict[Agent, tuple[ev.AgentParked, float]] = {}
        self._leases: dict[tuple[SessionId, TicketId, int], Agent] = {}

    def look(self, session: SessionId, event: ev.Event, at_ms: int, at_s: float) -> Iterator[str]:
        for name in [name for name, (parked, _) in self._known.items() if (parked.until_ms or at_ms + 1) <= at_ms]:
            del self._known[name]  # for good, even where the clock is put back
        match event:
            case ev.AgentParked() if not event.told_by and event.why is not FailureClass.UNKNOWN_MODEL:
                self._known[event.agent, event.account] = (event, at_s)
            case ev.AgentUnparked():
                self._known.pop((event.agent, event.account), None)
            case ev.AttemptLeased() if event.agent and not event.visitor:
                self._leases[session, event.ticket, event.epoch] = (event.agent, event.account)
            case ev.AttemptStarted():
                agent = self._leases.get((session, event.ticket, event.epoch))
                for name in names(agent) if agent else ():
                    if self._should_know(name, at_ms, at_s):
                        yield f"session {session} started {event.ticket}:{event.epoch} with {name[0]}, parked elsewhere"

    def _should_know(self, name: Agent, at_ms: int, at_s: float) -> bool:
        if name not in self._known:
            return False
        parked, since_s = self._known[name]
        return at_s > since_s + HEARD_S and (parked.until_ms is not None and at_ms < parked.until_ms)
