"""What tokens cost by a table: which row is a model's, and that what is not known stays unknown."""

import pytest
from hypothesis import given, strategies as st

from codeswarm.domain.prices import Price, Prices
from codeswarm.domain.results import ModelUsage, Usage

TABLE = Prices(
    "2026-10-10",
    {
        "gpt-5": Price(input=1.0, output=10.0, cached_read=0.1),
        "gpt-5-mini": Price(input=0.2, output=2.0),
        "claude-opus-4*": Price(input=5.0, output=25.0, cached_read=0.5, cache_write=6.25),
        "claude-*": Price(input=3.0, output=15.0),
        "gemini-2.5-pro": Price(input=1.25, output=10.0),
    },
)


@pytest.mark.parametrize(
    ("model", "row"),
    [
        ("gpt-5", "gpt-5"),
        ("GPT-5", "gpt-5"),
        ("openai/gpt-5", "gpt-5"),
        ("gpt-5-2025-08-07", "gpt-5"),
        ("gpt-5-latest", "gpt-5"),
        ("gpt-5-mini", "gpt-5-mini"),
        ("claude-opus-4-5-20251101", "claude-opus-4*"),
        ("claude-sonnet-4-5", "claude-*"),
    ],
)
def test_a_model_has_the_price_of_the_row_that_says_most_of_it(model: str, row: str) -> None:
    assert TABLE.of(model) is TABLE.rows[row]


@pytest.mark.parametrize("model", ["gpt-5.5", "gpt-5-nano", "gpt-50", "gpt", "", "grok-4", "[", "*"])
def test_a_model_that_is_not_in_the_table_has_no_price_though_its_name_is_like_another(model: str) -> None:
    assert TABLE.of(model) is None


def test_rows_of_a_persons_own_come_before_those_beneath_them() -> None:
    own = Prices("2026-11-01", {"gpt-5*": Price(input=2.0, output=2.0)}, beneath=TABLE)
    assert own.of("gpt-5") == Price(input=2.0, output=2.0)
    assert own.of("gemini-2.5-pro") is TABLE.rows["gemini-2.5-pro"]


def test_what_came_from_a_cache_costs_what_caches_cost() -> None:
    used = ModelUsage(model="x", input_tokens=1_000_000, cached_tokens=600_000, cache_write_tokens=100_000)
    price = Price(input=5.0, output=25.0, cached_read=0.5, cache_write=6.25)
    assert price.of(used) == pytest.approx(0.3 * 5 + 0.6 * 0.5 + 0.1 * 6.25)
    assert Price(input=5.0, output=25.0).of(used) == pytest.approx(5.0)


def test_tokens_of_a_known_model_are_given_their_price_and_the_date_of_the_table() -> None:
    told = Usage.told(1_000_000, 100_000, model="gpt-5", cached_tokens=500_000)
    priced = TABLE.priced(told, "command:agent")
    assert (priced.cost_usd, priced.priced) == (pytest.approx(0.5 + 0.05 + 1.0), "2026-10-10")


def test_an_agent_that_told_its_cost_is_believed() -> None:
    told = Usage.told(1_000_000, 100_000, 0.0, model="gpt-5")
    assert TABLE.priced(told, "codex:gpt-5") is told


@pytest.mark.parametrize(
    ("agent", "cost"),
    [
        ("codex:gpt-5", 1.0),
        ("gemini:2.5-pro", 1.25),
        ("gemini:gemini-2.5-pro", 1.25),
        ("api:gpt-5", 1.0),
        ("codex", None),
        ("codex:gpt-9", None),
        ("command:gpt-5", None),
    ],
)
def test_where_no_model_is_named_it_is_that_of_the_agents_spec(agent: str, cost: float | None) -> None:
    assert TABLE.priced(Usage(input_tokens=1_000_000), agent).cost_usd == cost


def test_one_model_without_a_price_makes_the_whole_unknown() -> None:
    rows = (ModelUsage(model="gpt-5", input_tokens=5), ModelUsage(model="mystery", output_tokens=1))
    assert TABLE.priced(Usage(input_tokens=5, output_tokens=1, models=rows), "codex:gpt-5").cost_usd is None


def test_without_tokens_there_is_nothing_to_price() -> None:
    assert TABLE.priced(Usage(), "codex:gpt-5").cost_usd is None


@given(st.text(st.characters(), max_size=300), st.integers(0, 2**53), st.integers(0, 2**53), st.integers(0, 2**53))
def test_whatever_is_told_has_a_cost_that_is_known_and_finite_or_unknown(
    model: str, read: int, cached: int, wrote: int
) -> None:
    priced = TABLE.priced(Usage.told(read, wrote, model=model, cached_tokens=cached), "codex:gpt-5")
    assert priced.cost_usd is None or 0 <= priced.cost_usd <= 1e9
    assert Usage.model_validate_json(priced.model_dump_json()) == priced
