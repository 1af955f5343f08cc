"""The two pictures of the page in pixels: the plan and the time. The template only writes down what stands here."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

from rich.cells import cell_len, set_cell_size

from codeswarm.domain.states import TicketStatus
from codeswarm.plain import clock_time, day_and_time, duration, visible
from codeswarm.report.document import Bar, Mark, Report, TicketPart
from codeswarm.report.graph import Edge, Layout, lay_out
from codeswarm.report.lanes import Scale, lanes, scale_of, ticks
from codeswarm.report.words import MARKS, standing

NODE_WIDTH, NODE_HEIGHT = 196, 44
COLUMN, ROW = 244, 56
MARGIN = 12
NAME_CELLS, TITLE_CELLS = 20, 31
LANE, BAR = 24, 18
LABELS = 64
AXIS = 26
NARROWEST, WIDEST = 950, 8_000
PER_BAR = 30
"""Pixels that the chart grows by for each bar of its fullest lane."""
LETTER = 6.3
"""Pixels of one letter in a bar, a little more than what most take."""
DAY_MS = 86_400_000


# ── the plan ─────────────────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class Node:
    """A ticket in its box."""

    id: str
    x: float
    y: float
    status: TicketStatus
    name: str
    title: str
    hover: str


@dataclass(frozen=True, slots=True)
class Road:
    """An edge as an SVG path, and what it says when pointed at."""

    path: str
    hover: str
    done: bool


@dataclass(frozen=True, slots=True)
class PlanPicture:
    width: float
    height: float
    nodes: tuple[Node, ...]
    roads: tuple[Road, ...]
    waves: tuple[tuple[float, str], ...]
    node_width: int = NODE_WIDTH
    node_height: int = NODE_HEIGHT


def plan_picture(report: Report) -> PlanPicture | None:
    """The tickets by waves; None where there is nothing to draw."""
    if not report.tickets:
        return None
    parts = {part.id: part for part in report.tickets}
    layout = lay_out(
        {part.id: part.wave - 1 for part in report.tickets}, {part.id: part.blocked_by for part in report.tickets}
    )
    return PlanPicture(
        width=(layout.columns - 1) * COLUMN + NODE_WIDTH + 2 * MARGIN,
        height=layout.rows * ROW + AXIS + MARGIN,
        nodes=tuple(_node(parts[id_], layout) for id_ in layout.places),
        roads=tuple(_road(edge, parts[edge.blocker].status is TicketStatus.COMPLETE) for edge in layout.edges),
        waves=tuple((MARGIN + column * COLUMN, f"wave {column + 1}") for column in range(layout.columns)),
    )


def _node(part: TicketPart, layout: Layout) -> Node:
    column, row = layout.places[part.id]
    return Node(
        id=part.id,
        x=MARGIN + column * COLUMN,
        y=round(AXIS + row * ROW - NODE_HEIGHT / 2, 1),
        status=part.status,
        name=_fit(f"{MARKS[part.status]} {part.id}", NAME_CELLS),
        title=_fit(f"{standing(part)} · {part.title}", TITLE_CELLS),
        hover=f"{part.id}: {part.title} ({standing(part)})",
    )


def _road(edge: Edge, done: bool) -> Road:
    """From the right side of one box to the left side of the other, level where it passes a wave."""
    points = [(MARGIN + column * COLUMN, round(AXIS + row * ROW, 1)) for column, row in edge.places]
    bend = (COLUMN - NODE_WIDTH) * 0.6
    path = f"M{points[0][0] + NODE_WIDTH} {points[0][1]}"
    for (x, y), (next_x, next_y) in pairwise(points):
        left, right = x + NODE_WIDTH, next_x
        path += f"C{left + bend:g} {y} {right - bend:g} {next_y} {right} {next_y}"
        if (next_x, next_y) != points[-1]:
            path += f"H{next_x + NODE_WIDTH}"
    return Road(path, f"{edge.ticket} waits for {edge.blocker}", done)


def _fit(text: str, cells: int) -> str:
    text = visible(text).replace("\n", " ")
    return text if cell_len(text) <= cells else set_cell_size(text, cells - 1).rstrip() + "…"


# ── the time ─────────────────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class Box:
    """A bar of the time chart."""

    x: float
    y: float
    width: float
    outcome: str
    kind: str
    label: str
    hover: str
    ticket: str
    """Where a click leads; empty: nowhere."""


@dataclass(frozen=True, slots=True)
class Point:
    """A moment of the time chart."""

    x: float
    y: float
    kind: str
    hover: str


@dataclass(frozen=True, slots=True)
class TimePicture:
    width: float
    height: float
    boxes: tuple[Box, ...]
    points: tuple[Point, ...]
    ticks: tuple[tuple[float, str], ...]
    folds: tuple[tuple[float, float, str], ...]
    """(x, width, words)."""
    labels: tuple[tuple[float, str], ...]
    """(y, words)."""


def time_picture(report: Report) -> TimePicture | None:
    """A lane for each thing that ran at once; None where nothing ran."""
    if not report.bars:
        return None
    scale = scale_of(report.bars, report.started_ms, report.until_ms)
    rows = _rows(report)
    fullest = max(len(lane) for _, lane in rows)
    room = min(max(NARROWEST - LABELS - MARGIN, fullest * PER_BAR), WIDEST)
    drawn = _Drawing(scale, room, {part.id for part in report.tickets})
    lowest = AXIS + len(rows) * LANE
    return TimePicture(
        width=LABELS + room + MARGIN,
        height=lowest + LANE,
        boxes=tuple(drawn.box(bar, AXIS + row * LANE) for row, (_, lane) in enumerate(rows) for bar in lane),
        points=tuple(drawn.point(mark, lowest + LANE / 2) for mark in report.marks),
        ticks=tuple((drawn.x(at), _tick(at, report)) for at in ticks(scale, max(int(room / 90), 4))),
        folds=tuple(
            (drawn.x(f.from_ms), drawn.x(f.to_ms) - drawn.x(f.from_ms), duration((f.to_ms - f.from_ms) / 1000))
            for f in scale.folds
        ),
        labels=(*((AXIS + row * LANE, name) for row, (name, _) in enumerate(rows)), (lowest, "landed")),
    )


def _rows(report: Report) -> list[tuple[str, list[Bar]]]:
    attempts = lanes([bar for bar in report.bars if bar.kind == "attempt"])
    gates = lanes([bar for bar in report.bars if bar.kind == "gate"])
    named = [(f"slot {number}", lane) for number, lane in enumerate(attempts, 1)]
    return named + [("gates", lane) for lane in gates]


def _tick(at_ms: int, report: Report) -> str:
    long = report.until_ms - report.started_ms > DAY_MS
    return day_and_time(at_ms)[5:] if long else clock_time(at_ms)


@dataclass(frozen=True, slots=True)
class _Drawing:
    scale: Scale
    room: float
    tickets: set[str]

    def x(self, at_ms: int) -> float:
        return round(LABELS + self.scale.at(at_ms) * self.room, 1)

    def box(self, bar: Bar, y: float) -> Box:
        x, width = self.x(bar.from_ms), max(round(self.x(bar.to_ms) - self.x(bar.from_ms), 1), 2.0)
        took = duration((bar.to_ms - bar.from_ms) / 1000)
        times = f"{clock_time(bar.from_ms)}–{clock_time(bar.to_ms)}, {took}"
        sign = {"failed": "✗ ", "timed_out": "✗ ", "red": "✗ ", "lost": "? ", "cancelled": "– "}.get(bar.outcome, "")
        cells = int((width - 6) / LETTER)
        return Box(
            x=x,
            y=y + (LANE - BAR) / 2,
            width=width,
            outcome=bar.outcome,
            kind=bar.kind,
            label=_fit(sign + bar.about, cells) if cells > len(sign) else sign.strip() if cells else "",
            hover=f"{bar.about}: {bar.label}: {bar.outcome.replace('_', ' ')} ({times})",
            ticket=bar.about if bar.about in self.tickets else "",
        )

    def point(self, mark: Mark, y: float) -> Point:
        about = f"{mark.about} " if mark.about else ""
        hover = f"{clock_time(mark.at_ms)} {about}{mark.kind.replace('_', ' ')}: {mark.label}"
        return Point(self.x(mark.at_ms), y, mark.kind, hover)
