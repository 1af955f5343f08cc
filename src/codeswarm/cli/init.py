"""`codeswarm init`: detects how this repository is built and tested, shows it, and writes `codeswarm.toml`.

A file that is there is kept: what would differ is shown, and only `--force` (or a yes) replaces it, with the old one
beside it.
"""

from __future__ import annotations

import difflib
import os
import shlex
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from codeswarm.cli.again import again, words_of
from codeswarm.cli.agents_here import agents_here, first_run, tell_agents
from codeswarm.cli.detected import tell_detected
from codeswarm.cli.here import Here
from codeswarm.cli.host import ask, choose, is_terminal
from codeswarm.cli.output import next_step, say, say_json
from codeswarm.detection.base import FILE
from codeswarm.errors import RepositoryUnfit, UsageError

if TYPE_CHECKING:
    from codeswarm.detection.detect import Detected
    from codeswarm.engine.project import Base

NEW, SAME, KEPT, REPLACED, DECLINED = "written", "up to date", "kept", "replaced", "not written"


@dataclass(frozen=True, slots=True)
class _Plan:
    base: Base
    pinned: str | None
    """The base as the file will name it; None where the branch checked out is not the usual one."""
    detected: Detected
    path: Path
    old: str | None
    new: str


def init(
    context: typer.Context,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Ask nothing; a file that is there is kept.")] = False,
    gate: Annotated[
        str | None,
        typer.Option("--gate", metavar="COMMAND", help="The command that must pass; else what is detected."),
    ] = None,
    force: Annotated[
        bool, typer.Option("--force", help="Replace a codeswarm.toml that is there; the old one stays as a copy.")
    ] = False,
) -> None:
    """Detect base branch, gates, set-up command and agents of this repository; show them; write codeswarm.toml.

    Example: codeswarm init --yes
    """
    here: Here = context.obj
    plan = _plan(here, gate)
    agents = agents_here(here)
    if not here.json:
        _show(plan)
        tell_agents(agents)
    asks = not (yes or here.json) and is_terminal()
    if asks and plan.old is None and plan.detected.gate is None and (said := _ask_for_gate(plan.detected.usual)):
        plan = _gated(plan, said)
    outcome = _write(plan, yes=not asks, force=force)
    if here.json:
        say_json(_document(plan, outcome, [asdict(agent) for agent in agents]))
        return
    _tell(here, plan, outcome, first_run(agents))


def _ask_for_gate(usual: str) -> str:
    return ask(f"gate, the command that must pass, such as `{usual or 'make test'}` [none yet]")


def _plan(here: Here, gate: str | None) -> _Plan:
    from codeswarm.engine.beginning import look_at

    project = here.home.project
    if project.checkout is None:
        raise RepositoryUnfit(
            "this repository has no checkout to write into",
            "codeswarm.toml is a file of the repository, committed like any other",
            f"git clone {project.git_dir} work && codeswarm -C work init",
        )
    base = project.base(None)
    usual = project.usual_branch()
    pinned = base.branch if usual in (None, base.branch) else None
    detected = look_at(project, here.environment, base)
    if gate:
        detected = detected.with_gate(gate)
    path = project.checkout / FILE
    return _Plan(base, pinned, detected, path, _old(path), _file(pinned, detected))


def _gated(plan: _Plan, gate: str) -> _Plan:
    detected = plan.detected.with_gate(gate)
    return replace(plan, detected=detected, new=_file(plan.pinned, detected))


def _file(pinned: str | None, detected: Detected) -> str:
    from codeswarm.config import Source, check
    from codeswarm.detection.settings_file import render

    text = render(pinned, detected)
    check(Source(FILE, _parsed(text)))
    return text


def _parsed(text: str) -> dict[str, Any]:
    import tomllib

    return tomllib.loads(text)


def _old(path: Path) -> str | None:
    """What stands there now. Raises: UsageError where it is no plain file of text."""
    if path.is_symlink() or (path.exists() and not path.is_file()):
        raise UsageError(
            f"{path.name} is not a plain file",
            "a link or a folder is not written through",
            f"mv {FILE} {FILE}.old && codeswarm init",
        )
    try:
        return path.read_text(encoding="utf-8") if path.exists() else None
    except UnicodeDecodeError as error:
        raise UsageError(f"{path.name} is not text", str(error), f"mv {FILE} {FILE}.old && codeswarm init") from error


# ── writing ──────────────────────────────────────────────────────────────────────────────────────────────────


def _write(plan: _Plan, *, yes: bool, force: bool) -> str:
    if plan.old == plan.new:
        return SAME
    if plan.old is None:
        if not yes and choose(f"write {FILE}? yes / no", ("yes", "no"), enter="yes") == "no":
            return DECLINED
        _put(plan.path, plan.new)
        return NEW
    if not force and (yes or choose(f"replace {FILE}? yes / no", ("yes", "no")) == "no"):
        return KEPT
    _put(_free(plan.path), plan.old)
    _put(plan.path, plan.new)
    return REPLACED


def _put(path: Path, text: str) -> None:
    """Whole or not at all: a person's file is never half written."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        temporary.write_text(text, encoding="utf-8")
        temporary.replace(path)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise UsageError(f"{path} can't be written", str(error), f"ls -ld {path.parent}") from error


def _free(path: Path) -> Path:
    """A name beside it for the old file, which nothing has yet."""
    names = [path.with_name(f"{path.name}.old{number or ''}") for number in range(100)]
    found = next((name for name in names if not name.exists()), None)
    if found is None:
        old = f"{shlex.quote(path.name)}.old*"
        why = "what stood there before is kept under another name, and no name is left"
        raise UsageError(f"there are a hundred copies of {path.name} already", why, f"rm {old}")
    return found


# ── telling ──────────────────────────────────────────────────────────────────────────────────────────────────


def _show(plan: _Plan) -> None:
    pinned = "" if plan.pinned else " (checked out; not written down, since it is not the usual branch)"
    say(f"base     {plan.base.branch}{pinned}")
    tell_detected(plan.detected, say)
    if plan.old is not None and plan.old != plan.new:
        say(f"{FILE} is there already; what was detected differs from it:")
        for line in _diff(plan):
            say(line)


def _diff(plan: _Plan) -> list[str]:
    old, new = (plan.old or "").splitlines(), plan.new.splitlines()
    return list(difflib.unified_diff(old, new, FILE, "detected", lineterm="", n=1))


def _tell(here: Here, plan: _Plan, outcome: str, run: list[str]) -> None:
    say(f"{plan.path}: {outcome}")
    if outcome == KEPT:
        say(f"to replace it (the old one stays as {_free(plan.path).name}): {again(here.typed, '--force')}")
    commit = f"git add {FILE} && git commit -m 'Tell Codeswarm how to build and test'"
    if outcome != DECLINED and plan.detected.gate is None:
        gate = shlex.quote(plan.detected.usual or "make test")
        next_step(f"codeswarm init --force --gate {gate}   # with your own test command", commit, *run)
        say(f"or begin without one, and nothing shows that what lands works: {again(words_of(run[-1]), '--no-gate')}")
    elif outcome in (NEW, REPLACED):
        next_step(commit, *run)
    else:
        next_step(*run)


def _document(plan: _Plan, outcome: str, agents: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "file": str(plan.path),
        "outcome": outcome,
        "base": {"branch": plan.base.branch, "commit": plan.base.commit},
        "kind": plan.detected.kind,
        "settings": [
            {"key": value.key, "value": value.value, "from": value.source, "why": value.why}
            for value in plan.detected.values
        ],
        "notes": list(plan.detected.notes),
        "agents": agents,
        "content": plan.new,
        "diff": _diff(plan) if plan.old is not None else [],
    }
