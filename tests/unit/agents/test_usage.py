"""Figures of usage from outside: cumulative, merged line by line, and never believed where they are none."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, strategies as st

from codeswarm.agents.usage import newest
from codeswarm.domain.results import ModelUsage, Usage


def told(*lines: dict[str, Any]) -> Usage:
    found = Usage()
    for line in lines:
        found = newest(line, found)
    return found


def test_what_a_line_leaves_out_is_as_it_was() -> None:
    found = told({"input_tokens": 10, "cost_usd": 0.5}, {"output_tokens": 3}, {"input_tokens": 12})
    assert (found.input_tokens, found.output_tokens, found.cost_usd) == (12, 3, 0.5)


def test_a_model_that_was_named_once_is_that_of_later_figures() -> None:
    found = told({"model": "gpt-5", "input_tokens": 10, "cached_tokens": 4}, {"input_tokens": 30, "output_tokens": 2})
    assert found.models == (ModelUsage(model="gpt-5", input_tokens=30, cached_tokens=4, output_tokens=2),)


def test_several_models_are_told_as_rows() -> None:
    rows = [{"model": "a", "input_tokens": 1}, {"model": "b", "output_tokens": 2}]
    assert [row.model for row in told({"models": rows, "input_tokens": 1}).models] == ["a", "b"]


def test_an_agent_can_t_say_that_somebody_else_pays() -> None:
    assert told({"subscription": True, "priced": "2026-01-01", "cost_usd": 1.0}) == Usage(cost_usd=1.0)


@pytest.mark.parametrize("value", ["12", -1, 1.5, True, None, float("nan"), float("inf"), 2**60, [], {}])
def test_what_is_no_count_leaves_what_was_there(value: object) -> None:
    assert told({"input_tokens": 7}, {"input_tokens": value}).input_tokens == 7


@given(
    st.lists(
        st.dictionaries(
            st.sampled_from(["input_tokens", "output_tokens", "cost_usd", "model", "models", "cached_tokens", "usage"]),
            st.recursive(
                st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
                lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
                max_leaves=5,
            ),
        ),
        max_size=4,
    )
)
def test_whatever_lines_hold_the_figures_can_be_written_down(lines: list[dict[str, Any]]) -> None:
    found = told(*lines)
    assert Usage.model_validate_json(found.model_dump_json()) == found
