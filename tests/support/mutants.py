"""Bugs planted in the domain, one at a time and in memory only: what a simulation that is worth its name must find.

A mutant is one change of one function's text. The changed text is compiled and its code put into the function that is
there, so that everyone who imported it by name has the bug, too.
"""

from __future__ import annotations

import contextlib
import inspect
import textwrap
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from types import FunctionType
from typing import Any

from codeswarm.domain import (
    budget,
    cascade,
    gates,
    landing,
    leasing,
    lifecycle,
    metering,
    outcome,
    parking,
    policy,
    resting,
    settle,
    tickets,
)
from codeswarm.domain.evolving import attempt, landing as landed, moves, session, spending
from codeswarm.engine.kernel import Kernel
from codeswarm.engine.leases import LeaseDesk
from codeswarm.engine.parkings import Parkings
from codeswarm.engine.rescuer import Rescuer


@dataclass(frozen=True)
class Mutant:
    name: str
    function: Callable[..., Any]
    old: str
    new: str


MUTANTS = (
    Mutant("the epoch of a word is not checked", leasing.holder, "if ticket.live_epoch != epoch:", "if False:"),
    Mutant("a gate's epoch is not checked", leasing.gate_holder, "if gate.live_epoch != epoch:", "if False:"),
    Mutant("a leased ticket stays in the queue", moves.move, "session.ready.discard(id_)", "pass"),
    Mutant("no money is set aside", budget.reservation, "usd=budget.reserve_usd if", "usd=0.0 if"),
    Mutant("an agent is started without asking for the money", budget.affordable,
           "return _hold(", "return True or _hold("),
    Mutant("a retry is lost", moves.make_ready, "enqueue(session, ticket)", "pass"),
    Mutant("failures are not counted", attempt._failed, "ticket.failures += 1", "ticket.failures += 0"),
    Mutant("a landing asks for no receipt", gates.missing, "if not _passed(session, tree, command, base)", "if False"),
    Mutant("a receipt for any tree will do", gates._passed, "session.receipts.get((tree, command.command))",
           "next(iter(session.receipts.values()), None)"),
    Mutant("a landed ticket is worked on again", landed._ticket_landed, "move(session, ticket, TicketStatus.COMPLETE)",
           "make_ready(session, ticket, at_ms)"),
    Mutant("dependents are released before their blockers land", moves.enqueue, "ticket.open_blockers == 0 and", ""),
    Mutant("dependents are never released", moves.release_dependents, "dependent.open_blockers -= 1", "pass"),
    Mutant("sensitive files land unseen", policy.needs_approval, "_sensitive(session, files)", "[]"),
    Mutant("a closed approval can be given", policy._open, 'if approval.state != "open":', "if False:"),
    Mutant("one approval is enough", policy.give, "if len(approval.given_by) + 1 < approval.needed:", "if False:"),
    Mutant("a hold leaves the approval open", tickets.interrupt, "void_for(session, ticket, reason)", "[]"),
    Mutant("a hold does not stop the landing", tickets.interrupt, "session.landing.ticket == ticket.id", "False"),
    Mutant("the right of way is forgotten", landing._must_give_way, "return any(", "return False and any("),
    Mutant("a bounced ticket is forgotten", landed._landing_bounced,
           "send_back(session, ticket, Feedback(source", "(lambda *given: 0)(session, ticket, Feedback(source"),
    Mutant("an interrupted gate is never run again", landed._gate_lost, "gate.live_epoch = None", "pass"),
    Mutant("a late result is dropped", outcome._late, "if attempt.status in _REPORTED:", "if True:"),
    Mutant("what was set aside is not given back", spending.settle_spending,
           "book.reserved_usd -= attempt.reserved_usd", "pass"),
    Mutant("what an agent has used counts for nothing", spending.settle_spending,
           "book.usd += attempt.charged_usd", "pass"),
    Mutant("nobody is told that a cap is reached", metering._over, "if caps.usd is not None and own.usd", "if False"),
    Mutant("who is at a cap is told over and over", metering.meter, "ticket.live.breach is None and", ""),
    Mutant("the cap of a ticket is not metered", metering._used_up, "if ticket.planning is None:", "if False:"),
    Mutant("a told cap does not reach the agent", LeaseDesk._pulse, "None if handing_back else held.hand_back", "None"),
    Mutant("an agent goes on where a person only looked", resting.rest_again, "match rested.status:", "match None:"),
    Mutant("what a person has left is judged", outcome._failed, "not resting.judged(attempt, class_)", "False"),
    Mutant("a refused save is never over", session._save_refused, "session.save = None", "pass"),
    Mutant("a red gate has no consequence", landing.complete_gate, "if red else", "if False else"),
    Mutant("what the disk never took is kept in memory", Kernel._forget, "self._give_up(lost, error)", "pass"),
    Mutant("no lease ever runs out", Rescuer.rescue, "self._desk.overdue()", "[]"),
    Mutant("a parked agent is used", cascade._usable, "return not session.parked or", "return True or"),
    Mutant("what was to use a parked agent begins", parking._called_back,
           "attempt.status is not AttemptStatus.LEASED", "True"),
    Mutant("no agent ever comes back", Rescuer._back, "<= now_ms", "<= 0"),
    Mutant("an agent is back before its time", parking._until_ms,
           "return min(", "return now_ms + 1000 if failure.retry_at_ms else min("),
    Mutant("a wait has no bound", parking._until_ms, "min(told_ms, now_ms + LONGEST_WAIT_MS)", "told_ms"),
    Mutant("tickets that waited are not released", parking._released, "if not session.without_agent:", "if True:"),
    Mutant("a refused login suspends nobody", settle._out_of_agents, "if why else []", "if False else []"),
    Mutant("others hear nothing", Parkings._is_news, "new = known is None or", "new = False and"),
    Mutant("a new session hears nothing", lifecycle.start, "parking.concerns(", "False and parking.concerns("),
    Mutant("a red gate goes up beyond the list", cascade.escalated, "or rung >= len(specs)", "or False"),
    Mutant("a finished phase is done again", attempt._attempt_succeeded,
           "enter_phase(ticket, ticket.phase_index + 1)", "enter_phase(ticket, ticket.phase_index)"),
)  # fmt: skip


@contextlib.contextmanager
def planted(mutant: Mutant) -> Iterator[None]:
    """The bug, for as long as the context lasts."""
    function = mutant.function
    assert isinstance(function, FunctionType)
    before = function.__code__
    function.__code__ = _mutated(function, mutant)
    try:
        yield
    finally:
        function.__code__ = before


def _mutated(function: FunctionType, mutant: Mutant) -> Any:
    text = textwrap.dedent(inspect.getsource(function))
    assert text.count(mutant.old) >= 1, f"{function.__qualname__} does not say {mutant.old!r} any more"
    lines = text.replace(mutant.old, mutant.new, 1).splitlines()
    first = next(number for number, line in enumerate(lines) if line.startswith(("def ", "async def ")))
    names = dict(function.__globals__)
    # What a planted line may name beyond what its module imports.
    names.setdefault("make_ready", moves.make_ready)
    function.__globals__.setdefault("make_ready", moves.make_ready)
    exec(compile("from __future__ import annotations\n" + "\n".join(lines[first:]), mutant.name, "exec"), names)
    return names[function.__name__].__code__
