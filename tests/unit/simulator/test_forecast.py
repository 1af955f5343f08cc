"""The forecast: bounds that hold, the same answer each time, and words that a person can use."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from codeswarm.cli.main import main
from codeswarm.domain.ids import TicketId
from codeswarm.domain.ticket import TicketSpec
from codeswarm.simulator.forecast import Wish, forecast

TICKETS = """
goal: g
tickets:
  - {id: a, title: A, estimate_s: 100, files: [src/a.py]}
  - {id: b, title: B, estimate_s: 300, files: [src/b.py]}
  - {id: c, title: C, estimate_s: 200, files: [src/b.py]}
  - {id: d, title: D, estimate_s: 50, blocked_by: [a, c]}
"""


def spec(id_: str, estimate_s: float, *blockers: str, files: tuple[str, ...] = ()) -> TicketSpec:
    waits = tuple(TicketId(blocker) for blocker in blockers)
    return TicketSpec(id=TicketId(id_), title=id_, estimate_s=estimate_s, blocked_by=waits, files=files)


CHAIN = (spec("a", 100), spec("b", 200, "a"), spec("c", 300, "b"))
APART = tuple(spec(f"t{number}", 100) for number in range(6))


def test_a_chain_takes_its_critical_path_however_many_work() -> None:
    found = forecast(Wish(CHAIN, workers=3))
    assert found.makespan_s == found.lower_bound_s == found.critical_path_s == pytest.approx(600)
    assert found.critical_path == ["a", "b", "c"]
    assert found.utilisation == pytest.approx(1 / 3)
    assert found.one_more_worker_s == pytest.approx(600)
    assert found.enough_workers == 1


def test_tickets_that_wait_for_nobody_share_the_workers() -> None:
    found = forecast(Wish(APART, workers=3))
    assert found.makespan_s == found.lower_bound_s == pytest.approx(200)
    assert found.utilisation == pytest.approx(1)
    assert found.enough_workers == 6


def test_failures_cost_time_and_more_of_them_more() -> None:
    takes = [forecast(Wish(APART, workers=2, fail_rate=rate)).makespan_s for rate in (0.0, 0.2, 0.6)]
    assert takes == sorted(takes)
    assert takes[0] < takes[2]


def test_the_same_seed_gives_the_same_forecast() -> None:
    one, again, other = (forecast(Wish(APART, 2, seed, fail_rate=0.3)) for seed in (1, 1, 2))
    assert one == again
    assert one.log_hash != other.log_hash


def test_only_tickets_that_meet_can_conflict() -> None:
    meeting = (spec("a", 100, files=("x.py",)), spec("b", 100, files=("x.py",)))
    assert forecast(Wish(meeting, workers=2)).conflicts_expected == 1
    assert forecast(Wish(meeting, workers=1)).conflicts_expected == 0


def test_the_command_tells_programs_and_people(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "t.yaml").write_text(TICKETS)
    words = ["-C", str(tmp_path), "simulate", "t.yaml", "--workers", "2", "--usd-per-hour", "6"]
    with pytest.raises(SystemExit) as ended:
        main([*words, "--json"])
    assert ended.value.code == 0
    told = json.loads(capsys.readouterr().out)
    assert told["makespan_s"] >= told["lower_bound_s"] == 325
    assert told["critical_path_s"] == 300
    assert told["work_s"] == 650
    assert 0 < told["utilisation"] <= 1
    assert told["cost_usd"] == pytest.approx(650 / 3600 * 6, abs=0.01)
    assert told["conflicts_expected"] == 1
    assert len(told["log_hash"]) == 64
    assert told["one_more_worker"]["workers"] == 3
    with pytest.raises(SystemExit):
        main(words)
    assert "one more worker" in capsys.readouterr().out


def test_a_cost_that_nobody_knows_is_not_made_up(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "t.yaml").write_text(TICKETS)
    with pytest.raises(SystemExit):
        main(["-C", str(tmp_path), "--json", "simulate", "t.yaml"])
    told = json.loads(capsys.readouterr().out)
    assert told["cost_usd"] is None
    assert "--usd-per-hour" in told["cost_why"]


def test_a_plan_with_mistakes_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "t.yaml").write_text("tickets: [{id: a, title: A, blocked_by: [b]}]")
    with pytest.raises(SystemExit) as ended:
        main(["-C", str(tmp_path), "simulate", "t.yaml"])
    assert ended.value.code == 2
    assert "no ticket here" in capsys.readouterr().err
