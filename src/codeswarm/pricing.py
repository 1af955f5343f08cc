"""The table of prices in force: what is shipped in `prices.toml`, and the person's own rows before it."""

from __future__ import annotations

import tomllib
from datetime import date
from functools import cache
from importlib import resources

from codeswarm.config import PricesConfig
from codeswarm.domain.prices import Price, Prices


@cache
def shipped_prices() -> Prices:
    """The table of this version."""
    found = tomllib.loads((resources.files("codeswarm") / "prices.toml").read_text(encoding="utf-8"))
    rows = {name: Price.model_validate(row) for name, row in found["models"].items()}
    return Prices(found["date"].isoformat(), rows)


def price_table(config: PricesConfig) -> Prices:
    shipped = shipped_prices()
    if config.date is None and not config.models:
        return shipped
    rows = {name: Price(**row.model_dump()) for name, row in config.models.items()}
    return Prices(config.date.isoformat() if config.date else shipped.dated, rows, beneath=shipped)


def age_days(prices: Prices, today: date) -> int:
    """How old a table is, in days; one of tomorrow is new."""
    return max((today - date.fromisoformat(prices.dated)).days, 0)
