"""Coding CLIs as they are installed here: their version, and what of them must be shown inside walls."""

from __future__ import annotations

import re
from pathlib import Path

from codeswarm.host import is_system
from codeswarm.process import TimedOut, run_sync

VERSION_S = 20.0
_MODULES = "node_modules"


def version_of(executable: str, path_variable: str, pattern: re.Pattern[str]) -> tuple[int, ...] | None:
    """What a CLI says of itself, as the groups of `pattern`; None where it says nothing that we understand."""
    env = {"PATH": path_variable, "HOME": "/nonexistent", "TERM": "dumb"}
    try:
        said = run_sync([executable, "--version"], cwd=Path("/"), env=env, timeout_s=VERSION_S).stdout
    except (OSError, TimedOut):
        return None
    found = pattern.search(said.decode(errors="replace"))
    return tuple(map(int, found.groups())) if found else None


def shown_for(executable: Path) -> tuple[Path, ...]:
    """The host's paths that a program needs beside the system's: a package of node's is nothing without the others."""
    if is_system(executable):
        return ()
    if _MODULES in executable.parts:
        top = executable.parts.index(_MODULES)
        return (Path(*executable.parts[: top + 1]),)
    beside = executable.parent.parent
    return (beside,) if (beside / "codex-package.json").exists() else (executable,)
