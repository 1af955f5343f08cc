"""An account is one login of one kind of agent, and tells nothing of it."""

from __future__ import annotations

from codeswarm.agents.account import accounts
from codeswarm.environment import Environment


def of(**variables: str) -> dict[str, str]:
    return accounts(Environment({"PATH": "/bin", **variables}).login)


def test_each_kind_has_the_account_of_its_own_keys() -> None:
    assert of() == {}
    found = of(ANTHROPIC_API_KEY="a", OPENAI_API_KEY="o", GEMINI_API_KEY="g")
    assert set(found) == {"claude", "codex", "gemini", "api"}
    assert len(set(found.values())) == 4


def test_another_key_or_endpoint_is_another_account_and_another_kind_s_changes_nothing() -> None:
    before = of(OPENAI_API_KEY="o", GEMINI_API_KEY="g")
    assert of(OPENAI_API_KEY="p", GEMINI_API_KEY="g")["codex"] != before["codex"]
    assert of(OPENAI_API_KEY="o", OPENAI_BASE_URL="http://x/v1")["codex"] != before["codex"]
    assert of(OPENAI_API_KEY="o", GEMINI_API_KEY="h")["codex"] == before["codex"]
    assert of(OPENAI_API_KEY="o", GEMINI_API_KEY="g") == before


def test_no_key_is_in_it() -> None:
    assert "sk-secret" not in str(of(OPENAI_API_KEY="sk-secret"))
