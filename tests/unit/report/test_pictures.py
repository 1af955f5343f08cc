from __future__ import annotations

from itertools import pairwise

from hypothesis import given, strategies as st

from codeswarm.report.document import Bar
from codeswarm.report.graph import THIN, lay_out
from codeswarm.report.lanes import FOLDED, SHORTEST_FOLD_MS, lanes, scale_of, ticks

HOUR_MS = 3_600_000


def bar(from_ms: int, to_ms: int) -> Bar:
    return Bar(kind="attempt", about="a", label="", outcome="succeeded", from_ms=from_ms, to_ms=to_ms)


bars_ = st.lists(st.tuples(st.integers(0, 10_000), st.integers(0, 3_000)), max_size=40).map(
    lambda pairs: sorted(
        (bar(start * 1000, (start + length) * 1000) for start, length in pairs), key=lambda b: b.from_ms
    )
)


# ── lanes and the axis ──


@given(bars_)
def test_no_two_bars_of_a_lane_overlap_and_no_lane_is_more_than_needed(bars: list[Bar]) -> None:
    found = lanes(bars)
    assert sorted(map(id, bars)) == sorted(id(b) for lane in found for b in lane)
    assert all(left.to_ms <= right.from_ms for lane in found for left, right in pairwise(lane))
    at_once = max((sum(b.from_ms <= a.from_ms < b.to_ms or a is b for b in bars) for a in bars), default=0)
    assert len(found) <= at_once


@given(bars_)
def test_the_axis_runs_forward_from_zero_to_one(bars: list[Bar]) -> None:
    end = max((b.to_ms for b in bars), default=0)
    scale = scale_of(bars, 0, end)
    moments = sorted({0, end, *(b.from_ms for b in bars), *(b.to_ms for b in bars)})
    places = [scale.at(moment) for moment in moments]
    assert places == sorted(places)
    assert scale.at(0) == 0.0
    assert abs(scale.at(max(end, 1)) - 1.0) < 1e-9
    assert all(0 <= place <= 1 for place in places)


def test_a_night_in_which_nothing_runs_is_folded() -> None:
    bars = [bar(0, 600_000), bar(9 * HOUR_MS, 9 * HOUR_MS + 600_000)]
    scale = scale_of(bars, 0, 9 * HOUR_MS + 600_000)
    (fold,) = scale.folds
    assert (fold.from_ms, fold.to_ms) == (600_000, 9 * HOUR_MS)
    assert abs(scale.at(fold.to_ms) - scale.at(fold.from_ms) - FOLDED) < 1e-9
    assert not [tick for tick in ticks(scale, 10) if fold.from_ms < tick < fold.to_ms]


def test_a_breath_between_two_bars_is_not_folded() -> None:
    bars = [bar(0, 1_000), bar(SHORTEST_FOLD_MS, SHORTEST_FOLD_MS + 1_000)]
    assert scale_of(bars, 0, SHORTEST_FOLD_MS + 1_000).folds == ()


def test_ticks_are_few_and_round_however_long_it_took() -> None:
    for length in (1_500, 56_000, 3 * HOUR_MS, 40 * 24 * HOUR_MS):
        found = ticks(scale_of([bar(0, length)], 0, length), 10)
        assert len(found) <= 20
        assert all(tick % 1_000 == 0 for tick in found)


# ── the plan ──


@st.composite
def plans(draw: st.DrawFn) -> tuple[dict[str, int], dict[str, list[str]]]:
    """Tickets with a wave each, and blockers in earlier waves."""
    waves = {f"t{n}": draw(st.integers(0, 5)) for n in range(draw(st.integers(1, 25)))}
    earlier = {id_: [other for other in waves if waves[other] < waves[id_]] for id_ in waves}
    blocked = {
        id_: draw(st.lists(st.sampled_from(found), max_size=3)) if found else [] for id_, found in earlier.items()
    }
    return waves, blocked


@given(plans())
def test_tickets_of_a_wave_never_lie_on_each_other(plan: tuple[dict[str, int], dict[str, list[str]]]) -> None:
    waves, blocked = plan
    layout = lay_out(waves, blocked)
    assert {id_: column for id_, (column, _) in layout.places.items()} == waves
    for column in set(waves.values()):
        rows = sorted(row for x, row in layout.places.values() if x == column)
        assert all(right - left >= 1 - 1e-9 for left, right in pairwise(rows))
    assert all(0.5 - 1e-9 <= row <= layout.rows - 0.5 + 1e-9 for _, row in layout.places.values())


@given(plans())
def test_an_edge_goes_wave_by_wave_and_through_no_ticket(plan: tuple[dict[str, int], dict[str, list[str]]]) -> None:
    waves, blocked = plan
    layout = lay_out(waves, blocked)
    assert {(e.blocker, e.ticket) for e in layout.edges} == {(b, id_) for id_, found in blocked.items() for b in found}
    for edge in layout.edges:
        columns = [x for x, _ in edge.places]
        assert columns == list(range(waves[edge.blocker], waves[edge.ticket] + 1))
        for x, row in edge.places[1:-1]:
            others = [other for column, other in layout.places.values() if column == x]
            assert all(abs(row - other) >= (1 + THIN) / 2 - 1e-9 for other in others)


def test_edges_that_cross_are_untangled() -> None:
    waves = {"a": 0, "b": 0, "c": 1, "d": 1}
    layout = lay_out(waves, {"a": [], "b": [], "c": ["b"], "d": ["a"]})
    row = {id_: row for id_, (_, row) in layout.places.items()}
    assert (row["a"] < row["b"]) == (row["d"] < row["c"])


def test_a_thicket_of_long_edges_is_drawn_straight_and_not_for_ever() -> None:
    waves = {f"t{wave}-{n}": wave for wave in range(40) for n in range(25)}
    blocked = {id_: [f"t0-{n}" for n in range(25)] if wave else [] for id_, wave in waves.items()}
    layout = lay_out(waves, blocked)
    assert layout.rows == 25
    assert all(len(edge.places) == 2 for edge in layout.edges)
