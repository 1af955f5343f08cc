"""Figures of a conversation with Claude Code: added up within a turn, put right at its end, gone on with."""

from __future__ import annotations

from typing import Any

from codeswarm.agents.claude.usage import MOST_OPEN, Figures, usage_of
from codeswarm.domain.results import ModelUsage, Usage


def answer(id_: str, *, read: int = 1000, cached: int = 0, text: str = "", model: str = "m", **more: Any) -> Any:
    used = {"input_tokens": read, "cache_read_input_tokens": cached, "output_tokens": 1}
    content = [{"type": "text", "text": text}]
    return {"type": "assistant", "message": {"id": id_, "model": model, "usage": used, "content": content, **more}}


def result(**rows: tuple[int, int]) -> Usage:
    models = {model: {"inputTokens": read, "outputTokens": wrote} for model, (read, wrote) in rows.items()}
    return usage_of({"modelUsage": models, "total_cost_usd": 0.5})


def test_lines_of_one_answer_are_read_once_and_their_words_together() -> None:
    figures = Figures(Usage())
    for text in ("a" * 400, "b" * 400):
        assert figures.heard(answer("m1", cached=500, text=text))
    assert figures.newest.models == (ModelUsage(model="m", input_tokens=1500, cached_tokens=500, output_tokens=200),)
    assert figures.newest.cost_usd is None


def test_many_answers_that_come_in_turns_are_all_counted_once() -> None:
    figures = Figures(Usage())
    for number in range(5 * MOST_OPEN):
        figures.heard(answer(f"m{number}", text="a" * 40))
        figures.heard(answer(f"m{number - 1}" if number else "m0", text="a" * 40))
    assert figures.newest.input_tokens == 5 * MOST_OPEN * 1000


def test_the_end_of_a_turn_puts_it_right_and_the_next_turn_goes_on_from_there() -> None:
    figures = Figures(Usage())
    figures.heard(answer("m1", text="a" * 4000))
    figures.turned(result(m=(1000, 777)))
    assert figures.newest == result(m=(1000, 777))
    figures.heard(answer("m2"))
    assert (figures.newest.input_tokens, figures.newest.output_tokens) == (2000, 778)
    assert figures.newest.cost_usd is None, "what it costs by now nobody has said"


def test_a_conversation_that_is_gone_on_with_counts_from_where_it_was() -> None:
    figures = Figures(result(m=(5000, 100), other=(10, 1)))
    figures.heard(answer("m9"))
    assert figures.newest.input_tokens == 6010
    assert [row.model for row in figures.newest.models] == ["m", "other"]


def test_a_turn_that_ends_without_figures_keeps_those_that_were_heard() -> None:
    figures = Figures(Usage())
    figures.heard(answer("m1"))
    figures.turned(usage_of({"subtype": "error_during_execution"}))
    assert figures.newest.input_tokens == 1000


def test_what_the_program_says_by_itself_is_no_answer_of_a_model() -> None:
    figures = Figures(Usage())
    assert not figures.heard(answer("m1", read=0, model="<synthetic>"))
    assert figures.newest == Usage()


def test_figures_that_are_none_are_not_counted() -> None:
    figures = Figures(Usage())
    for line in (
        {"type": "assistant"},
        {"type": "assistant", "message": []},
        answer("x", usage=[]),
        answer("x", usage={}),
    ):
        assert not figures.heard(line)
    figures.heard(answer("m1", usage={"input_tokens": 2**60, "output_tokens": -5, "cache_read_input_tokens": 7}))
    assert figures.newest.input_tokens == 7
    figures.heard(answer("m2", model="\ud800" * 3))
    assert Usage.model_validate_json(figures.newest.model_dump_json()) == figures.newest
