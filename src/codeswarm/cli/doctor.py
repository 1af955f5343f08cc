"""`codeswarm doctor`: what is here and works; each line ok, or the command that mends it."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass

import typer

from codeswarm.cli.here import Here
from codeswarm.cli.output import console, say_json
from codeswarm.errors import CodeswarmError


@dataclass(frozen=True)
class Finding:
    """One line. `needed`: whether nothing works without it."""

    what: str
    ok: bool
    detail: str
    fix: str = ""
    needed: bool = True


def doctor(context: typer.Context) -> None:
    """Check what Codeswarm needs here: git, walls, agents, the repository, the settings, the ledger.

    Example: codeswarm doctor

    Exit codes: 0 all that is needed is here, 2 something is not.
    """
    here: Here = context.obj
    found = list(_checks(here))
    broken = [finding for finding in found if not finding.ok and finding.needed]
    if here.json:
        say_json({"ok": not broken, "checks": [asdict(finding) for finding in found]})
    else:
        out = console()
        for finding in found:
            mark, style = ("ok  ", "green") if finding.ok else ("no  " if finding.needed else "--  ", "red")
            out.print(f"{mark}{finding.what}: {finding.detail}", style=None if finding.ok else style, markup=False)
            if finding.fix and not finding.ok:
                out.print(f"      {finding.fix}", markup=False)
    raise typer.Exit(2 if broken else 0)


def _checks(here: Here) -> Iterator[Finding]:
    yield Finding("python", sys.version_info >= (3, 11), sys.version.split()[0], "install Python 3.11 or newer")
    yield _git()
    yield _sandbox()
    yield from _workspaces(here)
    yield from _agents(here)
    yield from _repository(here)


def _git() -> Finding:
    from codeswarm.git.command import git_version

    try:
        return Finding("git", True, ".".join(map(str, git_version())))
    except CodeswarmError as error:
        return Finding("git", False, f"{error.what}; {error.why}", error.hint)


def _sandbox() -> Finding:
    from codeswarm.sandbox.bubblewrap import Bubblewrap, probe

    found = probe()
    if found.works:
        return Finding("sandbox", True, f"bubblewrap: {Bubblewrap.promises}")
    return Finding("sandbox", False, found.why, f"{found.fix}; or, at your own risk: --sandbox none")


def _workspaces(here: Here) -> Iterator[Finding]:
    """How workspaces are made here. Where they can't be overlays they are checkouts, and nothing is lost but time."""
    from codeswarm.sandbox import bubblewrap
    from codeswarm.worker.mounting import probe
    from codeswarm.worker.places import Places

    if not bubblewrap.probe().works:
        return
    try:
        folder, kind = here.home.workspaces, _configured_kind(here)
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


def _configured_kind(here: Here) -> str:
    from codeswarm.config import load
    from codeswarm.detection.base import FILE

    project = here.home.project
    return load(here.environment, project.file_at(project.base(None).commit, FILE)).config.workspace.kind


def _agents(here: Here) -> Iterator[Finding]:
    from codeswarm.agents.base import AgentSpec
    from codeswarm.agents.factory import PLANNED, make_agent

    health = make_agent(AgentSpec("claude"), here.directory, here.environment.home, here.environment.login).check()
    yield Finding("agent claude", health.works, health.what, health.fix, needed=False)
    for kind in PLANNED[:2]:
        path = shutil.which(kind, path=here.environment.path)
        if path:
            yield Finding(f"agent {kind}", False, f"{path}: not driven by this version", needed=False)


def _repository(here: Here) -> Iterator[Finding]:
    from codeswarm.config import load
    from codeswarm.detection.base import FILE

    try:
        project = here.home.project
        base = project.base(None)
        yield Finding("repository", True, f"{project.checkout or project.git_dir}, branch {base.branch}")
        config = load(here.environment, project.file_at(base.commit, FILE)).config
        gate = config.gates.fast or config.gates.full
        fix = f'in {FILE}: [gates] fast = "pytest -q"'
        yield Finding("gate", gate is not None, gate or "no gate is configured", fix)
    except CodeswarmError as error:
        detail = f"{error.what}; {error.why}".rstrip("; ")
        yield Finding("repository", False, detail, error.hint)
        return
    yield _ledger(here)


def _ledger(here: Here) -> Finding:
    path = here.home.data.ledger
    if not path.is_file():
        return Finding("ledger", True, f"none yet; it will be {path}")
    try:
        with here.tables() as tables:
            seq, _ = tables.head()
    except CodeswarmError as error:
        return Finding("ledger", False, error.what, error.hint or "codeswarm ledger verify")
    free_mib = shutil.disk_usage(path.parent).free >> 20
    return Finding("ledger", free_mib > 200, f"{seq} events, {free_mib} MiB free beside it", "free some space")
