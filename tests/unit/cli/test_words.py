from __future__ import annotations

import json
from functools import cache
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings, strategies as st

from codeswarm.cli.lines import event_line
from codeswarm.cli.words import _TELLERS, QUIET, describe, subject
from codeswarm.domain.events import Event
from tests.support.histories import run_history

KINDS = Event.registry
TEXTS = ("", "\n", "one", "one\ntwo", " \n x", "ü\u2028y")


def one_line(text: str) -> bool:
    return bool(text.strip()) and len(text.splitlines()) == 1


@cache
def happened() -> dict[str, dict[str, Any]]:
    """An event of each kind that some random histories came to, as it travels."""
    found: dict[str, dict[str, Any]] = {}
    for seed in range(16):
        for event in run_history(seed, [seed * 31 + place * 17 for place in range(120)]).events:
            found.setdefault(event.kind, event.model_dump(mode="json"))
    return found


def with_text(value: Any, text: str) -> Any:
    """The same data, with another text in the place of each."""
    if isinstance(value, dict):
        return {key: with_text(inner, text) for key, inner in value.items()}
    if isinstance(value, list):
        return [with_text(inner, text) for inner in value]
    return text if isinstance(value, str) else value


def emptied(data: dict[str, Any]) -> dict[str, Any]:
    return {key: [] if isinstance(value, list) else value for key, value in data.items()}


def assert_told_in_one_line(kind: str, data: dict[str, Any]) -> None:
    for told in (data, emptied(data), *(with_text(data, text) for text in TEXTS)):
        assert one_line(describe(kind, told)), told


def test_every_kind_of_event_has_words_and_nothing_else_has() -> None:
    assert len(KINDS) > 40
    assert set(_TELLERS) == set(KINDS)
    assert set(KINDS) > QUIET


def test_whatever_an_event_that_happened_holds_it_is_told_in_one_line() -> None:
    """With empty texts, texts of many lines, empty lists."""
    assert len(happened()) > 35
    for kind, data in happened().items():
        assert_told_in_one_line(kind, data)


@pytest.mark.parametrize("kind", sorted(set(KINDS) - set(happened())))
def test_so_is_one_that_happens_seldom(kind: str) -> None:
    @settings(max_examples=3, deadline=None, database=None, phases=[Phase.generate], suppress_health_check=HealthCheck)
    @given(st.from_type(KINDS[kind]))
    def told(event: Event) -> None:
        assert_told_in_one_line(kind, json.loads(event.model_dump_json()))

    told()


def test_words_name_what_matters() -> None:
    leased = {**happened()["AttemptLeased"], "worker": "w7", "agent": "claude:opus", "phase": "review", "attempt": 2}
    assert describe("AttemptLeased", leased) == "review attempt 2 leased to w7 with claude:opus"
    assert describe("SlotRestarted", {"worker": "w7", "reason": ""}) == "w7 restarted a slot:"
    lost = {"epoch": 3, "reason": "its worker died\nin its sleep", "ticket": "a", "retry_at_ms": 0}
    assert describe("AttemptLost", lost) == "attempt 3 lost: its worker died in its sleep"
    assert subject("AttemptLost", lost) == "a"
    assert (subject("GateLost", {"gate": "@base-1"}), subject("SessionResumed", {"by": "ada"})) == (
        "@base-1",
        "session",
    )


def test_a_kind_of_a_newer_program_is_told_by_its_name() -> None:
    assert describe("MoonLanded", {"crater": 7}) == "MoonLanded"
    record = {"seq": 1, "session": "s", "version": 1, "at_ms": 0, "kind": "MoonLanded", "data": {"ticket": "a"}}
    assert event_line(record).split(maxsplit=1)[1] == f"{'a':<14}  MoonLanded"
