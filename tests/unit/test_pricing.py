"""The table of prices that is shipped, and a person's own rows before it."""

from __future__ import annotations

from datetime import date

import pytest

from codeswarm.config import PriceConfig, PricesConfig
from codeswarm.pricing import age_days, price_table, shipped_prices


def test_the_shipped_table_has_a_date_and_prices_that_can_be_ones() -> None:
    table = shipped_prices()
    assert date(2026, 1, 1) <= date.fromisoformat(table.dated)
    assert len(table.rows) > 20
    for name, price in table.rows.items():
        assert 0 < price.input < price.output, name
        assert price.cached_read is not None, name
        assert price.cached_read < price.input, name


@pytest.mark.parametrize(
    "model", ["gpt-5.5", "gpt-5.2-codex", "claude-sonnet-4-5-20250929", "claude-opus-4-1-20250805", "gemini-2.5-pro"]
)
def test_the_models_of_every_cli_are_in_it(model: str) -> None:
    assert shipped_prices().of(model) is not None


def test_two_models_of_one_family_are_not_taken_for_each_other() -> None:
    table = shipped_prices()
    assert table.of("claude-opus-4-1-20250805") != table.of("claude-opus-4-5-20251101")
    assert table.of("gpt-5-pro") is None


def test_without_rows_of_ones_own_it_is_the_shipped_one() -> None:
    assert price_table(PricesConfig()) is shipped_prices()


def test_rows_and_the_date_of_a_persons_own_come_first() -> None:
    own = PricesConfig(date=date(2026, 11, 20), models={"gpt-5.5": PriceConfig(input=1, output=2)})
    table = price_table(own)
    found = table.of("gpt-5.5")
    assert found is not None
    assert (table.dated, found.input, found.output) == ("2026-11-20", 1, 2)
    assert table.of("gpt-5") == shipped_prices().of("gpt-5")


@pytest.mark.parametrize(
    ("today", "days"), [(date(2026, 10, 11), 1), (date(2026, 10, 9), 0), (date(2027, 10, 10), 365)]
)
def test_a_table_is_as_old_as_its_date(today: date, days: int) -> None:
    assert age_days(price_table(PricesConfig(date=date(2026, 10, 10))), today) == days
