"""What tokens cost, for agents that don't say: a table of prices with a date.

A model that is not in it costs unknown, which is never 0.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from functools import cached_property
from typing import Annotated

from pydantic import Field

from codeswarm.domain.model import Frozen
from codeswarm.domain.results import MOST_USD, ModelUsage, Usage, model_name

PER = 1_000_000
"""Prices are for so many tokens."""
GLOB = frozenset("*?[")
_DATED = re.compile(r"-(20\d\d-?[01]\d-?[0-3]\d|latest)$")
"""What names one version of a model beside the others: all of them have one price."""
MODEL_KINDS = {"claude": "", "codex": "", "api": "", "gemini": "gemini-"}
"""Kinds of agents whose argument is a model, and what the model's own name has before it."""

Usd = Annotated[float, Field(ge=0, le=MOST_USD)]


class Price(Frozen):
    """USD for a million tokens."""

    input: Usd
    output: Usd
    cached_read: Usd | None = None
    """None: as `input`."""
    cache_write: Usd | None = None
    """None: as `input`."""

    def of(self, used: ModelUsage) -> float:
        read = self.input if self.cached_read is None else self.cached_read
        write = self.input if self.cache_write is None else self.cache_write
        fresh = max(used.input_tokens - used.cached_tokens - used.cache_write_tokens, 0)
        usd = fresh * self.input + used.cached_tokens * read + used.cache_write_tokens * write
        return (usd + used.output_tokens * self.output) / PER


@dataclass(frozen=True)
class Prices:
    """A table of prices, as it stood at a date."""

    dated: str = ""
    rows: Mapping[str, Price] = field(default_factory=dict)
    """By model: a name, which stands for its dated versions, too, or a glob."""
    beneath: Prices | None = None
    """Where to look for what is not in here."""

    @cached_property
    def _globs(self) -> list[str]:
        """Those that say most come first."""
        return sorted((name for name in self.rows if GLOB & {*name}), key=lambda name: (-len(name.strip("*")), name))

    def of(self, model: str) -> Price | None:
        """The price of a model by its name: as it is, without who offers it, without its date; then the globs."""
        bare = model.rpartition("/")[2].lower()
        for name in dict.fromkeys((model, bare, _DATED.sub("", bare))):
            if (found := self.rows.get(name)) is not None:
                return found
        found = next((self.rows[glob] for glob in self._globs if fnmatchcase(bare, glob)), None)
        return self.beneath.of(model) if found is None and self.beneath is not None else found

    def cost(self, used: Iterable[ModelUsage]) -> float | None:
        """What they cost together; None where the price of one is not known, or where there is none."""
        total, known = 0.0, False
        for row in used:
            if not row.input_tokens + row.output_tokens:
                continue
            price = self.of(row.model)
            if price is None:
                return None
            total, known = total + price.of(row), True
        return min(total, MOST_USD) if known else None

    def priced(self, usage: Usage, agent: str) -> Usage:
        """The usage with its cost, where the agent did not tell it and the price of each of its models is known."""
        if usage.cost_usd is not None or usage.tokens is None:
            return usage
        cost = self.cost(_named(usage, agent))
        return usage if cost is None else usage.model_copy(update={"cost_usd": cost, "priced": self.dated})


def _named(usage: Usage, agent: str) -> tuple[ModelUsage, ...]:
    """The figures by model. Where no model is named, it is the one of the agent's spec; where nothing is told of
    caches, all costs in full.
    """
    read, wrote = usage.input_tokens or 0, usage.output_tokens or 0
    rows = usage.models or (ModelUsage(model="", input_tokens=read, output_tokens=wrote),)
    own = _model_of(agent)
    return tuple(row if row.model else row.model_copy(update={"model": own}) for row in rows)


def _model_of(agent: str) -> str:
    """The model that an agent's spec names; empty where it names a program, or none."""
    kind, _, argument = agent.partition(":")
    if kind not in MODEL_KINDS or not argument:
        return ""
    return model_name(argument if argument.startswith(MODEL_KINDS[kind]) else MODEL_KINDS[kind] + argument)
