"""The live board: waves, phases, agents, time. It stays readable at two hundred tickets: what moves is told one by
one, what rests is a mark in its wave.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping
from typing import Any

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from codeswarm.cli.follow import Wire
from codeswarm.cli.keys import Keys
from codeswarm.cli.output import clock_time, console, count, day_and_time, duration
from codeswarm.cli.until import time_left
from codeswarm.cli.words import QUIET, agent_name, agent_vital, describe, subject, why_parked
from codeswarm.clock import SystemClock
from codeswarm.domain.session import Session, Ticket
from codeswarm.domain.states import STOPS, AttemptStatus, TicketStatus
from codeswarm.plain import money

T = TicketStatus
MARKS: dict[TicketStatus, tuple[str, str]] = {
    T.PENDING: ("·", "dim"),
    T.READY: ("○", ""),
    T.IN_PROGRESS: ("◐", "cyan"),
    T.WAITING: ("?", "yellow"),
    T.LANDING: ("↑", "magenta"),
    T.COMPLETE: ("●", "green"),
    T.FAILED: ("✗", "red"),
    T.ON_HOLD: ("‖", "yellow"),
    T.CANCELLED: ("–", "dim"),
}
LAST_LINES = 6
MOST_MOVING = 16
MOST_WAVES = 12
MOVING_COLUMNS = 7
SHORTENED = (1, 3, 5)
"""Of these, names, states and reasons are cut short where the terminal is narrow; the others stay whole."""
REFRESH_PER_S = 4


class Board:
    """`Show` on a terminal."""

    def __init__(self, out: Console | None = None, keys: Keys | None = None, hint: str = "") -> None:
        """`keys` are listened to while the board is up; `hint` says what they do."""
        self._keys = keys
        self._hint = hint
        self._console = out or console()
        self._session: Session | None = None
        self._said: dict[str, str] = {}
        self._at: dict[str, Wire] = {}
        self._last: deque[str] = deque(maxlen=LAST_LINES)
        self._live = self._new()
        self._open = False

    def _new(self) -> Live:
        return Live(console=self._console, get_renderable=self.render, refresh_per_second=REFRESH_PER_S, transient=True)

    def open(self) -> None:
        if not self._open:
            if self._keys is not None:
                self._keys.open()
            self._live = self._new()  # one that stood before would be drawn over what was said since
            self._live.start()
            self._open = True

    def close(self) -> None:
        """Take the board away, to ask something or for good."""
        if self._open:
            self._open = False
            try:
                self._live.stop()
            finally:
                if self._keys is not None:
                    self._keys.close()

    def event(self, record: Wire, session: Session) -> None:
        self._session = session
        self.open()
        if record["kind"] not in QUIET:
            about = subject(record["kind"], record["data"])
            self._last.append(f"{clock_time(record['at_ms'])}  {about:<12}  {describe(record['kind'], record['data'])}")

    def agents(self, agents: list[Wire]) -> None:
        """What agents are at now."""
        self._at = {agent["ticket"]: agent for agent in agents}

    # ── drawing ──

    def render(self) -> RenderableType:
        session = self._session
        if session is None:
            return Text("starting …")
        now_ms = SystemClock().now_ms()
        parts: list[RenderableType] = [_title(session, now_ms, self._at.values()), _waves(session)]
        moving = _moving(session, now_ms, self._at)
        if moving.row_count:
            parts.append(moving)
        parts += list(_asked(session))
        parts.append(Text("\n".join(self._last), style="dim", no_wrap=True, overflow="ellipsis"))
        if self._hint:
            parts.append(Text(self._hint, style="dim italic", no_wrap=True, overflow="ellipsis"))
        return Group(*parts)


def _title(session: Session, now_ms: int, agents: Iterable[Mapping[str, Any]]) -> Text:
    title = Text(no_wrap=True, overflow="ellipsis")
    title.append(f"{session.name or session.id} ", style="bold")
    title.append(f"{session.status}", style="cyan" if session.status == "active" else "yellow")
    came = f"{len(session.landed)}/{session.to_land} landed" if session.planned else "no plan yet"
    title.append(f"  {came}", style="green")
    title.append(f"  {duration((now_ms - session.started_ms) / 1000)}")
    title.append(f"  {count(len(session.in_progress), 'agent')} at work")
    if gating := sum(gate.live_epoch is not None for gate in session.gates.values()):
        title.append(f", {count(gating, 'gate')}")
    spent, live = session.spending, sum(agent.get("usd") or 0.0 for agent in agents)
    if spent.usd or spent.subscription_usd or live or session.settings.budget.usd:
        cap = f" of {session.settings.budget.usd:.2f}" if session.settings.budget.usd else ""
        title.append(f"  {money(spent.usd, spent.subscription_usd)}{f' + {live:.2f}' if live else ''}{cap}")
    if session.status in STOPS and session.settings.policy.until is not None:
        title.append(f"  {time_left(session.settings.policy.until.at_ms, now_ms)}", style="yellow")
    if session.goal:
        title.append(f"  {' '.join(session.goal.split())}", style="dim")
    return title


def _waves(session: Session) -> Table:
    """One line a wave: a mark for each ticket, and how many have landed."""
    waves: dict[int, list[Ticket]] = {}
    for ticket in session.tickets.values():
        if ticket.planning is not None:
            continue
        waves.setdefault(ticket.wave, []).append(ticket)
    table = Table(box=None, show_header=False, pad_edge=False, padding=(0, 1))
    for number in _interesting(waves):
        tickets = waves[number]
        marks = Text(overflow="fold")
        for ticket in tickets:
            mark, style = MARKS[ticket.shown_status]
            marks.append(mark, style=style)
        landed = sum(ticket.status is T.COMPLETE for ticket in tickets)
        table.add_row(Text(f"wave {number + 1}", style="dim"), Text(f"{landed}/{len(tickets)}"), marks)
    return table


def _interesting(waves: dict[int, list[Ticket]]) -> Iterable[int]:
    """All waves where they fit; else those in which something is still to do, and the last ones done."""
    numbers = sorted(waves)
    if len(numbers) <= MOST_WAVES:
        return numbers
    first_open = next((n for n in numbers if any(t.status is not T.COMPLETE for t in waves[n])), numbers[-1])
    start = max(min(first_open - 2, len(numbers) - MOST_WAVES), 0)
    return numbers[start : start + MOST_WAVES]


def _moving(session: Session, now_ms: int, at: Mapping[str, Wire]) -> Table:
    """What is under way, one line each: where it is and for how long."""
    table = Table(box=None, show_header=False, pad_edge=False, padding=(0, 1))
    for place in range(MOVING_COLUMNS):
        table.add_column(no_wrap=place not in SHORTENED)
    rows = list(_rows(session, now_ms, at))
    for row in rows[:MOST_MOVING]:
        table.add_row(*(_cut(cell) if place in SHORTENED else cell for place, cell in enumerate(row)))
    if len(rows) > MOST_MOVING:
        table.add_row("", "", f"and {len(rows) - MOST_MOVING} more")
    return table


def _cut(cell: Text | str) -> Text:
    return Text(str(cell), no_wrap=True, overflow="ellipsis")


def _rows(session: Session, now_ms: int, at: Mapping[str, Wire]) -> Iterable[tuple[Text | str, ...]]:
    for id_ in session.in_progress:
        ticket = session.tickets[id_]
        attempt = ticket.live
        if attempt is not None:
            since = duration((now_ms - attempt.leased_ms) / 1000)
            tries = f"attempt {attempt.number}" if attempt.number > 1 else ""
            agent = at.get(id_)
            told = agent is not None and agent["epoch"] == attempt.epoch and attempt.status is AttemptStatus.RUNNING
            state = agent_vital(agent, now_ms) if agent is not None and told else str(attempt.status)
            yield Text("◐", "cyan"), id_, attempt.phase, state, since, attempt.agent[:30], tries
    landing = session.landing
    if landing is not None:
        yield Text("↑", "magenta"), landing.ticket or "catch-up", "landing", "gate" if landing.gate else "", "", "", ""
    for id_ in session.landing_queue:
        yield Text("↑", "magenta"), id_, "landing", "queued", "", "", ""
    for ticket in session.tickets.values():
        if ticket.status in (T.FAILED, T.ON_HOLD, T.WAITING):
            mark, style = MARKS[ticket.status]
            reason = (ticket.reason or ticket.waiting_detail).splitlines()
            yield Text(mark, style), ticket.id, ticket.phase.name, str(ticket.status), "", (reason or [""])[0][:60], ""


def _asked(session: Session) -> Iterable[Text]:
    for (agent, _), parking in session.parked.items():
        until = (
            f"until {day_and_time(parking.until_ms)}" if parking.until_ms else "until you mend it (codeswarm doctor)"
        )
        parked = f"{agent_name(agent)} is parked {until}: {why_parked(parking.why)}"
        yield Text(parked, style="yellow", no_wrap=True, overflow="ellipsis")
    for id_ in session.open_approvals:
        approval = session.approvals[id_]
        about = approval.ticket or approval.subject
        asked = f"? codeswarm approve {session.id}/{id_}   ({about}): {' '.join(approval.why.split())}"
        yield Text(asked, style="yellow", no_wrap=True, overflow="ellipsis")
