"""`doctor` on coding CLIs that are there and can't be used: each line says why, and names what mends it."""

from __future__ import annotations

import json
import socket
import stat
from pathlib import Path
from typing import Any

import pytest

from codeswarm.packages import npm_package
from tests.support.runs import SYSTEM_PATH, Place

KEYS = {"codex": "OPENAI_API_KEY", "gemini": "GEMINI_API_KEY"}
GOOD = {"codex": "codex-cli 0.163.0", "gemini": "0.61.0"}
OLD = {"codex": "codex-cli 0.42.0", "gemini": "0.9.0"}
PACKAGES = {"codex": "@openai/codex", "gemini": "@google/gemini-cli"}
ADDRESS = {"codex": "OPENAI_BASE_URL", "gemini": "GOOGLE_GEMINI_BASE_URL"}
each = pytest.mark.parametrize("kind", ["codex", "gemini"])


@pytest.fixture
def place(tmp_path: Path) -> Place:
    place = Place(tmp_path)
    place.begin({"README.md": "Hello.\n"})
    return place


def install(place: Place, kind: str, says: str) -> str:
    """A PATH on which a program has the name of a CLI, and the version that it says."""
    folder = place.root / "cli" / "bin"
    folder.mkdir(parents=True, exist_ok=True)
    for name in (kind, "node"):
        (folder / name).write_text(f"#!/bin/sh\necho '{says}'\n")
        (folder / name).chmod(stat.S_IRWXU)
    (folder.parent / "package.json").write_text(json.dumps({"version": says.rsplit(maxsplit=1)[-1]}))
    return f"{folder}:{SYSTEM_PATH}"


def checks(place: Place, path: str, **env: str) -> dict[str, Any]:
    nobody = dict.fromkeys(ADDRESS.values(), "http://127.0.0.1:9")
    found = place.run("--json", "doctor", env={"PATH": path, **nobody, **env})
    return {check["what"]: check for check in found.json["checks"]}


@each
def test_a_cli_without_a_key_is_mended_by_one(place: Place, kind: str) -> None:
    path = install(place, kind, GOOD[kind])
    broken = checks(place, path)[f"agent {kind}"]
    assert (broken["ok"], broken["fix"]) == (False, f"export {KEYS[kind]}=…")
    assert checks(place, path, **{KEYS[kind]: "k"})[f"agent {kind}"]["ok"]


@each
def test_a_cli_that_is_too_old_is_mended_by_a_newer_one(place: Place, kind: str) -> None:
    path = install(place, kind, OLD[kind])
    broken = checks(place, path, **{KEYS[kind]: "k"})[f"agent {kind}"]
    old = place.root / "cli" / "bin" / kind
    assert (broken["ok"], broken["fix"]) == (False, f"mv {old} {old}.old && {npm_package(PACKAGES[kind])}@latest")
    assert OLD[kind].split()[-1] in broken["detail"]
    install(place, kind, GOOD[kind])
    assert checks(place, path, **{KEYS[kind]: "k"})[f"agent {kind}"]["ok"]


@each
def test_a_model_s_address_that_does_not_answer_is_named(place: Place, kind: str) -> None:
    path = install(place, kind, GOOD[kind])
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        env = {KEYS[kind]: "k", ADDRESS[kind]: f"http://127.0.0.1:{nobody.getsockname()[1]}"}
        broken = checks(place, path, **env)[f"endpoint {kind}"]
    assert not broken["ok"]
    assert broken["fix"].startswith(f"export {ADDRESS[kind]}=…")
    assert env[ADDRESS[kind]] in broken["fix"]


def test_the_next_step_names_the_agent_that_works(place: Place) -> None:
    path = install(place, "codex", GOOD["codex"])
    place.write({"codeswarm.toml": '[gates]\nfast = "true"\n'})
    place.git("add", "--all")
    place.git("commit", "--quiet", "--message", "Settings")
    done = place.run("doctor", env={"PATH": path, "OPENAI_API_KEY": "k", "OPENAI_BASE_URL": "http://127.0.0.1:9"})
    assert done.out.splitlines()[-1] == 'next: codeswarm run "WHAT YOU WANT" --agent codex'


def test_a_cli_that_is_not_there_is_not_spoken_of(place: Place) -> None:
    assert "agent codex" not in checks(place, SYSTEM_PATH)
