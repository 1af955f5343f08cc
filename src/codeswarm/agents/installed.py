"""Coding CLIs as they are installed here: whether they run, how old they are, what of them is shown inside walls."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from codeswarm.agents.base import Health
from codeswarm.host import is_system, which
from codeswarm.packages import newer_npm_package, system_packages
from codeswarm.process import TimedOut, run_sync

VERSION_S = 20.0
OLDEST_NODE = 20
"""What Gemini CLI and the ACP bridges ask for."""
_MODULES = "node_modules"
_NODE = re.compile(r"v(\d+)")
_SAID = 200


@dataclass(frozen=True, slots=True)
class Told:
    """What a program says of itself. A version that we can't read is none, and no reason to refuse it."""

    version: tuple[int, ...] | None = None
    broken: str = ""
    """Why it does not run at all."""


def ask_version(executable: str, path_variable: str, pattern: re.Pattern[str]) -> Told:
    """`--version`: the groups of `pattern` in what it prints."""
    env = {"PATH": path_variable, "HOME": "/nonexistent", "TERM": "dumb"}
    try:
        done = run_sync([executable, "--version"], cwd=Path("/"), env=env, timeout_s=VERSION_S)
    except OSError as error:
        return Told(broken=error.strerror or str(error))
    except TimedOut:
        return Told(broken=f"it does not answer --version within {VERSION_S:g} s")
    found = pattern.search(done.stdout.decode(errors="replace"))
    if found is None and done.returncode != 0:
        return Told(broken=_last_words(done.stderr) or f"it exits with {done.returncode}")
    return Told(tuple(map(int, found.groups())) if found else None)


def _last_words(stderr: bytes) -> str:
    """The line that tells most of it: node and shells say first what is wrong, and then where."""
    lines = [line.strip() for line in stderr.decode(errors="replace").splitlines() if line.strip()]
    return next((line for line in lines if "rror" in line), lines[-1] if lines else "")[:_SAID]


def unfit(name: str, found: str, told: Told, oldest: tuple[int, ...], package: str, *, on_path: bool) -> Health | None:
    """Why a CLI that is here can't be used, if so. `on_path`: it is not one that came along with a Python package."""
    if not told.broken and (told.version is None or told.version >= oldest):
        return None
    fix = newer_npm_package(package, found if on_path else None)
    if told.broken:
        return Health(works=False, what=f"{name} ({found}) does not run: {told.broken}", fix=fix)
    wanted, there = (".".join(map(str, numbers)) for numbers in (oldest, told.version or ()))
    what = f"{name} {there} ({found}) is too old: it is spoken to as {wanted} and later understand it"
    return Health(works=False, what=what, fix=fix)


def node_unfit(name: str, found: str, path_variable: str) -> Health | None:
    """What is wrong with the node that a program of its packages needs, if anything."""
    node = which("node", path_variable)
    install = f"{system_packages('nodejs', 'npm')}   # {OLDEST_NODE} or newer; nodejs.org has it for every system"
    if node is None:
        return Health(works=False, what=f"{name} ({found}) needs node, which is not on the PATH", fix=install)
    told = ask_version(node, path_variable, _NODE)
    if told.broken:
        return Health(
            works=False, what=f"{name} ({found}) needs node, and {node} does not run: {told.broken}", fix=install
        )
    if told.version is not None and told.version < (OLDEST_NODE,):
        what = f"{name} ({found}) needs node {OLDEST_NODE} or newer, and {node} is {told.version[0]}"
        return Health(works=False, what=what, fix=install)
    return None


def shown_for(executable: Path) -> tuple[Path, ...]:
    """The host's paths that a program needs beside the system's: a package of node's is nothing without the others."""
    if is_system(executable):
        return ()
    if _MODULES in executable.parts:
        top = executable.parts.index(_MODULES)
        return (Path(*executable.parts[: top + 1]),)
    beside = executable.parent.parent
    return (beside,) if (beside / "codex-package.json").exists() else (executable,)
