"""Usage windows of subscriptions, in the words of each CLI."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, strategies as st

from codeswarm.domain.results import UsageWindow
from codeswarm.worker.windows import windows

CLAUDE = {
    "type": "rate_limit_event",
    "rate_limit_info": {
        "status": "allowed_warning",
        "resetsAt": 1_900_000_000,
        "rateLimitType": "seven_day",
        "utilization": 0.87,
    },
}
CODEX = {
    "rateLimits": {
        "primary": {"usedPercent": 42, "windowDurationMins": 300, "resetsAt": 1_900_000_000},
        "secondary": {"usedPercent": 120.5, "windowDurationMins": 10_080, "resetsAt": None},
        "planType": "pro",
    }
}


def test_claude_tells_a_share_of_one_window() -> None:
    assert windows(CLAUDE) == (UsageWindow(name="seven_day", used=0.87, resets_ms=1_900_000_000_000),)


def test_codex_tells_percentages_of_two() -> None:
    assert windows(CODEX) == (
        UsageWindow(name="primary", used=0.42, resets_ms=1_900_000_000_000),
        UsageWindow(name="secondary", used=1.0, resets_ms=None),
    )


@pytest.mark.parametrize(
    "notice",
    [{}, {"status": 429, "kind": "rate_limit", "retry_after_s": 3.0}, {"rate_limit_info": {"status": "rejected"}}],
)
def test_a_notice_of_a_wait_tells_of_no_window(notice: dict[str, Any]) -> None:
    assert windows(notice) == ()


_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters()),
    lambda inner: st.dictionaries(st.sampled_from(["utilization", "usedPercent", "resetsAt", "x"]), inner),
    max_leaves=8,
)


@given(st.dictionaries(st.sampled_from(["utilization", "usedPercent", "resetsAt", "rateLimitType", "y"]), _json))
def test_whatever_a_notice_holds_it_can_be_written_down(notice: dict[str, Any]) -> None:
    for window in windows(notice):
        assert UsageWindow.model_validate_json(window.model_dump_json()) == window
