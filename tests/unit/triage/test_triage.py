"""Triage: what the graph says of each ticket, which of them next, and why."""

from __future__ import annotations

import json
import random
import subprocess
import sys
from pathlib import Path

import pytest

from codeswarm.cli.main import main
from codeswarm.domain import commands as cmd
from codeswarm.domain.pipeline import SHIPPED
from codeswarm.domain.plan import Plan, read_plan
from codeswarm.sources.beads import read
from codeswarm.triage import measures as measuring
from codeswarm.triage.items import Item, Standing, of_plan, of_session
from codeswarm.triage.measures import measure, sampled_betweenness
from codeswarm.triage.ranking import STALE_MS, WEIGHTS, document, triage
from tests.support.sessions import Swarm, spec

NOW_MS = 1_700_000_000_000
HOUR_MS = 3_600_000


def item(id_: str, *blockers: str, seconds: float = 600.0, priority: int = 2, **fields: object) -> Item:
    standing = Standing.PENDING if blockers else Standing.STARTABLE
    return Item(id_, f"Do {id_}", priority, seconds, blockers, **{"standing": standing, **fields})  # type: ignore[arg-type]


def order(*items: Item) -> list[str]:
    return [one.item.id for one in triage(items, NOW_MS).ranked]


def why(*items: Item) -> tuple[str, ...]:
    return triage(items, NOW_MS).ranked[0].why


# ── measures, against graphs that are known ──


def test_roads_and_followers_of_a_small_plan() -> None:
    found = measure([item("a"), item("b", "a", seconds=60), item("c", "a"), item("d", "b", "c")])
    assert found.road_s == {"a": 1800, "b": 660, "c": 1200, "d": 600}
    assert found.unblocks == {"a": 3, "b": 1, "c": 1, "d": 0}
    assert found.direct == {"a": 2, "b": 1, "c": 1, "d": 0}
    assert found.critical_path == ["a", "c", "d"]
    assert found.cycles == []


def test_betweenness_is_the_share_of_shortest_roads_through_a_ticket() -> None:
    found = measure([item("a"), item("b", "a"), item("c", "b"), item("d", "b")])
    assert found.betweenness == {"a": 0, "b": round(2 / 6, 9), "c": 0, "d": 0}
    assert found.sources == 4


def test_rank_flows_to_those_who_are_waited_for() -> None:
    found = measure([item("root"), item("one", "root"), item("two", "root"), item("alone")])
    assert found.pagerank["root"] > found.pagerank["one"] == found.pagerank["two"] == found.pagerank["alone"]
    assert sum(found.pagerank.values()) == pytest.approx(1, abs=1e-6)


def test_followers_are_counted_once_however_many_ways_lead_to_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(measuring, "WIDTH", 7)
    dice = random.Random(3)
    items = [item(f"t{i}", *{f"t{dice.randrange(i)}" for _ in range(3)} if i else ()) for i in range(60)]
    reach: dict[str, set[str]] = {one.id: set() for one in items}
    for one in reversed(items):
        for blocker in one.blocked_by:
            reach[blocker] |= {one.id} | reach[one.id]
    assert measure(items).unblocks == {id_: len(found) for id_, found in reach.items()}


def test_a_sample_of_all_is_exact_and_a_part_of_it_finds_the_bottlenecks(monkeypatch: pytest.MonkeyPatch) -> None:
    items = plan_of(300, random.Random(5))
    edges = {one.id: list(one.blocked_by) for one in items}
    exact = measure(items).betweenness
    monkeypatch.setattr(measuring, "SAMPLED_STEPS", 10**9)
    every, sources = sampled_betweenness(edges)
    assert sources == 300
    assert every == pytest.approx(exact, abs=1e-6)
    monkeypatch.setattr(measuring, "SAMPLED_STEPS", 5000)
    some, sources = sampled_betweenness(edges)
    assert sources < 300
    best, found = (set(sorted(values, key=lambda id_: -values[id_])[:20]) for values in (exact, some))
    assert len(best & found) >= 14


def test_beyond_the_bound_betweenness_is_sampled_and_that_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(measuring, "EXACT_WORK", 100)
    monkeypatch.setattr(measuring, "SAMPLED_STEPS", 50)
    told = document(triage(plan_of(100, random.Random(5)), NOW_MS), 1)["betweenness"]
    assert told == {"exact": False, "sources": measuring.FEWEST_SOURCES} or told["sources"] < 100
    assert told["exact"] is False


def plan_of(count: int, dice: random.Random) -> list[Item]:
    return [
        item(f"t{i}", *{f"t{dice.randrange(max(0, i - 20), i)}" for _ in range(2)} if i else ()) for i in range(count)
    ]


# ── cycles ──


def test_cycles_are_told_and_everything_is_ranked_all_the_same() -> None:
    found = triage([item("a", "b"), item("b", "a"), item("me", "me"), item("x"), item("y", "x", "a")], NOW_MS)
    assert found.measures.cycles == [["a", "b"], ["me"]]
    assert [one.item.id for one in found.ranked] == ["x"]
    told = document(found, 5)
    assert told["totals"]["in_cycles"] == 3
    assert len(told["tickets"]) == 5


def test_where_a_cycle_is_taken_apart_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = "tickets: [{id: a, title: A, blocked_by: [b]}, {id: b, title: B, blocked_by: [a]}, {id: c, title: C}]"
    (tmp_path / "t.yaml").write_text(rows)
    with pytest.raises(SystemExit) as ended:
        main(["-C", str(tmp_path), "triage", "--tickets", "t.yaml"])
    assert ended.value.code == 0
    assert "a, b wait for each other; take an edge away in t.yaml: a must not wait for b\n" in capsys.readouterr().out


def test_cycles_of_a_beads_file_and_of_a_tickets_file_are_cycles_here() -> None:
    lines = [
        {"id": one, "title": one, "dependencies": [{"depends_on_id": other, "type": "blocks"}]}
        for one, other in (("a", "b"), ("b", "a"))
    ]
    found = read("beads", b"\n".join(json.dumps(line).encode() for line in lines), lenient=True)
    plan = read_plan(found.plan, SHIPPED)
    assert isinstance(plan, Plan)
    assert measure(of_plan(plan, found.cut)).cycles == [["a", "b"]]
    rows = [{"id": "a", "title": "A", "blocked_by": ["b"]}, {"id": "b", "title": "B", "blocked_by": ["a"]}]
    plan = read_plan({"tickets": rows}, SHIPPED, cycles=True)
    assert isinstance(plan, Plan)
    assert measure(of_plan(plan)).cycles == [["a", "b"]]


# ── ranking ──


def test_what_holds_up_more_comes_first() -> None:
    assert order(
        item("alone"), item("few"), item("x", "few"), item("many"), *(item(f"y{i}", "many") for i in "123")
    ) == [
        *("many", "few", "alone"),
    ]


def test_among_equals_priority_then_the_plans_order() -> None:
    assert order(item("b"), item("a"), item("urgent", priority=0), item("late", priority=4)) == [
        "urgent",
        "b",
        "a",
        "late",
    ]


def test_only_what_can_be_begun_is_ranked() -> None:
    held, busy = item("held", standing=Standing.HELD), item("busy", standing=Standing.UNDER_WAY)
    found = triage([held, busy, item("a"), item("b", "a")], NOW_MS)
    assert [one.item.id for one in found.ranked] == ["a"]
    totals = document(found, 1)["totals"]
    assert {key: totals[key] for key in ("open", "startable", "pending", "under_way", "held")} == {
        "open": 4,
        "startable": 1,
        "pending": 1,
        "under_way": 1,
        "held": 1,
    }


def test_the_reasons_are_told_in_words_weightiest_first() -> None:
    assert why(item("a", seconds=7200), item("b", "a"), item("c", "b")) == (
        "begins the critical path of 2 h",
        "holds up 2 others, 1 of them directly",
        "opens b, which much leads through",
    )
    assert why(item("a", priority=0)) == ("priority 0",)
    assert why(item("a", since_ms=NOW_MS - STALE_MS * 2, priority=4)) == ("untouched for 28 days",)
    assert why(item("a", deadline_ms=NOW_MS - 3 * HOUR_MS, priority=4)) == ("overdue by 3 h",)
    assert why(item("a", deadline_ms=NOW_MS + 3 * HOUR_MS, priority=4)) == ("due in 3 h",)


def test_scores_lie_between_nothing_and_one() -> None:
    assert sum(WEIGHTS.values()) == pytest.approx(1)
    items = [item("a", priority=0, since_ms=1, deadline_ms=1), item("b", "a"), item("c", "b")]
    (best,) = triage(items, NOW_MS).ranked
    assert 0.9 < best.score <= 1


def test_nothing_at_all_is_no_fault() -> None:
    assert document(triage([], NOW_MS), 5)["next"] == []


# ── of a session ──


def test_a_session_is_read_as_it_stands() -> None:
    swarm = Swarm("done", "busy", spec("free", "done"), spec("waits", "busy"), "held", "gone", spec("stuck", "gone"))
    swarm.landed("done")
    swarm.begin("busy")
    swarm.hold("held")
    swarm.do(cmd.CancelTicket(ticket=swarm.ticket("gone").id, by="ada"))
    found = {one.id: (one.standing, one.blocked_by) for one in of_session(swarm.session)}
    assert found == {
        "busy": (Standing.UNDER_WAY, ()),
        "free": (Standing.STARTABLE, ()),
        "waits": (Standing.PENDING, ("busy",)),
        "held": (Standing.HELD, ()),
        "stuck": (Standing.PENDING, ()),
    }


# ── its costs ──


@pytest.mark.parametrize("reach", [50, 3, 10_000])
def test_ten_thousand_tickets_are_within_the_bound_on_steps(reach: int) -> None:
    """What takes long is betweenness: its steps are bounded, whatever the graph looks like."""
    dice = random.Random(1)
    items = [
        item(f"t{i}", *{f"t{dice.randrange(max(0, i - reach), i)}" for _ in range(2)} if i else ())
        for i in range(10_000)
    ]
    found = triage(items, NOW_MS)
    assert len(found.ranked) == 1
    assert found.measures.sources < len(items)
    assert found.measures.unblocks["t0"] == 9999


def test_the_graph_library_is_loaded_by_triage_alone() -> None:
    code = (
        "import sys, codeswarm.cli.main, codeswarm.cli.ticket, codeswarm.router.app; print('rustworkx' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=Path.cwd())
    assert done.stdout.strip() == "False"
