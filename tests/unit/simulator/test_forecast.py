"""The forecast: bounds that hold, the same answer each time, and words that a person can use."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from codeswarm.cli.main import main
from codeswarm.domain.ids import TicketId
from codeswarm.domain.ticket import TicketSpec
from codeswarm.simulator import forecast as forecasting
from codeswarm.simulator.forecast import Wish, forecast
from tests.support.runs import Place

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


HELD = """
tickets:
- {id: a, title: A, hold: x, estimate_s: 600}
- {id: b, title: B, blocked_by: [a], requires: [gpu], estimate_s: 600}
"""


def said(tmp_path: Path, capsys: pytest.CaptureFixture[str], *words: str, code: int = 0) -> tuple[str, str]:
    with pytest.raises(SystemExit) as ended:
        main(["-C", str(tmp_path), *words])
    told = capsys.readouterr()
    assert ended.value.code == code, told
    return told.out, told.err


def test_what_a_run_would_not_do_is_said_beside_the_forecast(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "held.yaml").write_text(HELD)
    told, _ = said(tmp_path, capsys, "simulate", "held.yaml", "--workers", "2")
    assert "1 ticket on hold, taken as released: a\n" in told
    assert "1 ticket that no worker here can take (requires: gpu), taken as if one could: b\n" in told
    assert "next: ${EDITOR:-vi} held.yaml" in told
    found = json.loads(said(tmp_path, capsys, "--json", "simulate", "held.yaml")[0])
    assert (found["taken_as_released"], found["taken_as_startable"]) == (["a"], {"b": ["gpu"]})
    (tmp_path / "held.yaml").write_text(HELD.replace("requires: [gpu], ", ""))
    told, _ = said(tmp_path, capsys, "simulate", "held.yaml")
    assert told.endswith("--workers 4\nthen: codeswarm ticket release a\n")
    assert "no worker" not in told


def test_the_repositorys_own_pipelines_and_default_count(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    place = Place(tmp_path)
    phases = "".join(f'[[pipelines.slow]]\nname = "{name}"\nrole = "implementer"\n' for name in ("one", "two"))
    place.begin({"codeswarm.toml": f'[pipeline]\ndefault = "slow"\n{phases}'})
    (place.repository / "t.yaml").write_text("tickets: [{id: a, title: A}, {id: b, title: B, pipeline: single}]")
    found = json.loads(said(place.repository, capsys, "--json", "simulate", "t.yaml")[0])
    assert found["pipeline"] == "slow"
    once = json.loads(said(place.repository, capsys, "--json", "simulate", "t.yaml", "--pipeline", "single")[0])
    assert once["pipeline"] == "single"
    assert once["log_hash"] != found["log_hash"]
    _, told = said(place.repository, capsys, "simulate", "t.yaml", "--pipeline", "slwo", code=2)
    assert "do: codeswarm -C" in told
    assert "--pipeline slow\n" in told
    (place.repository / "t.yaml").write_text("tickets: [{id: a, title: A, pipeline: sinlge}]")
    assert "did you mean 'single'" in said(place.repository, capsys, "simulate", "t.yaml", code=2)[1]


def test_an_endless_price_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "t.yaml").write_text(TICKETS)
    _, told = said(tmp_path, capsys, "simulate", "t.yaml", "--usd-per-hour", "inf", code=2)
    assert "error: --usd-per-hour inf is no price" in told
    assert "simulate t.yaml --usd-per-hour 3\n" in told


def test_a_plan_with_mistakes_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "t.yaml").write_text("tickets: [{id: a, title: A, blocked_by: [b]}]")
    with pytest.raises(SystemExit) as ended:
        main(["-C", str(tmp_path), "simulate", "t.yaml"])
    assert ended.value.code == 2
    assert "no ticket here" in capsys.readouterr().err


def test_a_plan_of_thousands_is_played_less_often(monkeypatch: pytest.MonkeyPatch) -> None:
    plays: list[int] = []
    real = forecasting.play_plan

    def counted(wish: forecasting.Wish, duration: forecasting.Durations) -> forecasting.Played:
        plays.append(wish.workers)
        return real(wish, duration)

    monkeypatch.setattr(forecasting, "play_plan", counted)
    monkeypatch.setattr(forecasting, "MOST_PLAYED", 90)
    tickets = tuple(TicketSpec(id=TicketId(f"t{n}"), title="T") for n in range(30))
    found = forecasting.forecast(forecasting.Wish(tickets, workers=4))
    assert (found.runs, len(plays)) == (1, 3)
    assert found.makespan_p50_s == found.makespan_p90_s
    assert found.enough_workers == 30
