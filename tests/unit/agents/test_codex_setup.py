"""Whether Codex can be used here, what it is told, and by which key."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from codeswarm.agents.base import AgentSpec
from codeswarm.agents.codex import agent as codex
from codeswarm.agents.codex.agent import PACKAGE, CodexAgent, provider_of
from codeswarm.agents.installed import shown_for
from codeswarm.environment import Login
from codeswarm.errors import AgentUnavailable
from codeswarm.packages import npm_package
from codeswarm.vendors import OPENAI
from tests.support.stages import OpenStage, QuietStage


def stand_in(folder: Path, says: str) -> str:
    """A PATH on which something says that it is Codex."""
    program = folder / "bin" / "codex"
    program.parent.mkdir()
    program.write_text(f"#!/bin/sh\necho '{says}'\n")
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    return f"{program.parent}:/usr/bin:/bin"


def keys(**keys: str) -> Login:
    return Login("", {}, keys)


def agent(path: str, **keys: str) -> CodexAgent:
    return CodexAgent(AgentSpec("codex"), Login(path, {}, keys))


def test_one_that_is_here_and_has_a_key_works(tmp_path: Path) -> None:
    health = agent(stand_in(tmp_path, "codex-cli 0.163.0"), OPENAI_API_KEY="k").check()
    assert (health.works, health.fix) == (True, "")
    assert health.what.endswith("login from OPENAI_API_KEY")


def test_what_lacks_is_told_with_what_mends_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = stand_in(tmp_path, "codex-cli 0.42.0")
    without_key, old = agent(path).check(), agent(path, CODEX_API_KEY="k").check()
    monkeypatch.setattr(codex, "find_codex", lambda path: None)
    missing = agent("/nonexistent", OPENAI_API_KEY="k").check()
    assert [health.works for health in (without_key, old, missing)] == [False] * 3
    there = tmp_path / "bin" / "codex"
    assert without_key.fix == "export OPENAI_API_KEY=…"
    assert old.fix == f"mv {there} {there}.old && {npm_package(PACKAGE)}@latest", "npm did not bring it"
    assert missing.fix == npm_package(PACKAGE)
    assert "0.42.0" in old.what


async def test_one_that_went_away_is_no_fault_of_ours(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(codex, "find_codex", lambda path: None)
    stage = OpenStage(tmp_path)
    with pytest.raises(AgentUnavailable):
        await agent("/nonexistent", OPENAI_API_KEY="k").open(stage.task(), stage)


def test_a_key_is_named_in_settings_and_said_in_the_environment_alone() -> None:
    stage = QuietStage()
    settings, told = provider_of(keys(OPENAI_API_KEY="o", CODEX_API_KEY="sk-secret"), stage)
    assert told == {"CODEX_API_KEY": "sk-secret"}
    assert "sk-secret" not in str(settings)
    assert settings["model_providers.codeswarm.env_key"] == "CODEX_API_KEY"
    assert settings["model_providers.codeswarm.base_url"] == OPENAI.address
    assert [(endpoint.upstream, endpoint.header) for endpoint in stage.endpoints] == [(OPENAI.address, "authorization")]


def test_an_address_of_the_person_s_own_is_the_one_that_is_asked() -> None:
    settings, _ = provider_of(keys(OPENAI_API_KEY="o", OPENAI_BASE_URL="http://127.0.0.1:9/v1"), QuietStage())
    assert settings["model_providers.codeswarm.base_url"] == "http://127.0.0.1:9/v1"


def test_without_a_key_the_cli_is_left_to_its_own_login() -> None:
    assert provider_of(keys(OPENAI_BASE_URL="http://127.0.0.1:9/v1"), QuietStage()) == ({}, {})


def test_a_program_is_shown_with_what_it_is_nothing_without(tmp_path: Path) -> None:
    in_node = tmp_path / "lib/node_modules/@openai/codex/node_modules/x/bin/codex.js"
    assert shown_for(in_node) == (tmp_path / "lib/node_modules",)
    assert shown_for(Path("/usr/bin/codex")) == ()
    alone = tmp_path / "bin" / "codex"
    assert shown_for(alone) == (alone,)
    (tmp_path / "codex-package.json").write_text("{}")
    assert shown_for(alone) == (tmp_path,)
