"""`python -m bench [ROW …] [--date YYYY-MM-DD] [--page] [--tiny]`: measures, shows a table, remembers it.

Progress goes to stderr, the table to stdout; `--json` gives the run as one document instead. Each run is added to
`bench/history.jsonl`; `--page` also writes the table into `docs/performance.md`. Exit code 0, whether bars are met or
not: this measures, and judging is for people.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

from bench import machine, peers, report
from bench.figure import TINY, Figure, Missing, Scale
from codeswarm.garbage import collect_rarely

ROWS = (
    "kernel", "release", "growth", "restart", "status", "workspace", "walls", "triage", "makespan",
    "worker", "adapters", "egress",
)  # fmt: skip
"""The rows, in the order of the table: modules here, with `measure(scale, folder) -> list`."""
HERE = Path(__file__).parent
PAGE = HERE.parent / "docs" / "performance.md"

Measure = Callable[[Scale, Path], Sequence[Figure | Missing]]


def main(words: Sequence[str] | None = None) -> None:
    wanted = _parser().parse_args(words)
    collect_rarely()  # as the program itself does
    scale = TINY if wanted.tiny else Scale()
    facts = machine.facts()
    if not peers.there():
        _say("the peers' environment is missing (make bench makes it): their columns stay empty")
    with tempfile.TemporaryDirectory(prefix="codeswarm-bench-", dir=wanted.folder) as folder:
        rows = [row for name in wanted.rows or ROWS for row in _measured(name, scale, Path(folder) / name)]
    run = report.document(rows, wanted.date, facts, whole=scale.whole)
    if not wanted.tiny:
        report.append(HERE / "history.jsonl", run)
    if wanted.page:
        report.into_page(PAGE, rows, wanted.date, facts)
    sys.stdout.write((json.dumps(run, ensure_ascii=False, indent=1) if wanted.json else report.markdown(rows)) + "\n")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m bench", description="Measures Codeswarm beside its peers.")
    parser.add_argument("rows", nargs="*", choices=[*ROWS, []], help="only these; all if left out")
    parser.add_argument("--date", default=datetime.now(UTC).date().isoformat(), help="what the run is remembered by")
    parser.add_argument("--folder", type=Path, help="on which disk to measure; the temporary one if left out")
    parser.add_argument("--tiny", action="store_true", help="a taste of each row; not remembered")
    parser.add_argument("--page", action="store_true", help="write the table into docs/performance.md")
    parser.add_argument("--json", action="store_true", help="the run as one JSON document")
    return parser


def _measured(name: str, scale: Scale, folder: Path) -> Sequence[Figure | Missing]:
    if find_spec(f"bench.{name}") is None:
        return [Missing(name, "it is not built yet")]
    measure: Measure | None = getattr(import_module(f"bench.{name}"), "measure", None)
    if measure is None:
        return [Missing(name, f"bench/{name}.py has no measure(scale, folder)")]
    _say(f"measuring {name} …")
    try:
        rows = measure(scale, folder)
    except (subprocess.SubprocessError, OSError) as error:
        rows = [Missing(name, " ".join(str(error).split()))]
    for row in rows:
        _say("  " + "  ".join(cell for cell in report.cells(row) if cell))
    return rows


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
