"""What `doctor` looks at: each check is one line, ok or with the command that mends it."""

from __future__ import annotations

import contextlib
import errno
import os
import shlex
import shutil
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from codeswarm.access import way_out
from codeswarm.cli.here import Here
from codeswarm.errors import CodeswarmError
from codeswarm.plain import visible

if TYPE_CHECKING:
    from codeswarm.cli.agents_here import AgentHere, NamedAgent
    from codeswarm.config import Config

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
LONG_S = 0.3
"""No command of ours writes to the ledger for that long in one go."""
_ELSEWHERE = ("/var/tmp", "/tmp")  # noqa: S108 - a folder of ours is made there
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
    yield from _home(here)
    yield _git()
    yield from _name(here)
    yield from _sandbox(here)
    yield from _workspaces(here)
    yield from _agents(here)
    yield from _prices(here)
    yield from _registries(here)
    yield from _repository(here)
    yield _room(here)


def _home(here: Here) -> Iterator[Finding]:
    """Caches and the settings of the person are kept there; without one they are looked for at the top of the disk."""
    named = here.environment.variables.get("HOME", "")
    if not Path(named).is_absolute():
        detail = f"HOME is {named!r}, which is no folder" if named else "HOME is not set"
        yield Finding("home", False, detail, "export HOME=~", needed=not os.access("/", os.W_OK))
    elif not Path(named).is_dir():
        yield Finding("home", False, f"{named} is not there", f"mkdir -p {shlex.quote(named)}", needed=False)


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
    from codeswarm.cli.agents_here import ANY_PROGRAM, CODING_CLIS, agents_here, named_agents, usable
    from codeswarm.cli.check_endpoints import endpoints
    from codeswarm.cli.check_parked import refused_logins
    from codeswarm.cli.login_checks import logins

    found, named = agents_here(here), named_agents(here)
    firsts = {each.spec.kind for each in named if each.first}
    for agent in found:
        yield Finding(f"agent {agent.kind}", agent.works, agent.what, agent.fix, agent.kind in firsts)
    yield from logins(here.environment.login, [agent.kind for agent in found], datetime.now(UTC))
    told = {agent.kind for agent in found}
    for each in named:
        if each.spec.kind not in told:
            whose = f"{each.what}   (for the role {each.role}: {each.origin})"
            yield Finding(f"agent {each.name}", each.works, whose, each.fix, each.first)
            told |= {each.spec.kind} & CODING_CLIS
    yield from endpoints(here, _working(found, named), named)
    yield from refused_logins(here, firsts or {"claude"})
    yield from _without_a_cli(here)
    if not usable(found) and not named:
        yield Finding("agent command", True, ANY_PROGRAM)


def _working(found: Sequence[AgentHere], named: Sequence[NamedAgent]) -> list[str]:
    """Kinds of coding CLIs that can be used here."""
    kinds = [agent.kind for agent in found if agent.works]
    return list(dict.fromkeys((*kinds, *(each.spec.kind for each in named if each.works))))


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


BRIDGES = ("claude-agent-acp", "codex-acp")


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
    if not os.path.lexists(path):
        return Finding("ledger", True, f"none yet; it will be {path}")
    if not os.access(path, os.R_OK | os.W_OK):
        refused = PermissionError(errno.EACCES, os.strerror(errno.EACCES))
        return Finding("ledger", False, f"{path} can't be written: {refused}", way_out(refused, path) or "")
    try:
        with here.tables() as tables:
            seq, _ = tables.head()
    except CodeswarmError as error:
        return Finding("ledger", False, f"{error.what}: {error.why}", _mends_ledger(here) or error.hint)
    if held := _held(here, path):
        return held
    return Finding("ledger", True, f"{seq} events in {path}")


def _held(here: Here, path: Path) -> Finding | None:
    """Whether somebody keeps us from writing. A command of our own does so for a moment, and a router of ours may."""
    from codeswarm.ledger.connection import holder

    if (first := holder(path)) is None or here.live:
        return None
    time.sleep(LONG_S)
    if holder(path) != first:
        return None
    pid, name = first
    detail = f"{visible(name)} (process {pid}) is writing to {path}, and keeps everyone else from it"
    return Finding("ledger", False, detail, f"kill {pid}   # or let go of it there")


def _mends_ledger(here: Here) -> str:
    """What its own check would say to do first."""
    from codeswarm.engine.verify import verify_all

    with contextlib.suppress(CodeswarmError, OSError):
        return next((problem.next_step for problem in verify_all(here.home.data, live=here.live, deep=False)), "")
    return ""


def _room(here: Here) -> Finding:
    """Whether what is made can be written: the data directory beside the repository, and the cache."""
    try:
        places = [here.home.data.root, here.home.workspaces]
    except CodeswarmError:
        places = [here.environment.workspaces]
    for place in places:
        there = _nearest(place)
        if refused := _refused(place):
            elsewhere = f"export CODESWARM_{'WORKSPACES' if place == places[-1] else 'DATA'}=…   # a folder of yours"
            return Finding("disk", False, f"{there} can't be written: {refused}", way_out(refused, place) or elsewhere)
        if (free_mib := shutil.disk_usage(there).free >> 20) <= LEAST_FREE_MIB:
            fix = _makes_room(here, place, cache=place == places[-1])
            return Finding("disk", False, f"only {free_mib} MiB free at {there}, and {LEAST_FREE_MIB} are wanted", fix)
    free_mib = min(shutil.disk_usage(_nearest(place)).free >> 20 for place in places)
    return Finding("disk", True, f"{free_mib} MiB free, and writable")


def _refused(place: Path) -> OSError | None:
    """Why nothing can be put into a folder that is there, or be made where it is not yet. Nothing is tried."""
    there = next(each for each in (place, *place.parents) if os.path.lexists(each))
    if not there.is_dir():
        return NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR))
    if os.access(there, os.W_OK | os.X_OK):
        return None
    why = errno.EROFS if os.statvfs(there).f_flag & os.ST_RDONLY else errno.EACCES
    return OSError(why, os.strerror(why))


def _makes_room(here: Here, place: Path, *, cache: bool) -> str:
    """What nobody needs any more; where that is not enough, another disk for what is disposable."""
    from codeswarm.cli.gc import find_litter

    litter = 0
    with contextlib.suppress(CodeswarmError):
        litter = sum(item.bytes for item in find_litter(here) if item.action != "keep")
    if shutil.disk_usage(_nearest(place)).free + litter > LEAST_FREE_MIB << 20:
        return "codeswarm gc"
    roomy = next(filter(_roomy, (here.environment.home, *map(Path, _ELSEWHERE))), None) if cache else None
    if roomy is not None:
        return f"export CODESWARM_WORKSPACES={shlex.quote(str(roomy / 'codeswarm-workspaces'))}"
    return "codeswarm du   # what is kept here; what else is on this disk: du -xh --max-depth=2 / | sort -h | tail"


def _roomy(place: Path) -> bool:
    return place.is_dir() and os.access(place, os.W_OK) and shutil.disk_usage(place).free > LEAST_FREE_MIB << 21


def _nearest(path: Path) -> Path:
    """The folder itself, or the nearest one above it that is there."""
    return next(each for each in (path, *path.parents) if each.is_dir())
