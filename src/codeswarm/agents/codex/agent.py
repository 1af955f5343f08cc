"""`codex[:MODEL]`: the Codex CLI, driven as an app server: JSON-RPC, one message a line, over its standard streams.

Facts (seen with 0.163): a server holds threads; a turn of one is begun, steered and interrupted by requests, and told
of by notifications; before a command runs it may send a request of its own. Whoever starts a thread that may write
makes the project a trusted one, for good, which loads MCP servers of the repository: so a thread starts read-only, and
each turn is given all of what our own walls leave. Codex's own walls would keep it from committing.
"""

from __future__ import annotations

import importlib.util
import json
import re
from collections.abc import Mapping
from pathlib import Path

from codeswarm.agents.base import AgentSpec, ByHand, Capabilities, Health, Stage, Task
from codeswarm.agents.codex.thread import CodexThread, Terms
from codeswarm.agents.installed import ask_version, shown_for, unfit
from codeswarm.agents.login_file import login_file, refused, secrets_in, source
from codeswarm.egress.base import Endpoint
from codeswarm.environment import Login
from codeswarm.errors import AgentUnavailable
from codeswarm.host import which
from codeswarm.packages import npm_package
from codeswarm.vendors import OPENAI

PACKAGE = "@openai/codex"
LOGIN = "export OPENAI_API_KEY=…"
MINIMUM = (0, 150, 0)
"""Older ones speak an app-server protocol that was never held against this adapter."""
PROVIDER = "codeswarm"
HOSTS = ("chatgpt.com", "*.chatgpt.com", "auth.openai.com")
"""What the CLI asks by itself with a login of an account."""
_LINK = 'mkdir -p "$HOME/.codex" && ln -sfn "$1" "$HOME/.codex/auth.json" && shift && exec "$@"'
_VERSION = re.compile(r"codex(?:-cli)? (\d+)\.(\d+)\.(\d+)")

_SETTINGS: Mapping[str, object] = {
    "analytics.enabled": False,
    "check_for_update_on_startup": False,
    "project_doc_max_bytes": 0,
}
"""The repository's rules are in the prompt of every agent already."""
_PROVIDER_SETTINGS: Mapping[str, object] = {
    "name": PROVIDER,
    "wire_api": "responses",
    "supports_websockets": False,
    "request_max_retries": 0,
    "stream_max_retries": 2,
}
"""Whoever is refused says so soon, and the cascade decides: codex alone would try for half a minute."""


_BY_HAND = ("--sandbox", "danger-full-access", "--ask-for-approval", "on-request")
"""Our own walls stand around it; the person is there to be asked."""
KEPT = ".codex/sessions/*/*/*/*.jsonl"
"""Where it keeps its threads, by day."""


def find_codex(path_variable: str) -> str | None:
    """The CLI on the PATH, or the one that the `openai-codex-cli-bin` package brings."""
    if found := which("codex", path_variable):
        return found
    spec = importlib.util.find_spec("codex_cli_bin")
    if spec is None or spec.origin is None:
        return None
    bundled = Path(spec.origin).parent / "bin" / "codex"
    return str(bundled) if bundled.exists() else None


class CodexAgent:
    can = Capabilities(resume=True, name=True, turns=True, inject=True, ask=True)

    def __init__(self, spec: AgentSpec, login: Login) -> None:
        self.spec = spec
        self._login = login

    def check(self) -> Health:
        found = find_codex(self._login.path)
        if found is None:
            return Health(works=False, what="codex is not installed", fix=npm_package(PACKAGE))
        if (bad := refused(self._login, "codex", f"codex ({found})")) is not None:
            return bad
        by = source(self._login, "codex", self._login.of(OPENAI.keys))
        if not by:
            what = f"codex ({found}) has no login that agents may use"
            return Health(works=False, what=what, fix=LOGIN)
        told, on_path = ask_version(found, self._login.path, _VERSION), which("codex", self._login.path) is not None
        if broken := unfit("codex", found, told, MINIMUM, PACKAGE, on_path=on_path):
            return broken
        return Health(works=True, what=f"codex ({found}), login from {by}")

    async def open(self, task: Task, stage: Stage) -> CodexThread:
        executable = self._executable()
        overrides, told = self._overrides(task, stage, _trust(task))
        argv = [*own_login(self._login, stage), str(executable), "app-server", *overrides]
        thread = CodexThread(stage, self._terms(task))
        await thread.open(argv, {**told, **task.environment()}, shown_for(executable))
        return thread

    def by_hand(self, task: Task, stage: Stage) -> ByHand:
        """Unless the project is trusted it is called untrusted, or codex would ask, and keep the answer in its HOME."""
        executable = self._executable()
        trust = {"projects": {str(task.inside.workspace): {"trust_level": "untrusted"}}, **_trust(task)}
        overrides, told = self._overrides(task, stage, trust)
        argv = [*own_login(self._login, stage), str(executable), "resume", task.conversation]
        argv += [*overrides, *_BY_HAND]
        argv += ["--model", self.spec.argument] if self.spec.argument else []
        return ByHand(tuple(argv), {**told, **task.environment()}, shown_for(executable), KEPT)

    def _overrides(self, task: Task, stage: Stage, trust: Mapping[str, object]) -> tuple[list[str], dict[str, str]]:
        settings, told = provider_of(self._login, stage)
        settings = {**_SETTINGS, **settings, **trust}
        given = [part for name, value in settings.items() for part in ("-c", f"{name}={_toml(value)}")]
        return [*given, "--disable", "plugins"], told

    def _executable(self) -> Path:
        found = find_codex(self._login.path)
        if found is None:
            raise AgentUnavailable(
                "codex is not installed", "no program of that name is on the PATH", npm_package(PACKAGE)
            )
        return Path(found).resolve()

    def _terms(self, task: Task) -> Terms:
        model = self.spec.argument or None
        thread = task.conversation if task.resume else ""
        return Terms(thread, str(task.inside.workspace), model, "untrusted" if task.ask else "never")


def _trust(task: Task) -> dict[str, object]:
    """A repository's settings count for this process alone: its HOME, which a later attempt has too, learns nothing."""
    return {"projects": {str(task.inside.workspace): {"trust_level": "trusted"}}} if task.trusted else {}


def _toml(value: object) -> str:
    """JSON is TOML but for its mappings."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{json.dumps(key)} = {_toml(inner)}" for key, inner in value.items()) + "}"
    return json.dumps(value)


def own_login(login: Login, stage: Stage) -> tuple[str, ...]:
    """What its command is put behind where it logs in by its own file: that is then in its HOME, and is the person's.

    A link, for Codex writes what it renews into the file. It is made behind the walls: the HOME there is the agent's.
    """
    file = login_file(login, "codex")
    if file is None or file.key:
        return ()
    stage.allow(*HOSTS)
    shared = stage.share(file.path, lambda: secrets_in(login, "codex"))
    return ("/bin/sh", "-c", _LINK, "sh", str(shared))


def provider_of(given: Login, stage: Stage) -> tuple[dict[str, object], dict[str, str]]:
    """Where the model is, as settings of ours, and a key, which is put in outside, as an environment.

    The person's own configuration is never read. Without a key nothing is set: codex then looks for a login file in its
    HOME, and for the hosts that such a login is for; but where the person names an endpoint, the login is for that.
    """
    login = given.of(OPENAI.variables)
    file = login_file(given, "codex")
    if file is not None and file.key:
        login[OPENAI.keys[0]] = file.key
    key = next((name for name in OPENAI.keys if name in login), None)  # the CLI's own order
    if key is None and not (file and OPENAI.endpoint in login):
        return {}, {}
    if key is None:
        reached = stage.reach(Endpoint(login[OPENAI.endpoint]))
        settings = {**_PROVIDER_SETTINGS, "base_url": reached.url, "requires_openai_auth": True}
    else:
        upstream = login.get(OPENAI.endpoint) or OPENAI.address
        reached = stage.reach(Endpoint(upstream, "authorization", login[key], "Bearer"))
        settings = {**_PROVIDER_SETTINGS, "base_url": reached.url, "env_key": key}
    named = {f"model_providers.{PROVIDER}.{name}": value for name, value in settings.items()}
    return {"model_provider": PROVIDER, **named}, {key: reached.secret} if key else {}
