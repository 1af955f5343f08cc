"""What `doctor` looks at: each check is one line, ok or with the command that mends it."""

from __future__ import annotations

import contextlib
import json
import os
import shlex
import shutil
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from codeswarm.cli.here import Here
from codeswarm.errors import CodeswarmError

if TYPE_CHECKING:
    from codeswarm.config import Config

MOST_LOGIN_BYTES = 100_000
REACH_S = 3.0
_INSTALL = {
    "python3": "apt-get install python3-venv",
    "make": "apt-get install make",
    "cmake": "apt-get install cmake",
    "cargo": "apt-get install cargo",
    "go": "apt-get install golang-go",
    "java": "apt-get install default-jdk",
    "mvn": "apt-get install maven",
    "node": "apt-get install nodejs npm",
    "npm": "apt-get install nodejs npm",
    "pnpm": "npm install -g pnpm",
    "yarn": "npm install -g yarn",
    "bun": "npm install -g bun",
    "just": "cargo install just",
    "task": "go install github.com/go-task/task/v3/cmd/task@latest",
}
"""Where a toolchain comes from that a gate needs."""
LEAST_FREE_MIB = 200
TELL_NAME = "git config --global user.name 'YOUR NAME' && git config --global user.email YOU@EXAMPLE.COM"


@dataclass(frozen=True)
class Finding:
    """One line. `needed`: whether nothing works without it."""

    what: str
    ok: bool
    detail: str
    fix: str = ""
    needed: bool = True

    @property
    def mark(self) -> str:
        return "ok" if self.ok else ("no" if self.needed else "--")


def checks(here: Here) -> Iterator[Finding]:
    yield Finding("python", sys.version_info >= (3, 11), sys.version.split()[0], "install Python 3.11 or newer")
    yield _git()
    yield from _name(here)
    yield from _sandbox(here)
    yield from _workspaces(here)
    yield from _agents(here)
    yield from _prices(here)
    yield from _registries(here)
    yield from _repository(here)
    yield _room(here)


def _git() -> Finding:
    from codeswarm.git.command import git_version

    try:
        return Finding("git", True, ".".join(map(str, git_version())))
    except CodeswarmError as error:
        return Finding("git", False, f"{error.what}; {error.why}", error.hint)


def _name(here: Here) -> Iterator[Finding]:
    """Git asks for a name at a person's first commit, and the road begins with commits."""
    from codeswarm.git.command import UserGit

    if not here.environment.has("git") or here.environment.variables.get("GIT_AUTHOR_NAME"):
        return
    asked = UserGit(_nearest(here.directory)).run_full("var", "GIT_AUTHOR_IDENT", ok=(0, 128))
    if asked.returncode != 0:
        detail = "git does not know who you are, and the road begins with a commit"
        yield Finding("name", False, detail, TELL_NAME, needed=False)


def _sandbox(here: Here) -> Iterator[Finding]:
    from codeswarm.sandbox.bubblewrap import Bubblewrap, probe

    found = probe()
    if not found.works:
        fix = f"{found.fix}   # or, at your own risk: codeswarm run --sandbox none …"
        yield Finding("sandbox", False, found.why, fix)
        return
    yield Finding("sandbox", True, f"bubblewrap: {Bubblewrap.promises}")
    yield from _limits(here)


def _limits(here: Here) -> Iterator[Finding]:
    """What holds agents to the limits that are set, and what of that, or of the walls, can't be had here."""
    from codeswarm.sandbox.base import Limits
    from codeswarm.sandbox.bubblewrap import Bubblewrap
    from codeswarm.sandbox.cgroups import asked

    try:
        set_ = _configured(here).sandbox
    except CodeswarmError:
        return  # said by another line
    limits = Limits(set_.memory_mib, set_.cpus, set_.pids)
    lacks = Bubblewrap().lacks(limits)
    for lack in lacks:
        yield Finding("limits", False, f"{lack.what} can't be had: {lack.why}", lack.fix, needed=False)
    if not lacks:
        held = ", ".join(asked(limits).values()) or "none is set"
        yield Finding("limits", True, f"each agent and each gate: {held}; system calls are filtered")


def _workspaces(here: Here) -> Iterator[Finding]:
    """How workspaces are made here. Where they can't be overlays they are checkouts, and nothing is lost but time."""
    from codeswarm.sandbox import bubblewrap
    from codeswarm.worker.mounting import probe
    from codeswarm.worker.places import Places

    if not bubblewrap.probe().works:
        return
    try:
        folder, kind = here.home.workspaces, _configured(here).workspace.kind
    except CodeswarmError:
        return  # said by another line
    if kind == "checkout":
        yield Finding("workspaces", True, 'checkouts, as [workspace] kind = "checkout" asks for')
        return
    found = probe(Places(folder), bubblewrap.Bubblewrap())
    if found.works:
        yield Finding("workspaces", True, f"overlays over one checkout a session, in {folder}")
    else:
        detail = f"checkouts, since overlays don't work in {folder}: {found.why}"
        yield Finding("workspaces", False, detail, found.fix, needed=kind == "overlay")


def _configured(here: Here) -> Config:
    from codeswarm.config import load
    from codeswarm.detection.base import FILE

    project = here.home.project
    return load(here.environment, project.file_at(project.base(None).commit, FILE)).config


# ── agents ───────────────────────────────────────────────────────────────────────────────────────────────────


def _agents(here: Here) -> Iterator[Finding]:
    from codeswarm.cli.agents_here import ANY_PROGRAM, agents_here, usable

    found = agents_here(here)
    for agent in found:
        yield Finding(f"agent {agent.kind}", agent.works, agent.what, agent.fix, needed=False)
    yield from _claude_login(here.environment.home, works=found[0].works)
    for agent in found:
        if agent.works and agent.kind in ENDPOINTS:
            yield _endpoint(agent.kind, here.environment.login.keys)
    yield from _without_a_cli(here)
    if not usable(found):
        yield Finding("agent command", True, ANY_PROGRAM)


def _without_a_cli(here: Here) -> Iterator[Finding]:
    """ACP bridges that are installed, and the APIs that a model can be asked by."""
    from codeswarm.agents.api.agent import VARIABLES
    from codeswarm.agents.base import AgentSpec
    from codeswarm.agents.factory import make_agent

    login = here.environment.login
    for name in BRIDGES:
        if here.environment.has(name):
            health = make_agent(AgentSpec("acp", name), here.directory, here.environment.home, login).check()
            yield Finding(f"agent acp:{name}", health.works, health.what, health.fix, needed=False)
    for wire, variables in VARIABLES.items():
        if given := login.of(variables):
            yield Finding(f"agent api:{wire}", True, f"any model of its API, login from {', '.join(sorted(given))}")


def _claude_login(home: Path, *, works: bool) -> Iterator[Finding]:
    """The CLI's own login, which agents don't get: of what is in its file only the plan and the expiry are told."""
    login = _claude_file(home)
    if works or not login:
        return
    plan = str(login.get("subscriptionType") or "unknown")[:40]
    until = login.get("expiresAt")
    expiry = f", until {datetime.fromtimestamp(until / 1000, UTC):%Y-%m-%d %H:%M} UTC" if isinstance(until, int) else ""
    detail = f"you are logged in with the plan {plan}{expiry}; agents take only a token made for them"
    yield Finding(
        "login claude", False, detail, "claude setup-token   # then: export CLAUDE_CODE_OAUTH_TOKEN=…", needed=False
    )


def _claude_file(home: Path) -> dict[str, Any]:
    path = home / ".claude" / ".credentials.json"
    with contextlib.suppress(OSError, ValueError, RecursionError, AttributeError):
        if path.stat().st_size <= MOST_LOGIN_BYTES:
            found = json.loads(path.read_text(encoding="utf-8")).get("claudeAiOauth")
            return found if isinstance(found, dict) else {}
    return {}


BRIDGES = ("claude-agent-acp", "codex-acp")
ENDPOINTS = {
    "claude": ("ANTHROPIC_BASE_URL", "https://api.anthropic.com"),
    "codex": ("OPENAI_BASE_URL", "https://api.openai.com"),
    "gemini": ("GOOGLE_GEMINI_BASE_URL", "https://generativelanguage.googleapis.com"),
}
"""Kind of agent → the variable that says where its model answers, and where it does else."""


def _endpoint(kind: str, login: Mapping[str, str]) -> Finding:
    """Whether the model's address answers at all. Nothing is sent to it."""
    import socket
    from urllib.parse import urlsplit

    variable, usual = ENDPOINTS[kind]
    url = urlsplit(login.get(variable) or usual)
    port = url.port or (443 if url.scheme == "https" else 80)
    try:
        socket.create_connection((url.hostname or "", port), REACH_S).close()
    except OSError as error:
        detail = f"{url.hostname}:{port} can't be reached: {error}"
        return Finding(f"endpoint {kind}", False, detail, f"curl -sSI {url.scheme}://{url.netloc}", needed=False)
    return Finding(f"endpoint {kind}", True, f"{url.hostname}:{port} answers")


def _prices(here: Here) -> Iterator[Finding]:
    """What agents that tell no cost are priced by."""
    from codeswarm.config import load
    from codeswarm.pricing import age_days, price_table

    try:
        config = load(here.environment).config
    except CodeswarmError:
        return  # said by another line
    table, own = price_table(config.prices), len(config.prices.models)
    days = age_days(table, datetime.now(UTC).date())
    whose = "yours" if config.prices.date else "as shipped"
    detail = f"of {table.dated} ({whose}{f', {own} of your own' if own else ''})"
    if days <= config.prices.max_age_days:
        yield Finding("prices", True, detail)
        return
    file = shlex.quote(str(here.environment.user_config))
    old = f"{detail} are {days} days old: what agents cost that tell only tokens may be another sum"
    yield Finding("prices", False, old, f"${{EDITOR:-vi}} {file}   # [prices] date and models", needed=False)


def _registries(here: Here) -> Iterator[Finding]:
    """What of the person's own proxies, mirrors and certificates reaches set-up and agents, where there is any."""
    from codeswarm.registries import registries

    found = registries(here.environment.home, here.environment.variables)
    if found.variables:
        yield Finding("registries", True, f"set-up and agents are told your {', '.join(sorted(found.variables))}")
    for name in found.withheld:
        detail = f"your {name} holds a password, so set-up and agents are not told of it"
        yield Finding(
            "registries", False, detail, f"export {name}=…   # the address without the password", needed=False
        )


# ── the repository ───────────────────────────────────────────────────────────────────────────────────────────


def _repository(here: Here) -> Iterator[Finding]:
    from codeswarm.engine.beginning import begin_from

    try:
        project = here.home.project
        base = project.base(None)
        yield Finding("repository", True, f"{project.checkout or project.git_dir}, branch {base.branch}")
        yield from _settings(*begin_from(project, here.environment))
    except CodeswarmError as error:
        detail = f"{error.what}; {error.why}".rstrip("; ")
        yield Finding("repository", False, detail, error.hint)
        return
    yield _ledger(here)


def _settings(base: Any, loaded: Any) -> Iterator[Finding]:
    gates = loaded.config.gates
    gate = gates.fast or gates.full
    if gate is None:
        detail = f"none in the settings on {base.branch}, and none was detected"
        usual = loaded.detected.usual if loaded.detected else ""
        named = f"codeswarm init --gate {shlex.quote(usual)}   # or your own test command"
        yield Finding("gate", False, detail, named if usual else "codeswarm init")
        return
    source = loaded.origins.get("gates.fast") or loaded.origins.get("gates.full", "")
    yield Finding("gate", True, f"{gate}   ({source})")
    if setup := loaded.config.workspace.setup:
        yield Finding("set-up", True, f"{setup}   ({loaded.origins.get('workspace.setup', '')})")
    missing = [
        note for note in (loaded.detected.notes if loaded.detected else ()) if "not on your PATH: install" in note
    ]
    for note in missing:
        tool = note.split()[0]
        yield Finding("toolchain", False, note, _INSTALL.get(tool, f"command -v {tool}   # once it is installed"))


def _ledger(here: Here) -> Finding:
    path = here.home.data.ledger
    if not path.is_file():
        return Finding("ledger", True, f"none yet; it will be {path}")
    try:
        with here.tables() as tables:
            seq, _ = tables.head()
    except CodeswarmError as error:
        return Finding("ledger", False, error.what, error.hint or "codeswarm ledger verify")
    return Finding("ledger", True, f"{seq} events in {path}")


def _room(here: Here) -> Finding:
    """Whether what is made can be written: the data directory beside the repository, and the cache."""
    try:
        places = [here.home.data.root, here.home.workspaces]
    except CodeswarmError:
        places = [here.environment.workspaces]
    for place in map(_nearest, places):
        if not os.access(place, os.W_OK | os.X_OK):
            return Finding("disk", False, f"{place} can't be written", f"sudo chown -R $(id -un) {place}")
        if (free_mib := shutil.disk_usage(place).free >> 20) <= LEAST_FREE_MIB:
            return Finding("disk", False, f"only {free_mib} MiB free at {place}", "codeswarm gc")
    free_mib = min(shutil.disk_usage(_nearest(place)).free >> 20 for place in places)
    return Finding("disk", True, f"{free_mib} MiB free, and writable")


def _nearest(path: Path) -> Path:
    """The folder itself, or the nearest one above it that is there."""
    return next(each for each in (path, *path.parents) if each.is_dir())
