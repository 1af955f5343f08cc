"""The coding CLIs that tests run are really here, in the versions that are locked."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from tests.support import real_clis

LOCK = Path(__file__).parents[1] / "clis" / "package-lock.json"
PACKAGES = {
    "gemini": "@google/gemini-cli",
    "claude-agent-acp": "@agentclientprotocol/claude-agent-acp",
    "codex-acp": "@agentclientprotocol/codex-acp",
}


def said(program: Path, folder: Path) -> str:
    env = {"PATH": real_clis.path_with_node(), "HOME": str(folder), "TMPDIR": str(folder), "TERM": "dumb"}
    done = subprocess.run([program, "--version"], capture_output=True, text=True, env=env, check=True, cwd=folder)
    return done.stdout.strip()


@pytest.mark.parametrize("name", [pytest.param(name, marks=real_clis.needs_from_npm(name)) for name in PACKAGES])
def test_a_cli_from_npm_is_the_one_that_is_locked(name: str, tmp_path: Path) -> None:
    program = real_clis.from_npm(name)
    assert program is not None
    locked = json.loads(LOCK.read_text())["packages"][f"node_modules/{PACKAGES[name]}"]["version"]
    assert said(program, tmp_path).endswith(locked)


@real_clis.needs_codex
def test_codex_runs_from_its_python_package(tmp_path: Path) -> None:
    program = real_clis.codex()
    assert program is not None
    assert said(program, tmp_path).startswith("codex-cli ")


def test_the_lock_of_npm_names_packages_by_digest_and_no_address_to_fetch_them_from() -> None:
    packages = {name: data for name, data in json.loads(LOCK.read_text())["packages"].items() if name}
    assert all("integrity" in data or data.get("inBundle") for data in packages.values())
    assert not any("resolved" in data for data in packages.values())
