"""Every row of the bench yields a figure, at a size that takes seconds. What figures are is not for tests to judge."""

from __future__ import annotations

import json
import math
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

import pytest
from bench import report
from bench.__main__ import ROWS, main
from bench.figure import TINY, Figure, Missing

BUILT = [name for name in ROWS if find_spec(f"bench.{name}") is not None]


def figure(**fields: object) -> Figure:
    told = {"name": "a row", "unit": "ms", "better": "less", "ours": (2.0, 1.0, 3.0), **fields}
    return Figure(**told)  # type: ignore[arg-type]


@pytest.mark.parametrize("name", BUILT)
def test_a_row_yields_figures_that_can_be(name: str, tmp_path: Path) -> None:
    rows = import_module(f"bench.{name}").measure(TINY, tmp_path / name)
    assert any(isinstance(row, Missing) or row.bar is not None or row.ratio_bar is not None for row in rows)
    for row in rows:
        assert len(report.cells(row)) == len(report.COLUMNS)
        if isinstance(row, Missing):
            assert row.why
            continue
        assert len(row.ours) in (TINY.runs, TINY.long_runs)
        assert all(math.isfinite(value) and value > 0 for value in (*row.ours, *row.processor, *row.peers))


def test_the_median_is_held_to_the_bar_and_each_run_to_its_own_peer() -> None:
    assert figure(bar=2.0).met is True
    assert figure(bar=1.9).met is False
    assert figure(better="more", bar=2.0).met is True
    assert figure().met is None
    paired = figure(peers=(8.0, 10.0, 6.0), peer="it", ratio_bar=4.0)
    assert (paired.ratio, paired.met) == (4.0, True)
    assert figure(bar=2.0, ratio_bar=4.0).met is None, "its peer is missing"
    assert figure(bar=1.0, peers=(8.0, 10.0, 6.0), ratio_bar=4.0).met is False


def test_a_run_is_told_as_json_and_what_is_not_built_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    main(["growth", "--tiny", "--json", "--date", "2026-12-01"])
    run = json.loads(capsys.readouterr().out)
    assert (run["date"], run["whole"]) == ("2026-12-01", False)
    assert run["machine"]["cores"] >= 1
    assert [row["name"] for row in run["figures"]] == ["growth"]


def test_the_page_gets_the_last_table_and_keeps_the_rest(tmp_path: Path) -> None:
    page = tmp_path / "performance.md"
    page.write_text(f"before\n\n{report.BEGIN}\nold\n{report.END}\n\nafter\n", encoding="utf-8")
    rows = [figure(bar=2.0), Missing("another", "there is no disk")]
    report.into_page(page, rows, "2026-12-01", {"cores": 2})
    text = page.read_text(encoding="utf-8")
    assert text.startswith("before\n")
    assert text.endswith("after\n")
    assert "old" not in text
    assert "| a row | 2 ms (1 … 3)" in text
    assert "not measured: there is no disk" in text
