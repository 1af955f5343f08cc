"""The newest figures of a conversation, as its lines tell them: cumulative, and what a line leaves out is as it was."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from pydantic import ValidationError

from codeswarm.domain.results import ModelUsage, Usage

MOST_MODELS = 20


def newest(told: Mapping[str, Any], before: Usage) -> Usage:
    """Figures from outside on top of those before. What is no count, no price or no name stays as it was.

    `model`, `cached_tokens` and `cache_write_tokens` tell of an only model. Who tells figures by model (`models`) tells
    all of them: what such a line leaves out is not known any more.
    """
    if rows := tuple(_rows(told.get("models"))):
        whole = Usage.told(told.get("input_tokens"), told.get("output_tokens"), told.get("cost_usd"))
        return whole.model_copy(update={"models": rows})
    last = before.models[0] if len(before.models) == 1 else None
    one = Usage.told(
        _or(told, "input_tokens", before.input_tokens),
        _or(told, "output_tokens", before.output_tokens),
        _or(told, "cost_usd", before.cost_usd),
        model=_or(told, "model", last and last.model),
        cached_tokens=_or(told, "cached_tokens", last and last.cached_tokens),
        cache_write_tokens=_or(told, "cache_write_tokens", last and last.cache_write_tokens),
    )
    kept = {
        "input_tokens": before.input_tokens if one.input_tokens is None else one.input_tokens,
        "output_tokens": before.output_tokens if one.output_tokens is None else one.output_tokens,
        "cost_usd": before.cost_usd if one.cost_usd is None else one.cost_usd,
    }
    return one.model_copy(update={**kept, "models": one.models or before.models})


def _or(told: Mapping[str, Any], key: str, before: Any) -> Any:
    value = told.get(key)
    return before if value is None else value


def _rows(value: Any) -> Iterator[ModelUsage]:
    if isinstance(value, Sequence) and not isinstance(value, str):
        for row in value[:MOST_MODELS]:
            try:
                yield ModelUsage.model_validate(row)
            except ValidationError:
                return  # half of the models would be half of the price
