"""What a conversation with the Claude Code CLI has used.

Facts (seen with 2.1): the end of a turn tells it whole, by model, over all turns and over those before a resume. Within
a turn each answer of the model tells what it has read; what it writes stands there as 1 until the end. So that is
estimated by its length, and the turn's end puts it right.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from codeswarm.domain.results import ModelUsage, Usage, model_name

CHARACTERS_PER_TOKEN = 4
MOST_MODELS = 20
"""Of more models than this only the sum is kept."""
MOST_OPEN = 8
"""So many answers may come in turns, line by line."""
_READ = ("inputTokens", "cacheReadInputTokens", "cacheCreationInputTokens")


def usage_of(result: Mapping[str, Any]) -> Usage:
    """Cumulative figures of a `result` line: tokens by model, cost as the CLI prices it; else unknown."""
    models = result.get("modelUsage")
    found = models.items() if isinstance(models, dict) else ()
    return _usage([_row(name, row) for name, row in found if isinstance(row, dict)], result.get("total_cost_usd"))


def _row(model: object, row: Mapping[str, Any]) -> ModelUsage:
    return ModelUsage(
        model=model_name(str(model)),
        input_tokens=sum(_count(row.get(key)) for key in _READ),
        cached_tokens=_count(row.get("cacheReadInputTokens")),
        cache_write_tokens=_count(row.get("cacheCreationInputTokens")),
        output_tokens=_count(row.get("outputTokens")),
    )


def _usage(rows: Iterable[ModelUsage], cost_usd: object = None) -> Usage:
    found = tuple(rows)
    read = sum(row.input_tokens for row in found) if found else None
    wrote = sum(row.output_tokens for row in found) if found else None
    models = found if len(found) <= MOST_MODELS else ()
    return Usage.told(read, wrote, cost_usd).model_copy(update={"models": models})


def _count(value: object) -> int:
    """What can be a count; a line that tells of more than any model has read tells nothing."""
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 < value < 2**40 else 0


class Figures:
    """The newest figures of one conversation."""

    def __init__(self, before: Usage) -> None:
        """`before`: what it had used when it was left."""
        self._begin(before)

    def _begin(self, told: Usage) -> None:
        self._told = told
        self._by_model = {row.model: row for row in told.models}
        """What is told, and the answers since then that are whole."""
        self._open: dict[str, ModelUsage] = {}
        """Answers that may have more lines, by their ids."""

    def turned(self, told: Usage) -> None:
        """A turn has ended, and told it all."""
        if told.tokens is not None:
            self._begin(told)

    def heard(self, message: Mapping[str, Any]) -> bool:
        """Take a line of stream-json; whether it told anything of this. One answer comes in several lines."""
        answer = message.get("message")
        used = answer.get("usage") if isinstance(answer, dict) else None
        if message.get("type") != "assistant" or not isinstance(answer, dict) or not isinstance(used, dict):
            return False
        read, write = _count(used.get("cache_read_input_tokens")), _count(used.get("cache_creation_input_tokens"))
        fresh = _count(used.get("input_tokens"))
        if not fresh + read + write:
            return False  # no model has answered: the CLI speaks for itself
        id_ = str(answer.get("id"))
        before = self._open.pop(id_, None)
        wrote = _estimate(answer.get("content")) + (0 if before is None else before.output_tokens)
        self._open[id_] = ModelUsage(
            model=model_name(str(answer.get("model"))),
            input_tokens=fresh + read + write,
            cached_tokens=read,
            cache_write_tokens=write,
            output_tokens=max(wrote, _count(used.get("output_tokens"))),
        )
        if len(self._open) > MOST_OPEN:
            whole = self._open.pop(next(iter(self._open)))
            self._by_model[whole.model] = _sum(self._by_model.get(whole.model), whole)
        return True

    @property
    def newest(self) -> Usage:
        """Without a cost while a turn goes on: that is known again at its end."""
        if not self._open:
            return self._told
        rows = dict(self._by_model)
        for answer in self._open.values():
            rows[answer.model] = _sum(rows.get(answer.model), answer)
        return _usage(rows.values())


def _sum(one: ModelUsage | None, other: ModelUsage) -> ModelUsage:
    if one is None:
        return other
    numbers = ("input_tokens", "cached_tokens", "cache_write_tokens", "output_tokens")
    return one.model_copy(update={key: getattr(one, key) + getattr(other, key) for key in numbers})


def _estimate(content: object) -> int:
    """How many tokens the blocks of an answer are, by their length."""
    blocks = [block for block in content if isinstance(block, dict)] if isinstance(content, list) else []
    return sum(map(_length, blocks)) // CHARACTERS_PER_TOKEN


def _length(block: Mapping[str, Any]) -> int:
    given = block.get("input")
    texts = given.values() if isinstance(given, dict) else (block.get("text"), block.get("thinking"))
    return sum(len(text) for text in texts if isinstance(text, str))
