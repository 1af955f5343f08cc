from __future__ import annotations

import itertools
from graphlib import CycleError

import pytest
from hypothesis import given, strategies as st

from codeswarm.domain import dag

DIAMOND = {"a": [], "b": ["a"], "c": ["a"], "d": ["b", "c"]}


@st.composite
def plans(draw: st.DrawFn) -> dict[str, list[str]]:
    """A graph without cycles: each ticket is blocked by earlier ones only; then shuffled."""
    count = draw(st.integers(0, 12))
    edges = {
        f"t{i}": draw(st.lists(st.sampled_from([f"t{j}" for j in range(i)]), max_size=3) if i else st.just([]))
        for i in range(count)
    }
    return {name: edges[name] for name in draw(st.permutations(list(edges)))}


@st.composite
def graphs(draw: st.DrawFn) -> dict[str, list[str]]:
    names = [f"t{i}" for i in range(draw(st.integers(1, 8)))]
    return {name: draw(st.lists(st.sampled_from(names), max_size=3)) for name in names}


def test_waves_hold_tickets_by_their_longest_chain_of_blockers_in_the_plans_order() -> None:
    assert dag.waves(DIAMOND) == [["a"], ["b", "c"], ["d"]]
    assert dag.waves({"z": [], "a": ["z"], "y": []}) == [["z", "y"], ["a"]]
    assert dag.waves({}) == []


def test_the_road_behind_a_ticket_is_the_longest_one_to_the_end_itself_included() -> None:
    seconds = {"a": 1.0, "b": 10.0, "c": 2.0, "d": 3.0}
    assert dag.tails(DIAMOND, seconds) == {"a": 14.0, "b": 13.0, "c": 5.0, "d": 3.0}
    assert dag.critical_path(DIAMOND, seconds) == ["a", "b", "d"]


def test_ties_on_the_critical_path_go_to_the_plans_order() -> None:
    assert dag.critical_path(DIAMOND, dict.fromkeys(DIAMOND, 1.0)) == ["a", "b", "d"]
    assert dag.critical_path({}, {}) == []


def test_a_cycle_is_told_as_who_waits_for_whom_and_closes() -> None:
    cycle = dag.find_cycle({"a": ["c"], "b": ["a"], "c": ["b"], "d": ["a"]})
    assert cycle is not None
    assert cycle[0] == cycle[-1]
    assert set(cycle) == {"a", "b", "c"}
    assert dag.find_cycle({"a": ["a"]}) == ["a", "a"]
    assert dag.find_cycle(DIAMOND) is None


@given(graphs())
def test_every_edge_of_a_cycle_that_is_found_is_in_the_graph(blockers: dict[str, list[str]]) -> None:
    cycle = dag.find_cycle(blockers)
    if cycle is None:
        dag.waves(blockers)
        return
    assert all(waiting_for in blockers[one] for one, waiting_for in itertools.pairwise(cycle))
    with pytest.raises(CycleError):
        dag.in_order(blockers)


@given(plans())
def test_each_ticket_stands_after_its_blockers_in_order_and_in_waves(blockers: dict[str, list[str]]) -> None:
    order = dag.in_order(blockers)
    assert sorted(order) == sorted(blockers)
    wave = {id_: number for number, ids in enumerate(dag.waves(blockers)) for id_ in ids}
    for ticket, ids in blockers.items():
        for blocker in ids:
            assert order.index(blocker) < order.index(ticket)
            assert wave[blocker] < wave[ticket]


@given(plans(), st.randoms())
def test_the_critical_path_is_a_chain_as_long_as_the_longest_road(blockers: dict[str, list[str]], dice: object) -> None:
    seconds = {id_: float(dice.randint(1, 9)) for id_ in blockers}  # type: ignore[attr-defined]
    path = dag.critical_path(blockers, seconds)
    assert all(one in blockers[next_] for one, next_ in itertools.pairwise(path))
    longest = max(dag.tails(blockers, seconds).values(), default=0.0)
    assert sum(seconds[id_] for id_ in path) == longest


def test_ten_thousand_tickets_in_one_chain_are_fine() -> None:
    chain = {f"t{i}": [f"t{i - 1}"] if i else [] for i in range(10_000)}
    assert len(dag.waves(chain)) == 10_000
    assert dag.tails(chain, dict.fromkeys(chain, 1.0))["t0"] == 10_000.0
    assert len(dag.critical_path(chain, dict.fromkeys(chain, 1.0))) == 10_000
    chain["t0"] = ["t9999"]
    assert len(dag.find_cycle(chain) or ()) == 10_001
