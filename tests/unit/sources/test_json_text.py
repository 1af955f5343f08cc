"""Members of a JSON object change within its text, and nothing else does."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings as drawn, strategies as st

from codeswarm.sources.json_text import with_members

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
OBJECTS = st.dictionaries(st.text(max_size=6), VALUES, max_size=6)


@drawn(deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck))
@given(OBJECTS, OBJECTS, st.booleans(), st.sampled_from([None, 1]))
def test_the_object_is_as_if_it_had_been_read_updated_and_written(
    before: dict[str, Any], changes: dict[str, Any], ascii_only: bool, indent: int | None
) -> None:
    text = json.dumps(before, ensure_ascii=ascii_only, indent=indent)
    after = json.loads(with_members(text, changes))
    assert after == {**before, **changes}
    assert list(after) == list({**before, **changes})


@pytest.mark.parametrize(
    ("text", "changes", "after"),
    [
        ('{"a": 1.50 ,"b":"\\u003c"}', {"b": 2}, '{"a": 1.50 ,"b":2}'),
        ('{"a":1}', {}, '{"a":1}'),
        (" { } ", {"a": "<&>"}, ' {"a":"\\u003c\\u0026\\u003e" } '),
        ('{"a":1e2,"a":-0.0,"z":[1, 2]}', {"a": 3}, '{"a":1e2,"a":3,"z":[1, 2]}'),
        ('{"a":{"b":"}"},"c":1}', {"c": 2, "d": None}, '{"a":{"b":"}"},"c":2,"d":null}'),
    ],
)
def test_what_is_not_changed_keeps_its_spelling(text: str, changes: dict[str, Any], after: str) -> None:
    assert with_members(text, changes) == after
