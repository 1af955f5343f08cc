"""Makes a report of a session's history. Pure but for the evidence that it looks up: same history, same page."""

from __future__ import annotations

from collections.abc import Iterator

from codeswarm.domain import events as ev
from codeswarm.domain.ids import SessionId
from codeswarm.domain.session import Attempt, Session
from codeswarm.domain.states import AttemptStatus, TicketStatus
from codeswarm.ledger.base import Ledger
from codeswarm.plain import count
from codeswarm.report import chart, outcome
from codeswarm.report.changes import Changes
from codeswarm.report.document import CostRow, GateLine, Report
from codeswarm.report.evidence import Evidence
from codeswarm.report.history import History, read
from codeswarm.report.noted import noted
from codeswarm.report.proposed import proposed
from codeswarm.report.shares import MOST_NOTES, MOST_TICKETS, Share, cut, cut_head
from codeswarm.report.tickets import Teller, proof
from codeswarm.report.undo import Landed

ATTENTION = (TicketStatus.FAILED, TicketStatus.ON_HOLD, TicketStatus.WAITING)
"""These stand first among tickets; the others follow in the order of the plan."""


def report_of(ledger: Ledger, session: SessionId, evidence: Evidence, *, made_ms: int, live: bool) -> Report:
    """The report of a session, as its ledger stands. `live`: whether some process hosts it."""
    head = ledger.head()
    records = (record for record in ledger.history(session) if record.seq <= head[0])
    return build(read(session, records), evidence, made_ms=made_ms, live=live, head=head)


def build(
    history: History, evidence: Evidence, *, made_ms: int, live: bool = False, head: tuple[int, str] = (0, "")
) -> Report:
    """The report of a history. `head`: where the ledger ends, and the hash there."""
    session = history.session
    tickets = sorted(outcome.built(session), key=lambda t: (t.status not in ATTENTION, t.place))
    shown = tickets[:MOST_TICKETS]
    changes = Changes(history, evidence)
    changes.look_up(shown)
    landed = Landed.of(history)
    told = tuple(
        Teller(history, evidence, Share.of(len(shown)), changes, landed, made_ms).part(ticket) for ticket in shown
    )
    attempts = [attempt for ticket in session.tickets.values() for attempt in ticket.attempts.values()]
    cost = outcome.cost_of(attempts)
    until_ms = chart.until(session, history.last_ms, made_ms, live=live)
    bars, marks, notes = chart.bars(history, until_ms), chart.marks(history), list(noted(history))
    text = Share.of(1)
    return Report(
        session=session.id,
        name=session.name,
        goal=cut(session.goal, text.text),
        by=session.by,
        status=session.status,
        base_branch=session.base_branch,
        base=session.base,
        tip=session.tip,
        started_ms=session.started_ms,
        until_ms=until_ms,
        made_ms=made_ms,
        live=live,
        headline=cut(outcome.headline(history, live=live), text.text),
        facts=outcome.facts(history, cost, until_ms, chart.busy_s(bars)),
        asks=outcome.asks(history, live=live),
        answer=cut(session.answer, text.text * 4),
        counts=outcome.counts(session),
        cost=cost,
        cost_per_landed_usd=outcome.per_landed(cost, len(session.landed)),
        costs=tuple(_costs(attempts, made_ms)),
        tickets=(*told, *proposed(session)[: MOST_TICKETS - len(told)]),
        more_tickets=len(tickets) - len(shown),
        gates=tuple(_gates(history, evidence, text)),
        bars=tuple(bars[-chart.MOST_BARS :]),
        marks=tuple(marks[-chart.MOST_MARKS :]),
        notes=tuple(notes[:MOST_NOTES]),
        more_notes=max(len(notes) - MOST_NOTES, 0),
        undo_all=landed.undo_all(),
        ledger_seq=head[0],
        ledger_hash=head[1],
        cuts=tuple(_cuts(session, changes, len(tickets) - len(shown), len(bars) - chart.MOST_BARS)),
    )


def _costs(attempts: list[Attempt], made_ms: int) -> Iterator[CostRow]:
    """One row for each agent in each role, the dearest first."""
    groups: dict[tuple[str, str], list[Attempt]] = {}
    for attempt in attempts:
        groups.setdefault((attempt.role, attempt.agent), []).append(attempt)
    rows = [_cost_row(role, agent, found, made_ms) for (role, agent), found in groups.items()]
    yield from sorted(rows, key=lambda row: (-row.cost.usd, -row.seconds))


def _cost_row(role: str, agent: str, attempts: list[Attempt], made_ms: int) -> CostRow:
    well = (AttemptStatus.SUCCEEDED,)
    return CostRow(
        role=role,
        agent=cut(agent, 200),
        attempts=len(attempts),
        failed=sum(not attempt.live and attempt.status not in well for attempt in attempts),
        seconds=sum(max((a.ended_ms or made_ms) - a.leased_ms, 0) for a in attempts) / 1000,
        cost=outcome.cost_of(attempts),
    )


def _gates(history: History, evidence: Evidence, share: Share) -> Iterator[GateLine]:
    """The gates of the session as a whole; those of landings are told with their tickets."""
    for gate in history.session.all_gates.values():
        if gate.purpose == "landing":
            continue
        finished = [at.event for at in history.gates[gate.id] if isinstance(at.event, ev.GateFinished)]
        receipts = finished[-1].receipts if finished else ()
        red = [run for run in finished[-1].runs if run.outcome == "red"] if finished else []
        tail = f"$ {red[-1].command}\n{red[-1].tail.strip()}" if red else ""
        yield GateLine(
            purpose=gate.purpose.replace("_", " "),
            state=gate.state,
            at_ms=gate.requested_ms,
            proofs=tuple(proof(history, evidence, receipt, share) for receipt in receipts),
            tail=cut_head(tail, share.text),
        )


def _cuts(session: Session, changes: Changes, more_tickets: int, more_bars: int) -> Iterator[str]:
    if changes.cut:
        yield f"{count(changes.cut, 'diff')} shown in part only; the whole: codeswarm diff {session.id}/TICKET"
    if changes.missing:
        yield f"the commits of {count(changes.missing, 'ticket')} are not in the store any more"
    if more_tickets > 0:
        yield f"{count(more_tickets, 'ticket')} not told one by one: codeswarm ticket list {session.id}"
    if more_bars > 0:
        yield f"{count(more_bars, 'older bar')} left out of the time chart: codeswarm timeline {session.id}"
