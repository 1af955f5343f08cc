"""Sets the demo up: the small library as a repository of its own, its settings, and what must have been played."""

from __future__ import annotations

import shlex
import shutil
import sys
from importlib.resources import as_file, files
from pathlib import Path
from typing import Any

import yaml

from codeswarm.domain.pipeline import SHIPPED
from codeswarm.errors import WorkFailed
from codeswarm.git.command import UserGit

AUTHOR = ("-c", "user.name=Demo", "-c", "user.email=demo@codeswarm.invalid")


def set_up(folder: Path) -> Path:
    """A repository with the library as its first commit, and the recordings beside it. `folder` must be empty."""
    with as_file(files(__package__)) as material:
        shutil.copytree(material / "project", folder / "quantity")
        shutil.copytree(material / "recordings", folder / "recordings")
    repository = folder / "quantity"
    git = UserGit(repository)
    git.run("init", "--quiet", "--initial-branch=main")
    git.run("add", "--all")
    git.run(*AUTHOR, "commit", "--quiet", "--message", "A library that reads sizes")
    return repository


def plan() -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((files(__package__) / "tickets.yaml").read_text(encoding="utf-8"))
    return found


def check() -> None:
    """Every attempt of the demo is recorded. Raises: WorkFailed, which names those that are missing."""
    missing = sorted(needed_recordings() - shipped_recordings())
    if missing:
        raise WorkFailed(
            f"the demo lacks {len(missing)} of its recordings: {', '.join(missing)}",
            "each attempt of its agents is played from one; this installation of Codeswarm is not whole",
            "pip install --force-reinstall codeswarm",
        )


def needed_recordings() -> set[str]:
    """A first attempt of every phase, and those that follow a crash, a kill, a conflict and a review."""
    first = {
        f"{ticket['id']}/{phase.name}.1"
        for ticket in plan()["tickets"]
        for phase in SHIPPED[ticket.get("pipeline", "contract-first")].phases
    }
    return first | SECOND


SECOND = frozenset(
    {
        "errors/implementation.2",
        "parse-duration/implementation.2",
        "parse-duration/review.2",
        "table/implementation.2",
        "table/review.2",
        "totals/implementation.2",
    }
)


def flags(folder: Path, sandbox: str) -> dict[str, dict[str, Any]]:
    """Settings of the demo's run: recorded agents, and real pytest as the gates."""
    pytest = f"{shlex.quote(sys.executable)} -m pytest -q -p no:cacheprovider"
    return {
        "roles": {"*": [f"replay:{folder / 'recordings'}"]},
        "gates": {"fast": f"{pytest} -x", "contract": f"{pytest} {{files}} --junitxml {{report}}"},
        "sandbox": {"kind": sandbox, "read": sorted({sys.prefix, sys.base_prefix})},
        "policy": {"approve": ["none"]},
    }


def recordings(folder: Path) -> set[str]:
    """Every recording there is, as `TICKET/PHASE.N`."""
    root = folder / "recordings"
    return {str(path.relative_to(root).with_suffix("")) for path in root.rglob("*.jsonl")}


def shipped_recordings() -> set[str]:
    with as_file(files(__package__)) as material:
        return recordings(material)
