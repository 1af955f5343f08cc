"""A tickets file is read as a whole: every mistake at once, each with its place and what to do."""

from __future__ import annotations

import itertools
import time

import pytest
import yaml
from hypothesis import given, settings, strategies as st

from codeswarm.domain.pipeline import SHIPPED
from codeswarm.domain.plan import MAX_TICKETS, Plan, read_plan

GOOD = """
goal: Add CSV export
tickets:
  - id: model
    title: Row model
    description: |
      Rows and their fields.
    blocked_by: []
    acceptance: ["a row can be printed"]
    files: ["src/rows.py"]
    priority: 1
    estimate_s: 600
    deadline: "2026-12-01T09:00Z"
    requires: [gpu]
    pipeline: single
    contract: characterise
    gate: "pytest -q tests/test_rows.py"
    labels: [backend]
  - id: export
    title: Export
    blocked_by: [model, model]
"""

BAD = """
goal: Add CSV export
titel: Add CSV export
tickets:
  - id: model
    title: Row model
    blockd_by: [x]
    priority: 9
    pipeline: contract-frist
  - id: model
    title: Row model again
  - id: Bad_Name
    title: Upper case
  - id: a..b
    title: Two dots
  - id: ends.lock
    title: A lock
  - title: No id at all
  - id: untitled
  - id: export
    title: Export
    blocked_by: [modle, import]
    requires: gpu
    estimate_s: -1
    contract: test
    deadline: 2026-12-01T09:00:00
  - just text
  - id: one
    title: One
    blocked_by: [three]
  - id: two
    title: Two
    blocked_by: [one]
  - id: three
    title: Three
    blocked_by: [two]
  - id: self
    title: Waits for itself
    blocked_by: [self]
  - id: [odd]
    title: A list as an id
    blocked_by: [{odd: thing}]
"""

EVERY_MISTAKE = {
    "file": ["unknown key 'titel'; did you mean 'tickets'?"],
    "ticket 'model'": ["unknown key 'blockd_by'; did you mean 'blocked_by'?", "used 2 times"],
    "ticket 'model'.priority": ["less than or equal to 4"],
    "ticket 'model'.pipeline": ["'contract-frist', which is not known; did you mean 'contract-first'?"],
    "ticket 'Bad_Name'.id": ["must be 1 to 64"],
    "ticket 'a..b'.id": ["must not contain '..'"],
    "ticket 'ends.lock'.id": ["must not end with '.lock'"],
    "tickets[5].id": ["is missing"],
    "ticket 'untitled'.title": ["is missing"],
    "ticket 'export'.blocked_by": ["'modle', which is no ticket here; did you mean 'model'?", "'import', which is no"],
    "ticket 'export'.requires": ["must be a list"],
    "ticket 'export'.estimate_s": ["greater than 0"],
    "ticket 'export'.contract": ["'tests', 'characterise' or 'none'"],
    "ticket 'export'.deadline": ["timezone"],
    "tickets[8]": ["must be a mapping, not text"],
    "tickets": ["cycle: "],
    "tickets[13].id": ["must be text"],
    "tickets[13].blocked_by.0": ["must be text"],
}


def read(text: str) -> Plan | list[str]:
    found = read_plan(yaml.safe_load(text), SHIPPED)
    return found if isinstance(found, Plan) else [str(problem) for problem in found]


def test_a_good_file_is_read_with_everything_in_it() -> None:
    plan = read(GOOD)
    assert isinstance(plan, Plan)
    assert plan.goal == "Add CSV export"
    model, export = plan.tickets
    assert (model.priority, model.estimate_s, model.requires, model.contract) == (1, 600.0, ("gpu",), "characterise")
    assert model.deadline is not None
    assert model.deadline.isoformat() == "2026-12-01T09:00:00+00:00"
    assert (export.priority, export.contract, export.pipeline, export.deadline) == (2, "tests", None, None)


def test_every_mistake_of_a_file_is_told_at_once_with_its_place() -> None:
    problems = read(BAD)
    assert isinstance(problems, list)
    for where, whats in EVERY_MISTAKE.items():
        for what in whats:
            assert any(problem.startswith(f"{where}: ") and what in problem for problem in problems), (where, what)
    told = sum(map(len, EVERY_MISTAKE.values()))
    assert len(problems) == told + 1, "and each one once; the second cycle is the one more"


def test_cycles_are_shown_as_the_cycle_and_all_of_them() -> None:
    problems = [problem for problem in read(BAD) if "cycle" in problem]
    assert len(problems) == 2
    assert "self → self" in problems[1] or "self → self" in problems[0]
    (three,) = [problem for problem in problems if "self" not in problem]
    cycle = three.partition("cycle: ")[2].partition(";")[0].split(" → ")
    assert cycle[0] == cycle[-1]
    waits_for = {"one": "three", "two": "one", "three": "two"}
    assert all(waits_for[one] == other for one, other in itertools.pairwise(cycle))


def test_a_ticket_with_other_mistakes_is_still_held_against_the_known_pipelines() -> None:
    data = {"tickets": [{"id": "a", "pipeline": "sinlge"}]}
    problems = [str(problem) for problem in read_plan(data, SHIPPED)]  # type: ignore[union-attr]
    assert any("did you mean 'single'" in problem for problem in problems)
    assert any("title: is missing" in problem for problem in problems)


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        (None, "file: must be a mapping with the key 'tickets', not nothing"),
        ([], "file: must be a mapping with the key 'tickets', not a list"),
        ("x", "file: must be a mapping with the key 'tickets', not text"),
        ({}, "tickets: is missing"),
        ({"tickets": None}, "tickets: is missing"),
        ({"tickets": []}, "tickets: must be a list with at least one ticket"),
        ({"tickets": {"a": 1}}, "tickets: must be a list with at least one ticket"),
        ({"goal": 3, "tickets": [{"id": "a", "title": "x"}]}, "goal: must be text, not int"),
        ({"tickets": [{}]}, "tickets[0].title: is missing"),
        ({"tickets": [None]}, "tickets[0]: must be a mapping, not nothing"),
        ({"tickets": [{"id": "a", "title": ""}]}, "ticket 'a'.title: "),
        ({1: 2, "tickets": [{"id": "a", "title": "x"}]}, "file: has the unknown key 1"),
    ],
)
def test_a_file_of_the_wrong_shape_is_told_so(data: object, problem: str) -> None:
    found = read_plan(data, SHIPPED)
    assert isinstance(found, list)
    assert any(str(item).startswith(problem) for item in found), found


def test_a_key_without_a_value_has_its_default() -> None:
    plan = read_plan({"goal": None, "tickets": [{"id": "a", "title": "x", "gate": None, "blocked_by": None}]}, SHIPPED)
    assert isinstance(plan, Plan)


def test_too_many_tickets_are_refused_before_they_are_read() -> None:
    found = read_plan({"tickets": [{}] * (MAX_TICKETS + 1)}, SHIPPED)
    assert [str(problem) for problem in found] == [  # type: ignore[union-attr]
        f"tickets: has {MAX_TICKETS + 1} tickets; at most {MAX_TICKETS} fit"
    ]


def test_a_hostile_file_with_very_many_mistakes_is_read_in_reasonable_time() -> None:
    names = [f"t{number}" for number in range(3000)]
    rows = [{"id": name, "title": "x", "blocked_by": [name, f"no-{name}", f"nor-{name}"]} for name in names]
    began = time.monotonic()
    found = read_plan({"tickets": rows}, SHIPPED)
    assert time.monotonic() - began < 10
    assert isinstance(found, list)
    assert sum("which is no ticket" in str(problem) for problem in found) == 6000
    assert any("cycle" in str(problem) for problem in found)


def test_a_chain_of_many_tickets_is_no_cycle() -> None:
    rows = [{"id": f"t{i}", "title": "x", "blocked_by": [f"t{i - 1}"] if i else []} for i in range(5000)]
    assert isinstance(read_plan({"tickets": rows}, SHIPPED), Plan)


junk = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
rows = st.dictionaries(
    st.sampled_from(("id", "title", "blocked_by", "priority", "pipeline", "deadline", "files", "gate", "x")), junk
)


@settings(max_examples=150, deadline=None)
@given(st.lists(rows | junk, max_size=4))
def test_no_data_whatever_makes_reading_fail(tickets: list[object]) -> None:
    found = read_plan({"tickets": tickets}, SHIPPED)
    if isinstance(found, list):
        assert found
        assert all(problem.where and problem.what for problem in found)
