from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest
from hypothesis import given, settings, strategies as st

from codeswarm.agents.base import Activity
from codeswarm.agents.command import TYPES, activity_of, ending_of, feed, usage_of
from codeswarm.domain.results import FailureClass, Report, Usage
from codeswarm.process import spawn


def line(**fields: object) -> str:
    return json.dumps(fields)


# ── lines become activities ──


@pytest.mark.parametrize("type_", sorted(TYPES))
def test_a_line_of_json_with_a_known_type_is_an_activity(type_: str) -> None:
    raw = line(type=type_, text="hello", more=1)
    found = activity_of(raw, 0)
    assert (found.type, found.text, found.raw, dict(found.data)["more"]) == (type_, "hello", raw, 1)


def test_the_promised_types_are_known() -> None:
    assert {"assistant", "reasoning", "command_started", "command_completed", "usage"} <= TYPES


@pytest.mark.parametrize(
    "raw",
    [
        "plain words",
        "",
        "{",
        "[1]",
        line(type="unheard-of", text="x"),
        line(type=["assistant"]),
        line(type={"a": 1}),
        line(type=None),
        line(text="no type"),
        line(type="await", event="TicketLanded"),
        '{"type":"assistant","text":NaN}',
        ' {"type":"assistant"}',
    ],
)
def test_every_other_line_is_its_transcript(raw: str) -> None:
    assert activity_of(raw, 0) == Activity("output", text=raw)


def test_what_a_recorded_run_waits_for_is_heard_where_it_is_asked_for() -> None:
    assert activity_of(line(type="await", event="X"), 0, TYPES | {"await"}).type == "await"


def test_a_line_that_was_cut_is_never_taken_for_json() -> None:
    found = activity_of(line(type="usage", cost_usd=0), 7)
    assert found.type == "output"
    assert "cut]" in found.text


def test_the_text_of_an_activity_is_what_stands_where_text_is_expected() -> None:
    assert activity_of(line(type="assistant", message="m"), 0).text == "m"
    assert activity_of(line(type="command_started", command="ls"), 0).text == "ls"
    assert activity_of(line(type="assistant", text=3, content="c"), 0).text == "c"
    assert activity_of(line(type="assistant", text=[1]), 0).text == ""


@settings(max_examples=200, deadline=None)
@given(
    st.dictionaries(
        st.sampled_from(("type", "text", "usage", "cost_usd", "input_tokens", "x")),
        st.sampled_from(("usage", "assistant", "\ud800", None, True, -1, 10**30, 1e308, [], {}, {"cost_usd": "x"})),
    )
)
def test_no_line_of_an_agent_makes_hearing_it_fail(fields: dict[str, object]) -> None:
    found = activity_of(json.dumps(fields), 0)
    usage = usage_of(found, Usage())
    Report(summary=found.text, usage=usage).model_dump_json()


# ── usage ──


def told(**fields: object) -> Activity:
    return activity_of(line(type="usage", **fields), 0)


def test_usage_is_cumulative_and_the_newest_figure_counts() -> None:
    usage = usage_of(told(input_tokens=10, cost_usd=1), Usage())
    usage = usage_of(told(usage={"input_tokens": 25, "output_tokens": 5}), usage)
    assert usage == Usage(input_tokens=25, output_tokens=5, cost_usd=1.0)
    assert usage_of(Activity("assistant", data={"cost_usd": 9}), usage) == usage


@pytest.mark.parametrize("value", [None, True, "1", -1, 1.5, 10**30, [1], {}, float("1e400")])
def test_a_count_that_is_none_leaves_it_unknown(value: object) -> None:
    activity = Activity("usage", data={"input_tokens": value})
    assert usage_of(activity, Usage()).input_tokens is None


@pytest.mark.parametrize("value", [None, True, "1", -0.01, float("nan"), float("inf"), 1e10, 10**400])
def test_a_price_that_is_none_leaves_it_unknown(value: object) -> None:
    activity = Activity("usage", data={"cost_usd": value})
    assert usage_of(activity, Usage()).cost_usd is None


def test_nothing_is_known_as_long_as_nothing_was_said() -> None:
    assert Usage().tokens is None
    assert Usage(input_tokens=3).tokens == 3
    assert Usage(input_tokens=0, output_tokens=0).tokens == 0


# ── exit codes ──


def test_exit_0_is_done_and_nothing_else_is() -> None:
    assert ending_of(0, Usage(), "bye").failure is None
    for code in (1, 2, 74, 76, 126, 127, 255, -11, -15):
        failure = ending_of(code, Usage(), "bye").failure
        assert failure is not None
        assert failure.failure_class is FailureClass.CRASHED


def test_exit_75_asks_to_be_tried_later() -> None:
    failure = ending_of(75, Usage(), "").failure
    assert failure is not None
    assert failure.failure_class is FailureClass.TRY_LATER


def test_a_failure_says_how_and_with_which_last_words() -> None:
    for code, how in ((3, "exited with 3"), (-11, "was ended by signal 11"), (-9, "was ended by signal 9")):
        ending = ending_of(code, Usage(input_tokens=1), "x" * 1000)
        assert ending.failure is not None
        assert ending.failure.message == f"the agent {how}: {'x' * 300}"
        assert ending.usage == Usage(input_tokens=1)
    killed = [ending_of(code, Usage(), "").failure for code in (-9, 137)]
    assert {failure and failure.failure_class for failure in killed} == {FailureClass.LOST}, "by someone's hand"
    silent = ending_of(1, Usage(), "").failure
    assert silent is not None
    assert silent.message == "the agent exited with 1"


# ── the prompt ──


async def test_a_program_that_does_not_read_its_prompt_is_no_error() -> None:
    pipe = asyncio.subprocess.PIPE
    process = await spawn(["/bin/true"], cwd=Path("/"), env={}, stdin=pipe, stdout=pipe, stderr=pipe)
    assert process.stdin is not None
    await process.wait()
    await feed(process.stdin, "x" * (1 << 20))


async def test_a_prompt_arrives_whole_and_ends() -> None:
    pipe = asyncio.subprocess.PIPE
    process = await spawn(["/bin/cat"], cwd=Path("/"), env={}, stdin=pipe, stdout=pipe, stderr=pipe)
    assert process.stdin is not None
    text = "ü→\n" * 100_000
    assert process.stdout is not None
    out, _ = await asyncio.gather(process.stdout.read(), feed(process.stdin, text))
    assert out == text.encode()
    await process.wait()
