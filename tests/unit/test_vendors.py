"""Which variables log whom in."""

from __future__ import annotations

import pytest

from codeswarm.environment import Environment
from codeswarm.vendors import VENDORS, keys_of


@pytest.mark.parametrize("kind", [*VENDORS, "api"])
def test_an_address_is_none_and_whatever_is_one_is_seen_by_nobody(kind: str) -> None:
    keys = set(keys_of(kind))
    assert keys
    assert not keys & {vendor.endpoint for vendor in VENDORS.values()}
    assert keys <= set(Environment({}).credentials)


def test_a_model_without_a_cli_is_not_logged_in_by_what_only_a_cli_takes() -> None:
    clis = {name for kind in VENDORS for name in keys_of(kind)}
    assert clis - set(keys_of("api")) == {"CLAUDE_CODE_OAUTH_TOKEN", "CODEX_API_KEY"}


def test_of_an_agent_whose_command_may_be_anything_nobody_knows_them() -> None:
    assert keys_of("acp") == keys_of("command") == ()
