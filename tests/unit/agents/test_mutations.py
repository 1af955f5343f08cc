"""A hundred thousand transcripts with accidents in them, told to every adapter (`tests/mutations`)."""

from __future__ import annotations

import asyncio

import pytest

from tests.mutations.adapters import Adapter, all_adapters
from tests.mutations.play import SHARES, Broken, Case, case_of, judged, play, woven

SEED = 1
ADAPTERS = all_adapters()


def test_there_are_a_hundred_thousand_of_them_over_every_adapter() -> None:
    assert sum(SHARES.values()) == 100_000
    assert set(SHARES) == set(ADAPTERS)


@pytest.mark.parametrize("name", SHARES)
@pytest.mark.long
def test_no_accident_crashes_an_adapter_or_makes_a_success_of_a_failure(name: str) -> None:
    found = asyncio.run(play(ADAPTERS[name], SEED, range(SHARES[name])))
    assert found.total() == SHARES[name]
    assert found["success"] > SHARES[name] / 20, "many a success survives, or there would be nothing to see"
    assert any(how.endswith("flooded") for how in found), "lines of a hundred megabytes were among them"


@pytest.mark.parametrize("name", SHARES)
def test_what_is_not_damaged_ends_as_it_did(name: str) -> None:
    adapter = ADAPTERS[name]
    assert asyncio.run(judged(adapter, Case(adapter.success, 0, fails=False))) == "success"
    for failure in adapter.failures.values():
        code = 75 if name == "command" else 0
        assert asyncio.run(judged(adapter, Case(failure, code, fails=True))) != "success"


def test_a_promise_that_breaks_is_told_with_what_shows_it_again() -> None:
    claude = ADAPTERS["claude"]
    lying = Adapter("claude", claude.success, {"lies": claude.success}, claude.open, claude.ended_well)
    with pytest.raises(Broken, match=r'python -m tests.mutations "claude" --seed 5 --only [0-9]+'):
        asyncio.run(play(lying, 5, range(1000)))


def test_a_number_and_a_seed_are_one_transcript() -> None:
    codex = ADAPTERS["codex"]
    assert case_of(codex, 1, 7) == case_of(codex, 1, 7) != case_of(codex, 2, 7)


@pytest.mark.parametrize("name", [name for name in SHARES if not ADAPTERS[name].by_code])
def test_two_turns_in_one_stream_of_which_one_failed_are_a_failure_whichever_ends_first(name: str) -> None:
    adapter = ADAPTERS[name]

    class Always:
        def __init__(self, value: float) -> None:
            self.value = value

        def random(self) -> float:
            return self.value

    for failure in adapter.failures.values():
        for first in (0.0, 1.0):
            transcript = woven(adapter, failure, Always(first))  # type: ignore[arg-type]
            assert asyncio.run(judged(adapter, Case(transcript, 0, fails=True))) != "success"
