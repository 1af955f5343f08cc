"""The table of a run, for the terminal, the page and the history."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from statistics import median
from typing import Any

from bench.figure import Figure, Missing

Row = Figure | Missing
COLUMNS = ("figure", "ours: median (best … worst)", "processor time", "peer: median", "times better", "bar", "met")
BEGIN, END = "<!-- figures: begin -->", "<!-- figures: end -->"


def cells(row: Row) -> tuple[str, ...]:
    if isinstance(row, Missing):
        return (row.name, f"not measured: {row.why}", "", "", "", "", "")
    ours = f"{number(row.median)} {row.unit}"
    if len(row.ours) > 1:
        ours += f" ({number(row.best)} … {number(row.worst)})"
    peers = f"{number(median(row.peers))} {row.unit} {row.peer}" if row.peers else ""
    processor = f"{number(median(row.processor))} {row.unit}" if row.processor else ""
    ratio = f"{number(row.ratio)}×" if row.ratio is not None else ""
    met = {True: "yes", False: "no", None: ""}[row.met]
    name = f"{row.name} ({row.note})" if row.note else row.name
    return (name, ours, processor, peers, ratio, bar_of(row), met)


def bar_of(row: Figure) -> str:
    sign = "≥" if row.better == "more" else "≤"
    bars = [f"{sign} {number(row.bar)} {row.unit}"] if row.bar is not None else []
    if row.ratio_bar is not None:
        bars.append(f"≥ {number(row.ratio_bar)}×")
    return ", ".join(bars)


def number(value: float | None) -> str:
    """Three digits that mean something; four from one to ten, where bars stand close to one."""
    if value is None:
        return ""
    if abs(value) >= 100:
        return f"{value:,.0f}"
    if abs(value) >= 10:
        return f"{value:.1f}"
    return f"{value:.4g}" if abs(value) >= 1 else f"{value:.3g}"


def markdown(rows: Sequence[Row]) -> str:
    lines = ["| " + " | ".join(COLUMNS) + " |", "|" + "---|" * len(COLUMNS)]
    lines += ["| " + " | ".join(cells(row)) + " |" for row in rows]
    return "\n".join(lines)


def document(rows: Sequence[Row], date: str, machine: dict[str, object], *, whole: bool) -> dict[str, Any]:
    """One line of the history."""
    return {"date": date, "whole": whole, "machine": machine, "figures": [_as_json(row) for row in rows]}


def _as_json(row: Row) -> dict[str, Any]:
    if isinstance(row, Missing):
        return asdict(row)
    rounded = {name: [round(value, 4) for value in getattr(row, name)] for name in ("ours", "processor", "peers")}
    worked_out = {"median": round(row.median, 4), "ratio": row.ratio and round(row.ratio, 2), "met": row.met}
    return {**asdict(row), **rounded, **worked_out}


def append(history: Path, run: dict[str, Any]) -> None:
    with history.open("a", encoding="utf-8") as file:
        file.write(json.dumps(run, ensure_ascii=False) + "\n")


def into_page(page: Path, rows: Sequence[Row], date: str, machine: dict[str, object]) -> None:
    """Put the table of a whole run in the place of the one before."""
    told = ", ".join(f"{name} {value}" for name, value in machine.items())
    text = page.read_text(encoding="utf-8")
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    table = f"{BEGIN}\nMeasured on {date} ({told}).\n\n{markdown(rows)}\n{END}"
    page.write_text(before + table + after, encoding="utf-8")
