"""The structured answer of an agent, which is written by whoever it likes."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings, strategies as st

from codeswarm.domain.results import Contract, Finding, Report, Usage, Verdict
from codeswarm.worker.answer import MAX_BYTES, MAX_ITEMS, MAX_WORDS, Answer, last_object, parse_answer, read_answer


@pytest.fixture
def result(tmp_path: Path) -> Path:
    return tmp_path / "result.json"


def reported(answer: Answer) -> Report:
    """What a worker makes of an answer; it must always be possible, and possible to write down."""
    report = Report(
        contract=answer.contract,
        verdict=answer.verdict,
        findings=answer.findings,
        dispute=answer.dispute,
        plan=answer.plan,
        decisions=answer.decisions,
        proposed_tickets=answer.proposed_tickets,
        usage=answer.usage or Usage(),
    )
    assert Report.model_validate_json(report.model_dump_json()) == report
    return report


# ── each role's answer ──


def test_a_test_writers_contract_is_read_whole(result: Path) -> None:
    promised = {
        "error_variants": ["empty file"],
        "preconditions": [],
        "postconditions": ["rows are kept"],
        "invariants": "one sentence alone",
        "test_plan": {"unit": "all of it"},
        "edge_cases": None,
        "of its own": 1,
    }
    result.write_text(json.dumps({"contract": promised}))
    answer = read_answer(result, "")
    assert answer.contract == Contract(
        error_variants=("empty file",),
        postconditions=("rows are kept",),
        invariants=("one sentence alone",),
        test_plan=("unit: all of it",),
    )
    assert (answer.problem, answer.raw) == ("", {"contract": promised})


@pytest.mark.parametrize("word", ["approve", "APPROVE", " Approve\n"])
def test_a_reviewers_verdict_is_read_however_it_is_spelled(word: str) -> None:
    assert parse_answer({"verdict": word}).verdict is Verdict.APPROVE


def test_findings_are_read_as_objects_or_as_sentences_and_what_is_odd_about_them_is_dropped() -> None:
    rows = [
        {"file": "a.py", "line": 3, "severity": "blocker", "text": "no", "suggestion": "own key"},
        "a sentence",
        {"text": "x", "line": "12-15", "file": None, "severity": None},
        {"text": "y", "line": -1},
    ]
    answer = parse_answer({"verdict": "changes_requested", "findings": rows})
    assert (answer.problem, answer.verdict) == ("", Verdict.CHANGES_REQUESTED)
    assert answer.findings == (
        Finding(file="a.py", line=3, severity="blocker", text="no"),
        Finding(text="a sentence"),
        Finding(text="x"),
        Finding(text="y"),
    )


def test_a_dispute_is_its_reason() -> None:
    assert parse_answer({"dispute": {"reason": " impossible \n"}}).dispute == "impossible"
    assert parse_answer({"dispute": "impossible"}).dispute == "impossible"
    assert parse_answer({"dispute": None}).dispute is None


def test_anyone_may_add_decisions_tickets_and_usage() -> None:
    answer = parse_answer(
        {
            "decisions": ["use csv", {"why": "it is there"}],
            "proposed_tickets": [{"title": "more"}, "not a ticket"],
            "usage": {"input_tokens": 5, "cost_usd": 0.5, "of its own": 1},
        }
    )
    assert answer.decisions == ("use csv", '{"why": "it is there"}')
    assert answer.proposed_tickets == ({"title": "more"},)
    assert answer.usage == Usage(input_tokens=5, cost_usd=0.5)
    assert answer.problem == ""


def test_a_planners_plan_is_text_whatever_shape_it_has() -> None:
    assert parse_answer({"plan": "first this"}).plan == "first this"
    assert parse_answer({"plan": ["first", "then"]}).plan == '["first", "then"]'


# ── what is wrong is told precisely ──


@pytest.mark.parametrize(
    ("found", "problem"),
    [
        ({"verdict": "maybe"}, "'maybe' is not a valid Verdict"),
        ({"verdict": 3}, "'3' is not a valid Verdict"),
        ({"contract": "all is well"}, "Input should be"),
        ({"contract": {"invariants": 3}}, "invariants: "),
        ({"findings": [{"file": "x"}]}, "text: Field required"),
        ({"findings": [3]}, "Input should be"),
        ({"dispute": {}}, "a dispute needs a reason"),
        ({"dispute": {"reason": "  "}}, "a dispute needs a reason"),
        ({"dispute": []}, "a dispute needs a reason"),
        ({"usage": {"cost_usd": -1}}, "cost_usd: "),
        ({"usage": {"input_tokens": 10**30}}, "input_tokens: "),
        ({"usage": {"cost_usd": "lots"}}, "cost_usd: "),
    ],
)
def test_an_answer_that_cannot_be_used_says_where_it_is_wrong(found: dict[str, Any], problem: str) -> None:
    answer = parse_answer(found)
    assert answer.problem.startswith("its result can't be used: ")
    assert problem in answer.problem
    reported(answer)


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        (b"{", "is not JSON"),
        (b"hello", "is not JSON"),
        (b"\xff\xfe\x00", "is not JSON"),
        (b'{"verdict": NaN}', "NaN is no number"),
        (b"[" * 100_000, "nested too deeply"),
        (b'{"plan":' * 100_000, "nested too deeply"),
        (b"[1, 2]", "is no JSON object"),
        (b'"approve"', "is no JSON object"),
        (b"null", "is no JSON object"),
    ],
)
def test_a_file_that_is_no_json_object_is_told_so(result: Path, data: bytes, problem: str) -> None:
    result.write_bytes(data)
    assert problem in read_answer(result, "").problem


def test_a_file_that_is_too_long_is_not_read(result: Path) -> None:
    result.write_bytes(b'{"plan": "' + b"x" * MAX_BYTES + b'"}')
    assert read_answer(result, "").problem == "its result is longer than 4 MiB"


def test_lists_are_read_up_to_a_bound() -> None:
    answer = parse_answer({"findings": ["x"] * 10_000, "decisions": ["y"] * 10_000})
    assert (len(answer.findings), len(answer.decisions)) == (MAX_ITEMS, MAX_ITEMS)


def test_a_byte_order_mark_is_forgiven(result: Path) -> None:
    result.write_bytes(b'\xef\xbb\xbf{"verdict": "approve"}')
    assert read_answer(result, "").verdict is Verdict.APPROVE


def test_halves_of_characters_do_not_get_into_a_report(result: Path) -> None:
    result.write_bytes(rb'{"plan": "a\ud800b", "dispute": "\udfff", "proposed_tickets": [{"\ud800": "\ud800"}]}')
    report = reported(read_answer(result, ""))
    assert (report.plan, report.dispute) == ("a?b", "?")


# ── the file itself is the agent's ──


def test_no_file_and_an_empty_file_are_no_answer(result: Path) -> None:
    assert read_answer(result, "") == Answer()
    result.write_bytes(b" \n")
    assert read_answer(result, "") == Answer()


def test_a_link_is_not_followed(result: Path, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text('{"verdict": "approve"}')
    result.symlink_to(tmp_path / "secret")
    assert read_answer(result, "") == Answer()


def test_a_pipe_or_a_folder_does_not_hold_anyone_up(result: Path) -> None:
    os.mkfifo(result)
    assert read_answer(result, "") == Answer()
    result.unlink()
    result.mkdir()
    assert read_answer(result, "") == Answer()


# ── last words ──


def test_without_a_file_the_last_words_are_the_answer() -> None:
    words = 'I am done.\n```json\n{"verdict": "approve", "findings": []}\n```\nBye {now}.'
    assert read_answer(Path("/nowhere"), words).verdict is Verdict.APPROVE


def test_a_file_comes_before_last_words(result: Path) -> None:
    result.write_text('{"verdict": "approve"}')
    assert read_answer(result, '{"verdict": "changes_requested"}').verdict is Verdict.APPROVE


def test_of_several_objects_the_last_whole_one_with_a_known_key_counts() -> None:
    words = '{"verdict": "approve"} no wait {"verdict": "changes_requested"} {"unknown": 1} {"verdict": '
    assert last_object(words) == {"verdict": "changes_requested"}


def test_an_object_within_another_is_not_the_answer() -> None:
    inner = '{"text": "x", "verdict": "approve"}, {"plan": "p", "text": "y"}'
    words = f'{{"verdict": "changes_requested", "findings": [{inner}]}}'
    found = last_object(words)
    assert found is not None
    assert found["verdict"] == "changes_requested"


def test_words_without_an_answer_have_none() -> None:
    for words in ("", "done", "{}", '{"a": 1}', "{{{", "}{", "[{]"):
        assert last_object(words) is None


@pytest.mark.parametrize("unit", ["{", '{"a":', '{"', '{"a":[1,', "{}", '{"a":{}}'])
def test_last_words_made_to_hurt_are_searched_to_their_end(unit: str) -> None:
    assert last_object(unit * (2 * MAX_WORDS // len(unit))) is None


junk = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | st.just("\ud800"),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=6,
)
KEYS = ("contract", "verdict", "findings", "dispute", "plan", "decisions", "proposed_tickets", "usage", "x")


@settings(max_examples=200, deadline=None)
@given(st.dictionaries(st.sampled_from(KEYS), junk))
def test_no_answer_whatever_makes_reading_or_reporting_it_fail(found: dict[str, Any]) -> None:
    answer = read_answer(Path("/nowhere"), json.dumps(found))
    reported(answer)
