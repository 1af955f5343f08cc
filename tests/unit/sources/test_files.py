"""Which source is meant, and files that are read again as what was written."""

from __future__ import annotations

import io
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings as drawn, strategies as st

from codeswarm.domain.pipeline import SHIPPED
from codeswarm.domain.plan import Plan, read_plan
from codeswarm.errors import TicketsInvalid, UsageError
from codeswarm.sources import read as reading
from codeswarm.sources.export import export, format_of, spec_data
from codeswarm.sources.read import read_source
from codeswarm.sources.tickets_file import parse_tickets, write_json, write_yaml
from tests.support.sessions import Swarm, spec

YAML = "tickets:\n- {id: a, title: A}\n"
JSON = '{"tickets": [{"id": "a", "title": "A"}]}'
BEADS = '{"id":"a","title":"A","status":"open"}\n'


@pytest.mark.parametrize(
    ("name", "text"),
    [("t.yaml", YAML), ("t.json", JSON), ("t", YAML), ("t", JSON), ("t.jsonl", BEADS), ("t", BEADS), ("t.yml", JSON)],
)
def test_a_file_is_what_its_name_or_its_first_line_says(tmp_path: Path, name: str, text: str) -> None:
    (tmp_path / name).write_text(text)
    found = read_source(name, tmp_path)
    assert [(ticket["id"], ticket["title"]) for ticket in found.plan["tickets"]] == [("a", "A")]
    assert (found.original is not None) == (text == BEADS)


@pytest.mark.parametrize("text", [YAML, JSON, BEADS, "\ufeff" + YAML])
def test_standard_input_may_be_any_of_them(tmp_path: Path, text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(text.encode())))
    found = read_source("-", tmp_path)
    assert found.plan["tickets"][0]["id"] == "a"
    assert found.name == "standard input"


def test_beads_are_looked_for_in_the_folders_above_and_in_a_folder_that_is_named(tmp_path: Path) -> None:
    (tmp_path / ".beads").mkdir()
    (tmp_path / ".beads" / "deletions.jsonl").write_text("{}")
    below = tmp_path / "a" / "b"
    below.mkdir(parents=True)
    with pytest.raises(UsageError, match="there is no beads file here"):
        read_source("beads:", below)
    (tmp_path / ".beads" / "beads.jsonl").write_text(BEADS)
    assert read_source("beads:", below).plan["tickets"][0]["id"] == "a"
    (tmp_path / ".beads" / "issues.jsonl").write_text(BEADS.replace('"a"', '"b"'))
    assert read_source("beads:../..", below).plan["tickets"][0]["id"] == "b"
    assert read_source("beads:.beads", tmp_path).plan["tickets"][0]["id"] == "b"
    with pytest.raises(UsageError):
        read_source("beads:a", tmp_path)


@pytest.mark.parametrize(
    ("source", "words"),
    [("github:a/b", "github: sources are not part"), ("nope.yaml", "can't be read"), (".", "can't be read")],
)
def test_what_can_not_be_read_is_told(tmp_path: Path, source: str, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        read_source(source, tmp_path)


def test_a_file_beyond_the_bound_is_refused_without_being_read_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reading, "MAX_BYTES", 10)
    (tmp_path / "big.jsonl").write_bytes(b"x" * 11)
    with pytest.raises(UsageError, match="larger than"):
        read_source("big.jsonl", tmp_path)


def test_bytes_that_are_no_text_are_told(tmp_path: Path) -> None:
    (tmp_path / "t.yaml").write_bytes(b"tickets: \xff")
    with pytest.raises(UsageError, match="can't be read"):
        read_source("t.yaml", tmp_path)


@pytest.mark.parametrize(("name", "word"), [("t.json", "JSON"), ("t.yaml", "YAML")])
def test_what_is_neither_is_told_by_name(name: str, word: str) -> None:
    with pytest.raises(TicketsInvalid) as told:
        parse_tickets(name, "{")
    assert told.value.problems[0].startswith(f"it is not {word}: ")


@pytest.mark.parametrize("name", ["t.json", "t.yaml"])
def test_half_a_character_is_told_with_its_place(name: str) -> None:
    """A lone surrogate is valid JSON and valid YAML; what holds one can neither be sent nor written."""
    with pytest.raises(TicketsInvalid) as told:
        parse_tickets(name, r'{"tickets": [{"id": "a", "title": "t \ud800 x", "\udfff": {"\ud801": ["\ud802"]}}]}')
    assert [problem.partition(" holds half a character")[0] for problem in told.value.problems] == [
        "a key of tickets[0]", "a key of tickets[0].?", "tickets[0].?.?[0]", "tickets[0].title",
    ]  # fmt: skip
    str(told.value).encode()


def test_a_whole_pair_is_one_character(tmp_path: Path) -> None:
    assert parse_tickets("t.json", r'{"goal": "\ud83d\ude00"}')["goal"].encode()


@pytest.mark.parametrize(
    ("text", "why"), [("[" * 100_000, "it nests too deep"), ("[" + "9" * 5000 + "]", "thousands of digits")]
)
@pytest.mark.parametrize("name", ["t.json", "t.yaml"])
def test_the_reasons_are_ours_and_not_pythons(name: str, text: str, why: str) -> None:
    with pytest.raises(TicketsInvalid) as told:
        parse_tickets(name, text)
    (problem,) = told.value.problems
    assert why in problem
    assert "sys." not in problem


TEXTS = st.text(st.characters(codec="utf-8"), max_size=40)


@drawn(deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck))
@given(TEXTS, st.lists(TEXTS.filter(str.strip), max_size=3), st.sampled_from(["yaml", "json"]))
def test_any_plan_that_is_written_is_read_again_as_it_was(description: str, labels: list[str], form: str) -> None:
    one = spec("a", description=description, labels=tuple(labels), estimate_s=1.5, hold="on hold since\nthen")
    two = spec("b", "a", deadline="2026-12-01T09:00Z", acceptance=("yes", "1.0", "a: b"))
    data = {"goal": description, "tickets": [spec_data(one), spec_data(two)]}
    text = write_yaml(data) if form == "yaml" else write_json(data)
    found = read_plan(parse_tickets(f"t.{form}", text), SHIPPED)
    assert isinstance(found, Plan)
    assert found.tickets == (one, two)


@pytest.mark.parametrize("form", ["yaml", "json"])
def test_an_exported_session_is_its_plan_with_the_holds_of_today(form: str) -> None:
    swarm = Swarm("a", spec("b", "a", hold="later"), "c")
    swarm.hold("c")
    swarm.release("b")
    found = read_plan(parse_tickets(f"x.{form}", export(swarm.session, form, []).decode()), SHIPPED)
    assert isinstance(found, Plan)
    assert {ticket.id: ticket.hold for ticket in found.tickets} == {"a": None, "b": None, "c": "held by a person"}
    assert found.tickets[1].blocked_by == ("a",)


@pytest.mark.parametrize(
    ("name", "form"), [("a.jsonl", "beads"), ("a.json", "json"), ("a.yaml", "yaml"), ("-", "yaml")]
)
def test_the_form_is_told_by_the_name(name: str, form: str) -> None:
    assert format_of(name) == form


@pytest.mark.parametrize(
    ("estimate", "why"),
    [
        ("NaN", "no number"),
        ("1e999", "no number"),
        ("1" + "0" * 300, "no number"),
        ("1e15", "more than ten years"),
        ("-1", "greater than 0"),
        ("0", "greater than 0"),
    ],
)
@pytest.mark.parametrize("name", ["t.json", "t.yaml"])
def test_an_estimate_that_no_ticket_can_take_is_told(tmp_path: Path, name: str, estimate: str, why: str) -> None:
    said = {"NaN": ".nan", "1e999": ".inf", "1e15": "1.0e+15"}.get(estimate, estimate) if name == "t.yaml" else estimate
    (tmp_path / name).write_text(f'{{"tickets": [{{"id": "a", "title": "A", "estimate_s": {said}}}]}}')
    try:
        problems = read_plan(read_source(name, tmp_path).plan, SHIPPED)
        assert isinstance(problems, list)
        told = "\n".join(map(str, problems))
    except TicketsInvalid as error:
        told = error.why
    assert why in told
    assert "estimate_s" in told


def test_yaml_that_would_take_minutes_is_refused_with_the_way_out(tmp_path: Path) -> None:
    (tmp_path / "t.yaml").write_text(YAML + "#" * reading.MAX_YAML)
    with pytest.raises(UsageError) as caught:
        read_source("t.yaml", tmp_path)
    assert "JSON" in caught.value.hint
