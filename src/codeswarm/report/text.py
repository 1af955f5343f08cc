"""The report on a terminal or in a file: readable at eighty columns; a command is always one line, to be pasted."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Iterator

from rich.cells import cell_len, set_cell_size
from rich.text import Text

from codeswarm.domain.states import TicketStatus
from codeswarm.plain import clock_time, count, day_and_time, duration, visible
from codeswarm.report.document import Bar, Report, TicketPart
from codeswarm.report.lanes import Scale, lanes, scale_of
from codeswarm.report.outcome import money
from codeswarm.report.words import (
    AS_IS,
    MARKS,
    Typing,
    attempt_cost,
    attempt_time,
    change_words,
    proof_words,
    signature_words,
    standing,
    tries,
)

T = TicketStatus
STYLES = {T.COMPLETE: "green", T.FAILED: "red", T.ON_HOLD: "yellow", T.WAITING: "yellow", T.IN_PROGRESS: "cyan"}
MOST_LANES = 24
MOST_WAVES = 40
MOST_IN_WAVE = 40
_FILLED = {"succeeded": "█", "green": "█", "running": "▒", "lost": "░", "cancelled": "░"}
_FAILED = "✗"
_LABEL = 8


def render(report: Report, width: int = 80, typing: Typing = AS_IS) -> Iterator[Text]:
    """The report as lines. What others wrote is made harmless; no line but a command is wider than `width`.

    Args: typing: how its commands are to be typed where the reader is.
    """
    page = _Page(max(width, 40), typing)
    yield from page.title(report)
    yield from page.asks(report)
    if report.answer:
        yield from page.section("The answer")
        yield from page.prose(report.answer, indent=2)
    yield from page.tickets(report)
    yield from page.gates(report)
    yield from page.plan(report)
    yield from page.times(report)
    yield from page.costs(report)
    yield from page.notes(report)
    yield from page.end(report)


class _Page:
    def __init__(self, width: int, typing: Typing) -> None:
        self.width = width
        self.typing = typing

    # ── pieces ──

    def section(self, title: str) -> Iterator[Text]:
        yield Text()
        yield Text(title.upper(), style="bold")

    def prose(self, text: str, *, indent: int = 0, label: str = "", style: str = "") -> Iterator[Text]:
        """A paragraph, with a label before its first line where there is one."""
        before = " " * indent + label.ljust(_LABEL if label else 0)
        room = self.width - len(before)
        first = True
        for paragraph in visible(text).splitlines() or [""]:
            for line in _wrapped(paragraph, room) or [""]:
                yield Text(before if first else " " * len(before), style="dim") + Text(line, style=style)
                first = False

    def rows(self, label: str, lines: Iterable[str], *, style: str = "") -> Iterator[Text]:
        """Several lines under one label."""
        for number, line in enumerate(lines):
            yield from self.prose(line, indent=4, label=label if number == 0 else " ", style=style)

    def commands(self, commands: Iterable[str], indent: int, label: str = "") -> Iterator[Text]:
        for number, command in enumerate(commands):
            before = " " * indent + (label if number == 0 else "").ljust(_LABEL if label else 0)
            line = visible(self.typing.of(command)).replace("\n", " ")
            yield Text(before, style="dim") + Text(line, style="cyan")

    # ── the top ──

    def title(self, report: Report) -> Iterator[Text]:
        name = f" ({visible(report.name)})" if report.name else ""
        yield Text(f"session {report.session}{name}, {day_and_time(report.started_ms)}", style="bold")
        if report.goal:
            yield from self.prose(report.goal)
        yield Text()
        yield from self.prose(report.headline, style="bold")
        for fact in report.facts:
            yield from self.prose(fact, indent=2)

    def asks(self, report: Report) -> Iterator[Text]:
        if not report.asks:
            return
        yield from self.section("Needs you")
        for ask in report.asks:
            yield from self.prose(ask.what, indent=2, style="yellow")
            if ask.why:
                yield from self.prose(ask.why, indent=4)
            yield from self.commands(ask.commands, 4)

    # ── tickets ──

    def tickets(self, report: Report) -> Iterator[Text]:
        if report.tickets:
            yield from self.section("Tickets")
        for part in report.tickets:
            yield from self.ticket(part, report)

    def ticket(self, part: TicketPart, report: Report) -> Iterator[Text]:
        style = STYLES.get(part.status, "dim")
        yield Text()
        yield from self.prose(f"{MARKS[part.status]} {part.id}: {part.title} — {standing(part)}", style=style)
        yield from self._why(part)
        yield from self._done(part)
        yield from self._attempts(part, report)
        if part.trouble is not None:
            yield from self._trouble(part)
        if part.undo is not None:
            yield from self.commands(part.undo.commands, 4, "undo")
            yield from self.prose(part.undo.note, indent=4, label=" ")
            if part.undo.with_dependents:
                yield from self.prose(
                    f"with what builds on it ({', '.join(part.undo.dependents)}):", indent=4, label=" "
                )
                yield from self.commands(part.undo.with_dependents, 4, " ")

    def _why(self, part: TicketPart) -> Iterator[Text]:
        why = [part.description] if part.description else []
        why += [f"- {sentence}" for sentence in part.acceptance]
        yield from self.rows("why", why)
        after = f"after {', '.join(part.blocked_by)}" if part.blocked_by else ""
        by = f"asked for by {part.asked_by}" if part.asked_by else ""
        yield from self.rows("who" if not why else " ", [", ".join(filter(None, (by, after)))] if by or after else [])
        promised = [f"{heading}: {'; '.join(sentences)}" for heading, sentences in part.contract]
        yield from self.rows("tests", promised)

    def _done(self, part: TicketPart) -> Iterator[Text]:
        if part.change is not None:
            names = ", ".join(file.path for file in part.change.files[:6])
            more = len(part.change.files) + part.change.more_files - 6
            files = f": {names}" + (f" and {more} more" if more > 0 else "")
            yield from self.rows("diff", [change_words(part.change) + (files if names else "")])
            yield from self.commands([part.change.command], 4, " ")
        for number, proof in enumerate(part.proofs):
            told = f"{proof_words(proof)}; tree {proof.tree[:10]}, receipt {proof.receipt}, {signature_words(proof)}"
            style = "yellow" if proof.outcome == "waived" else "red" if proof.genuine is False else ""
            yield from self.prose(told, indent=4, label="proof" if number == 0 else " ", style=style)
        for review in part.reviews:
            found = [f"{_place(f.file, f.line)}{f.severity}: {f.text}" for f in review.findings]
            yield from self.rows("review", [f"{review.by} on attempt {review.epoch}: {review.then}", *found])
        yield from self.rows("bounced", part.bounces)
        yield from self.rows("decided", part.decisions)
        yield from self.rows("told", part.messages)

    def _attempts(self, part: TicketPart, report: Report) -> Iterator[Text]:
        """What all cost; of the attempts only those that ended in vain or are at work, one by one."""
        yield from self.rows("cost", [f"{money(part.cost)}; {tries(part)}"] if part.attempts else [])
        for attempt in part.attempts:
            if attempt.status == "succeeded":
                continue
            why = f": {_first_line(attempt.why)}" if attempt.why else ""
            told = f"attempt {attempt.epoch}, {attempt.phase}: {attempt.status.replace('_', ' ')}{why}"
            more = f" ({attempt_time(attempt, report)}, {attempt_cost(attempt)})"
            yield from self.prose(told + more, indent=4, label=" ", style="dim")

    def _trouble(self, part: TicketPart) -> Iterator[Text]:
        assert part.trouble is not None
        yield from self.rows("because", [part.trouble.reason] if part.trouble.reason else [], style="red")
        for line in part.trouble.tail.splitlines()[-12:]:
            yield Text(" " * 6 + "│ ", style="dim") + Text(_fit(visible(line), self.width - 8))
        yield from self.rows("kept", part.trouble.kept[:3])
        yield from self.commands(part.trouble.commands, 4, " ")

    # ── the session as a whole ──

    def gates(self, report: Report) -> Iterator[Text]:
        if report.gates:
            yield from self.section("Gates of the whole")
        for gate in report.gates:
            told = "; ".join(map(proof_words, gate.proofs)) or "no outcome"
            yield from self.prose(f"{gate.purpose} gate {gate.state}: {told}", indent=2)
            if gate.state == "red":
                for line in gate.tail.splitlines()[-12:]:
                    yield Text(" " * 4 + "│ ", style="dim") + Text(_fit(visible(line), self.width - 6))

    def plan(self, report: Report) -> Iterator[Text]:
        """The tickets by waves, each with what it waits for."""
        waves: dict[int, list[TicketPart]] = {}
        for part in sorted(report.tickets, key=lambda part: part.wave):
            waves.setdefault(part.wave, []).append(part)
        if len(waves) < 2 and len(report.tickets) < 2:
            return
        yield from self.section("The plan")
        for number, parts in list(waves.items())[:MOST_WAVES]:
            shown = [_with_blockers(part) for part in parts[:MOST_IN_WAVE]]
            more = [f"and {len(parts) - MOST_IN_WAVE} more"] if len(parts) > MOST_IN_WAVE else []
            yield from self.prose("   ".join([*shown, *more]), indent=2, label=f"wave {number} ")

    def times(self, report: Report) -> Iterator[Text]:
        if not report.bars:
            return
        yield from self.section("The time")
        scale = scale_of(report.bars, report.started_ms, report.until_ms)
        room = self.width - _LABEL - 2
        took = duration((report.until_ms - report.started_ms) / 1000)
        ends = clock_time(report.started_ms), f"{clock_time(report.until_ms)} ({took})"
        yield Text(" " * (_LABEL + 2) + ends[0] + ends[1].rjust(room - len(ends[0])), style="dim")
        attempts = lanes([bar for bar in report.bars if bar.kind == "attempt"])
        for number, lane in enumerate(attempts[:MOST_LANES], 1):
            yield Text(f"  slot {number}".ljust(_LABEL + 2), style="dim") + _lane(lane, scale, room)
        for lane in lanes([bar for bar in report.bars if bar.kind == "gate"])[:MOST_LANES]:
            yield Text("  gates".ljust(_LABEL + 2), style="dim") + _lane(lane, scale, room)
        landed = [mark.at_ms for mark in report.marks if mark.kind == "landed"]
        yield Text("  landed".ljust(_LABEL + 2), style="dim") + _points(landed, scale, room)
        legend = "█ well  ✗ failed  ░ lost or ended  ▒ at work  ▲ landed"
        folded = "  ┊ pause" if scale.folds else ""
        yield from self.prose(legend + folded, indent=_LABEL + 2, style="dim")

    def costs(self, report: Report) -> Iterator[Text]:
        if not report.costs:
            return
        yield from self.section("The cost")
        for row in report.costs:
            agent = row.agent or "no agent"
            what = f"{row.role.replace('_', ' ')}, {agent}: {count(row.attempts, 'attempt')}, {row.failed} in vain"
            yield from self.prose(f"{what}, {duration(row.seconds)}; {money(row.cost)}", indent=2)

    def notes(self, report: Report) -> Iterator[Text]:
        if not report.notes:
            return
        yield from self.section("Noted")
        for note in report.notes:
            step = f"; next: {note.next_step}" if note.next_step else ""
            about = f"{note.about}: " if note.about else ""
            yield from self.prose(f"{clock_time(note.at_ms)} {about}{_first_line(note.what)}{step}", indent=2)
        if report.more_notes:
            yield from self.prose(f"and {report.more_notes} more: codeswarm timeline {report.session}", indent=2)

    def end(self, report: Report) -> Iterator[Text]:
        if report.undo_all:
            yield from self.section("Undo all that was saved")
            yield from self.commands(report.undo_all, 2)
        for sentence in report.cuts:
            yield from self.prose(f"cut: {sentence}", style="yellow")
        yield Text()
        yield from self.prose(f"ledger: event {report.ledger_seq}, hash {report.ledger_hash}", style="dim")
        yield from self.prose("the chain was not checked for this report: codeswarm ledger verify", style="dim")


def _wrapped(line: str, room: int) -> list[str]:
    """Lines that fit, by the cells that they take: an ideograph takes two."""
    wide = cell_len(line) - len(line)
    return textwrap.wrap(line, max(room - wide, 10), break_on_hyphens=False)


def _fit(line: str, room: int) -> str:
    line = line.expandtabs(4)
    return line if cell_len(line) <= room else set_cell_size(line, room - 1).rstrip() + "…"


def _first_line(text: str) -> str:
    return next(iter(text.strip().splitlines()), "")


def _place(file: str, line: int | None) -> str:
    return f"{file}:{line} " if file and line is not None else f"{file} " if file else ""


def _with_blockers(part: TicketPart) -> str:
    after = f" (after {', '.join(part.blocked_by)})" if part.blocked_by else ""
    return f"{MARKS[part.status]} {part.id}{after}"


def _lane(lane: list[Bar], scale: Scale, room: int) -> Text:
    """The bars of one lane as characters, each with its ticket's name where that fits."""
    cells = _empty(scale, room)
    for bar in lane:
        first = min(int(scale.at(bar.from_ms) * room), room - 1)
        last = max(min(int(scale.at(bar.to_ms) * room), room), first + 1)
        cells[first:last] = _FILLED.get(bar.outcome, _FAILED) * (last - first)
        if last - first > 1 and cells[last - 1] == "█":
            cells[last - 1] = "▊"  # so that one bar behind another is seen as two
        name = visible(bar.about)
        if last - first >= len(name) + 2:
            cells[first + 1 : first + 1 + len(name)] = name
    return Text("".join(cells))


def _points(moments: list[int], scale: Scale, room: int) -> Text:
    cells = _empty(scale, room)
    for moment in moments:
        cells[min(int(scale.at(moment) * room), room - 1)] = "▲"
    return Text("".join(cells), style="green")


def _empty(scale: Scale, room: int) -> list[str]:
    cells = ["·"] * room
    for fold in scale.folds:
        middle = (scale.at(fold.from_ms) + scale.at(fold.to_ms)) / 2
        cells[min(int(middle * room), room - 1)] = "┊"
    return cells
