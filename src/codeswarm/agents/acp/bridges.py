"""The ACP agents that are known by name: what they are given, how they are told to behave, how their errors read.

ACP has a shape for errors and no words for them: each agent has its own. Rows were taken from what each of them said
to every fault of the scripted model.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from codeswarm.agents.base import Capabilities, Stage
from codeswarm.agents.claude.agent import FIXED_ENVIRONMENT, credentials
from codeswarm.agents.codex.agent import PROVIDER, own_login, provider_of
from codeswarm.agents.failures import BY_STATUS, Row, Table
from codeswarm.agents.login_file import login_file, secrets_in
from codeswarm.domain.results import FailureClass
from codeswarm.egress.base import Endpoint
from codeswarm.environment import Login
from codeswarm.vendors import ANTHROPIC, GOOGLE, OPENAI

AUTH_REQUIRED = "-32000"
"""ACP's own code of errors for it, as a kind of error."""

GENERIC: Table = (
    Row(
        FailureClass.QUOTA,
        words=("usage limit", "credit balance", "exhausted your", "quota exceeded", "out of credits", "billing"),
        kinds=("usageLimitExceeded", "billing_error", "insufficient_quota"),
    ),
    Row(
        FailureClass.CONTEXT_OVERFLOW,
        words=("prompt is too long", "context window", "context length", "maximum number of tokens allowed"),
        kinds=("contextWindowExceeded", "max_tokens"),
    ),
    Row(
        FailureClass.UNKNOWN_MODEL,
        words=("issue with the selected model", "is not found for api version", "model not found"),
        kinds=("model_not_found", "unsupported_model"),
    ),
    Row(FailureClass.AUTH, words=("invalid api key",), kinds=(AUTH_REQUIRED, "authentication_failed", "unauthorized")),
    Row(FailureClass.TIMED_OUT, kinds=("max_turn_requests",)),
    Row(FailureClass.RATE_LIMITED, words=("429", "rate limit", "too many requests"), kinds=("rate_limit",)),
    Row(
        FailureClass.OVERLOADED,
        words=("overloaded", "high demand", "at capacity"),
        kinds=("overloaded", "server_error", "serverOverloaded", "category:service", "category:connection"),
    ),
    *BY_STATUS,
)
CODEX_FAILURES: Table = (
    Row(FailureClass.UNKNOWN_MODEL, words=("404 not found",)),
    Row(FailureClass.REFUSED, words=("reason: content_filter",)),
    Row(FailureClass.CRASHED, words=("reason: max_output_tokens",)),
    *GENERIC,
)
GEMINI_SETTINGS = Path(__file__).parent / "gemini_settings.json"
"""What Gemini CLI takes from a file alone: how to log in, and to let others do the trying again."""
GEMINI_ACCOUNT_SETTINGS = Path(__file__).parent / "gemini_account_settings.json"
GEMINI_HOSTS = ("cloudcode-pa.googleapis.com", "oauth2.googleapis.com", "www.googleapis.com")
"""What it asks with a login of an account."""
GEMINI_FAILURES: Table = (Row(FailureClass.AUTH, words=("api key not valid", "api key is missing")), *GENERIC)
CLAUDE_FAILURES: Table = (Row(FailureClass.CRASHED, words=("output token maximum",)), *GENERIC)


@dataclass(frozen=True, slots=True)
class Bridge:
    """One agent that is known; `ANY` stands for all others."""

    programs: tuple[str, ...]
    """What it is called in a command: a program, or a package of node's."""
    agent: str
    """What it calls itself, as `agentInfo` tells it."""
    package: str = ""
    """By which name npm installs it."""
    variables: tuple[str, ...] = ()
    """By which of the person's variables it is logged in: its own vendor's, one is enough."""
    environment: Callable[[Login, Stage], Mapping[str, str]] = field(default=lambda login, stage: {})
    """What it is told: where its model is, with a key that is put in outside, and how to behave."""
    own: str = ""
    """The kind of agent whose CLI it drives: where no variable is set, that CLI's own login is used."""
    before: Callable[[Login, Stage], str] = field(default=lambda login, stage: "")
    """What a shell does before it, in the HOME that it has inside."""
    shown: tuple[Path, ...] = ()
    """Files of ours that it reads."""
    session: Callable[[bool], Mapping[str, Any]] = field(default=lambda trusted: {})
    """`_meta` of a session; a repository's own settings are kept out where it is not trusted."""
    method: str = ""
    """How it is logged in by the variables, where it must be told."""
    failures: Table = GENERIC
    can: Capabilities = Capabilities(name=True, turns=True, ask=True)
    """Of one that is not known: whether it takes up a session is seen too late to count on it."""
    counts: bool = False
    """It counts tokens whatever happens: a turn of none had no answer."""


def _claude(login: Login, stage: Stage) -> dict[str, str]:
    return {**FIXED_ENVIRONMENT, **credentials(login, stage), **_beneath(login, "CLAUDE_CODE_EXECUTABLE")}


def _claude_session(trusted: bool) -> dict[str, Any]:
    walls = {} if trusted else {"settingSources": [], "strictMcpConfig": True}
    return {"claudeCode": {"options": {"promptSuggestions": False, **walls}}}


def _codex(login: Login, stage: Stage) -> dict[str, str]:
    settings, key = provider_of(login, stage)
    prefix = f"model_providers.{PROVIDER}."
    provider = {name.removeprefix(prefix): value for name, value in settings.items() if name.startswith(prefix)}
    config = {"analytics": {"enabled": False}, **({"model_providers": {PROVIDER: provider}} if provider else {})}
    # Codex's own sandbox makes `.git` read-only, and it says nothing of it: ours stands around it.
    told = {"CODEX_CONFIG": json.dumps(config), "INITIAL_AGENT_MODE": "agent-full-access", "NO_BROWSER": "1"}
    return {**told, **({"MODEL_PROVIDER": PROVIDER} if provider else {}), **key, **_beneath(login, "CODEX_PATH")}


def _beneath(login: Login, variable: str) -> dict[str, str]:
    """The CLI that a bridge is to drive, where the person names another than its own."""
    return {variable: login.programs[variable]} if variable in login.programs else {}


def _gemini(login: Login, stage: Stage) -> dict[str, str]:
    if login_file(login, "gemini") is not None:
        return {"GEMINI_CLI_NO_RELAUNCH": "true"}
    key = login.keys.get("GEMINI_API_KEY", "")
    upstream = login.keys.get(GOOGLE.endpoint) or GOOGLE.address
    reached = stage.reach(Endpoint(upstream, "x-goog-api-key", key))
    told = {"GEMINI_API_KEY": reached.secret, GOOGLE.endpoint: reached.url}
    return {"GEMINI_CLI_NO_RELAUNCH": "true", **told}


def _gemini_home(login: Login, stage: Stage) -> str:
    """Its settings, and its own login where it has no key: a link, for it writes what it renews into the file."""
    file = login_file(login, "gemini")
    settings = GEMINI_SETTINGS if file is None else GEMINI_ACCOUNT_SETTINGS
    begin = f'mkdir -p "$HOME/.gemini" && cp {shlex.quote(str(settings))} "$HOME/.gemini/settings.json"'
    if file is None:
        return begin
    stage.allow(*GEMINI_HOSTS)
    shared = stage.share(file.path, lambda: secrets_in(login, "gemini"))
    return f'{begin} && ln -sfn {shlex.quote(str(shared))} "$HOME/.gemini/{file.path.name}"'


def _codex_home(login: Login, stage: Stage) -> str:
    """Settings that it reads before it is told any, and its own login where it has no key."""
    begin = 'mkdir -p "$HOME/.codex" && printf "[features]\\nplugins = false\\n" > "$HOME/.codex/config.toml"'
    words = own_login(login, stage)
    return f"{begin} && {shlex.join(words)} true" if words else begin


CLAUDE = Bridge(
    programs=("claude-agent-acp",),
    agent="@agentclientprotocol/claude-agent-acp",
    package="@agentclientprotocol/claude-agent-acp",
    variables=ANTHROPIC.keys,
    own="claude",
    environment=_claude,
    session=_claude_session,
    failures=CLAUDE_FAILURES,
    can=Capabilities(resume=True, name=True, turns=True, inject=True, ask=True, cost=True, context_tokens=200_000),
)
CODEX = Bridge(
    programs=("codex-acp",),
    agent="@agentclientprotocol/codex-acp",
    package="@agentclientprotocol/codex-acp",
    variables=OPENAI.keys,
    own="codex",
    before=_codex_home,
    environment=_codex,
    failures=CODEX_FAILURES,
    can=Capabilities(resume=True, name=True, turns=True, inject=True),
    counts=True,
)
GEMINI = Bridge(
    programs=("gemini", "gemini-cli"),
    agent="gemini-cli",
    package="@google/gemini-cli",
    variables=GOOGLE.keys,
    environment=_gemini,
    own="gemini",
    before=_gemini_home,
    shown=(GEMINI_SETTINGS, GEMINI_ACCOUNT_SETTINGS),
    method="gemini-api-key",
    failures=GEMINI_FAILURES,
    # It keeps a conversation in a file named by the minute, and one that is taken up within that minute empties it.
    can=Capabilities(name=True, turns=True, ask=True),
    counts=True,
)
ANY = Bridge(programs=(), agent="")
KNOWN = (CLAUDE, CODEX, GEMINI)


def bridge_in(words: list[str]) -> Bridge:
    """The agent that a command's words name, by the program or, as in `npx PACKAGE@VERSION`, by the package."""
    names = {word.rpartition("/")[2].partition("@")[0] for word in words}
    return next((bridge for bridge in KNOWN if names & set(bridge.programs)), ANY)


def bridge_called(agent: str, usual: Bridge) -> Bridge:
    """The agent that calls itself so; `usual` where none is known by that name."""
    return usual if usual.agent == agent else next((bridge for bridge in KNOWN if bridge.agent == agent), usual)
