"""A CLI's own credential file is read for what may be told; whatever is no login says so, and how it is mended."""

from __future__ import annotations

import errno
import json
import os
from datetime import UTC, datetime
from pathlib import Path

import pytest

from codeswarm.agents.account import accounts
from codeswarm.agents.login_file import (
    LONGEST_SECRET,
    MOST_BYTES,
    MOST_SECRETS,
    known_secrets,
    login_file,
    refused,
    secrets_in,
)
from codeswarm.cli.login_checks import logins
from codeswarm.environment import Environment, Login
from codeswarm.worker.shared_file import SharedFile
from tests.support.account_hosts import FIRST, LONG_AGO_MS, YEAR_2100_MS, claude_login, codex_login, gemini_login

FILES = {"claude": ".claude/.credentials.json", "codex": ".codex/auth.json", "gemini": ".gemini/oauth_creds.json"}
GOOD = {"claude": claude_login, "codex": codex_login, "gemini": gemini_login}
NOW = datetime(2026, 11, 21, tzinfo=UTC)
each = pytest.mark.parametrize("kind", FILES)


def put(home: Path, kind: str, content: object) -> Path:
    path = home / FILES[kind]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


def login_of(home: Path, **variables: str) -> Login:
    return Environment({"HOME": str(home), "PATH": "/bin", **variables}).login


@each
def test_plan_and_expiry_are_told_and_no_secret(tmp_path: Path, kind: str) -> None:
    put(tmp_path, kind, GOOD[kind]())
    found = login_file(login_of(tmp_path), kind)
    assert found is not None
    assert (found.problem, found.until_ms, found.renews) == ("", YEAR_2100_MS, True)
    assert found.plan == {"claude": "max", "codex": "pro", "gemini": "Google account"}[kind]
    line = next(iter(logins(login_of(tmp_path), [kind], NOW)))
    assert "until 2100-01-01" in line.detail
    assert "can read and change this file" in line.detail
    assert FIRST not in f"{line} {found}"
    assert [FIRST in secret or secret.startswith("ey") for secret in found.secrets] == [True] * len(found.secrets)
    assert len(found.secrets) >= 2


@each
@pytest.mark.parametrize("renews", [True, False])
def test_what_has_expired_is_mended_and_works_only_where_the_cli_renews_it(
    tmp_path: Path, kind: str, *, renews: bool
) -> None:
    login = GOOD[kind](expires_ms=LONG_AGO_MS)
    if not renews:
        for holder in (login, login.get("claudeAiOauth"), login.get("tokens")):
            for name in ("refreshToken", "refresh_token"):
                _ = isinstance(holder, dict) and holder.pop(name, None)
    put(tmp_path, kind, login)
    line = next(iter(logins(login_of(tmp_path), [kind], NOW)))
    assert (line.ok, "expired at 2020-09-13" in line.detail) == (False, True)
    assert line.fix.startswith({"claude": "claude auth login", "codex": "codex login", "gemini": "gemini "}[kind])
    bad = refused(login_of(tmp_path), kind, "it")
    assert (bad is None) is renews


PROBLEMS = [
    ("", "is empty"),
    ("{", "is damaged: it is no JSON"),
    ("[" * 100_000, "is damaged: it is no JSON"),
    ("[1]", "is damaged: it holds no login"),
    ("{}", "holds no login"),
    ('{"claudeAiOauth": 7, "tokens": [], "access_token": null}', "holds no login"),
    ("x" * (MOST_BYTES + 1), "is too large: more than 1024 KiB"),
]


@each
@pytest.mark.parametrize(("content", "said"), PROBLEMS, ids=[said for _, said in PROBLEMS])
def test_a_file_that_is_no_login_says_so(tmp_path: Path, kind: str, content: str, said: str) -> None:
    path = put(tmp_path, kind, content)
    bad, line = refused(login_of(tmp_path), kind, "it"), next(iter(logins(login_of(tmp_path), [kind], NOW)))
    assert bad is not None
    assert (bad.works, bad.what) == (False, f"it: its login {path} {said}")
    assert (line.ok, line.detail, bool(line.fix)) == (False, f"{path} {said}", True)


@each
@pytest.mark.parametrize(("user", "sudo"), [(1000, "sudo "), (0, "")], ids=["a person", "root"])
def test_a_file_that_is_another_s_becomes_ours(
    tmp_path: Path, kind: str, user: int, sudo: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = put(tmp_path, kind, "{}")
    opened = os.open

    def denied(there: Path, *flags: int) -> int:
        if there == path:
            raise PermissionError(errno.EACCES, "no")
        return opened(there, *flags)

    monkeypatch.setattr("os.open", denied)
    monkeypatch.setattr("os.access", lambda *_: False)
    monkeypatch.setattr("os.geteuid", lambda: user)
    bad = refused(login_of(tmp_path), kind, "it")
    assert bad is not None
    assert bad.fix == f'{sudo}chown "$(id -un)" {path} && chmod 600 {path}'


@each
def test_a_link_and_what_is_no_file_are_refused_and_never_waited_for(tmp_path: Path, kind: str) -> None:
    real, path = tmp_path / "elsewhere.json", put(tmp_path, kind, "")
    real.write_text(json.dumps(GOOD[kind]()))
    path.unlink()
    path.symlink_to(real)
    bad = refused(login_of(tmp_path), kind, "it")
    assert bad is not None
    assert "is a symbolic link" in bad.what
    assert os.system(bad.fix) == 0
    assert refused(login_of(tmp_path), kind, "it") is None
    path.unlink()
    os.mkfifo(path)
    bad = refused(login_of(tmp_path), kind, "it")
    assert bad is not None
    assert "is no file" in bad.what


@pytest.mark.skipif(os.getuid() == 0, reason="root reads everything")
def test_one_that_can_t_be_read_is_given_back_to_its_person(tmp_path: Path) -> None:
    put(tmp_path, "claude", claude_login()).chmod(0)
    bad = refused(login_of(tmp_path), "claude", "it")
    assert bad is not None
    assert "can't be read: Permission denied" in bad.what
    assert "chmod 600" in bad.fix


def test_variables_go_before_it_and_name_its_folder(tmp_path: Path) -> None:
    put(tmp_path, "claude", claude_login())
    assert login_file(login_of(tmp_path, ANTHROPIC_API_KEY="k"), "claude") is None
    assert login_file(login_of(tmp_path, CLAUDE_CONFIG_DIR="/nonexistent"), "claude") is None
    assert login_file(login_of(Path("/nonexistent"), CLAUDE_CONFIG_DIR=str(tmp_path / ".claude")), "claude") is not None
    assert login_file(login_of(Path("/nonexistent"), OPENAI_API_KEY="k"), "codex") is None


def test_an_account_is_the_vendor_s_own_and_survives_a_renewal(tmp_path: Path) -> None:
    ada, eve = tmp_path / "ada", tmp_path / "eve"
    for home in (ada, eve):
        for kind in FILES:
            put(home, kind, GOOD[kind]())
    before = accounts(login_of(ada))
    assert accounts(login_of(eve))["claude"] != before["claude"], "a file that names nobody is known by its place"
    assert accounts(login_of(eve))["codex"] == before["codex"], "the same account in another HOME"
    put(ada, "claude", claude_login("another"))
    put(ada, "codex", codex_login("another"))
    assert accounts(login_of(ada)) == before
    other = codex_login("another")
    other["tokens"]["account_id"] = "account-8"  # type: ignore[index]
    put(ada, "codex", other)
    assert accounts(login_of(ada))["codex"] != before["codex"]
    put(ada, "claude", {**claude_login(), "organizationUuid": "o-1"})
    assert accounts(login_of(ada))["claude"] != before["claude"]


def test_an_api_key_in_codex_s_file_is_a_key(tmp_path: Path) -> None:
    put(tmp_path, "codex", {"auth_mode": "apikey", "OPENAI_API_KEY": "sk-secret-1", "tokens": None})
    found, line = login_file(login_of(tmp_path), "codex"), next(iter(logins(login_of(tmp_path), ["codex"], NOW)))
    assert found is not None
    assert (found.key, found.secrets) == ("sk-secret-1", ("sk-secret-1",))
    assert line.ok
    assert "agents can't read it" in line.detail
    assert "sk-secret" not in f"{line} {found}"


def test_by_a_variable_nothing_but_its_name_is_told(tmp_path: Path) -> None:
    login = login_of(tmp_path, CLAUDE_CODE_OAUTH_TOKEN="sk-secret-1", OPENAI_API_KEY="sk-secret-2")
    claude, codex = logins(login, ["claude", "codex"], NOW)
    assert claude.detail.startswith("CLAUDE_CODE_OAUTH_TOKEN is a token made for headless use")
    assert codex.detail.startswith("OPENAI_API_KEY is a key")
    assert (claude.ok, codex.ok, "sk-secret" in f"{claude} {codex}") == (True, True, False)


def test_a_renewed_secret_is_news_once(tmp_path: Path) -> None:
    path = put(tmp_path, "claude", claude_login())
    shared = SharedFile(path, lambda: secrets_in(login_of(tmp_path), "claude"))
    assert len(tuple(shared.news())) == 2
    assert tuple(shared.news()) == ()
    put(tmp_path, "claude", claude_login("a-longer-number"))
    assert all("a-longer-number" in secret for secret in shared.news())
    path.unlink()
    assert tuple(shared.news()) == ()


@each
def test_what_else_an_agent_writes_into_it_is_no_secret(tmp_path: Path, kind: str) -> None:
    put(tmp_path, kind, GOOD[kind]())
    before = secrets_in(login_of(tmp_path), kind)
    more = {"token": "sha512-of-a-package", "secret": {"value": "word-of-a-test"}, "keys": ["one-1", "two-2"]}
    put(tmp_path, kind, {**GOOD[kind](), **more, "mcpOAuth": {"x": "accessToken"}})
    assert secrets_in(login_of(tmp_path), kind) == before


def test_tokens_of_mcp_servers_are_secrets_too_but_no_more_than_a_person_has(tmp_path: Path) -> None:
    for many, found in ((1, 2 + 1), (5000, MOST_SECRETS)):
        servers = {f"server-{number}": {"serverName": "x", "accessToken": f"mcp-{number}"} for number in range(many)}
        put(tmp_path, "claude", {**claude_login(), "mcpOAuth": servers})
        secrets = secrets_in(login_of(tmp_path), "claude")
        assert (len(secrets), secrets[2]) == (found, "mcp-0")
        assert all(FIRST in secret for secret in secrets[:2]), "its account's come first"
    put(tmp_path, "claude", claude_login("x" * LONGEST_SECRET))
    assert secrets_in(login_of(tmp_path), "claude") == ()


def test_a_login_that_was_renewed_since_is_known_to_whoever_asks(tmp_path: Path) -> None:
    environment = Environment({"HOME": str(tmp_path), "OPENAI_API_KEY": "canary-Vt5Rm8Jc3Qy7"})
    for number in ("0-canary-Kq7Lw2", "1-canary-Kq7Lw2"):
        put(tmp_path, "claude", claude_login(number))
        key, *tokens = known_secrets(environment).values
        assert key == "canary-Vt5Rm8Jc3Qy7"
        assert len([token for token in tokens if number in token]) == len(tokens) == 2
