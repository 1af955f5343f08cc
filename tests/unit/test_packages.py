"""The command that installs something, for whoever sits at whichever machine."""

from __future__ import annotations

from pathlib import Path

import pytest

from codeswarm import packages
from codeswarm.packages import newer_npm_package, npm_package, system_package_instead, system_packages


def machine(monkeypatch: pytest.MonkeyPatch, folder: Path, *programs: str, root: bool = True, npm: str = "") -> Path:
    """A PATH with these programs alone; `npm`: the prefix that npm says it has."""
    folder.mkdir(exist_ok=True)
    for name in programs:
        (folder / name).write_text(f"#!/bin/sh\necho '{npm}'\n")
        (folder / name).chmod(0o755)
    monkeypatch.setenv("PATH", str(folder))
    monkeypatch.setattr("os.geteuid", lambda: 0 if root else 1000)
    monkeypatch.setattr(packages, "_LISTS", folder / "lists")
    return folder


@pytest.mark.parametrize(
    ("manager", "command"),
    [
        ("apt-get", "apt-get install -y git"),
        ("dnf", "dnf install -y git"),
        ("pacman", "pacman -S --noconfirm git"),
        ("zypper", "zypper --non-interactive install git"),
        ("apk", "apk add git"),
    ],
)
def test_the_manager_that_is_here_installs_and_asks_nothing(
    manager: str, command: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    machine(monkeypatch, tmp_path / "bin", manager)
    assert system_packages("git") == command
    machine(monkeypatch, tmp_path / "bin", manager, root=False)
    assert system_packages("git") == f"sudo {command}"


def test_where_no_list_of_packages_was_fetched_yet_it_is_fetched_first(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    folder = machine(monkeypatch, tmp_path / "bin", "apt-get", root=False)
    (folder / "lists").mkdir()
    assert system_packages("git") == "sudo apt-get update && sudo apt-get install -y git"
    (folder / "lists" / "debian_main_Packages.lz4").touch()
    assert system_packages("git") == "sudo apt-get install -y git"


def test_npm_is_installed_first_where_there_is_none(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    machine(monkeypatch, tmp_path / "bin", "apt-get")
    assert npm_package("it") == "apt-get install -y nodejs npm && npm install -g it"


def test_npm_needs_root_where_its_folder_is_not_ours(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    machine(monkeypatch, tmp_path / "bin", "npm", root=False, npm=str(tmp_path / "mine"))
    assert npm_package("it") == "npm install -g it"
    machine(monkeypatch, tmp_path / "bin", "npm", root=False, npm="/proc/theirs")
    monkeypatch.setattr("os.access", lambda path, mode: not str(path).startswith("/proc"))
    assert npm_package("it") == "sudo npm install -g it"


def test_what_npm_did_not_install_goes_aside_first(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    folder = machine(monkeypatch, tmp_path / "a bin", "npm", "it")
    own = tmp_path / "lib" / "node_modules" / "it" / "it.js"
    own.parent.mkdir(parents=True)
    own.touch()
    assert newer_npm_package("it", str(own)) == "npm install -g it@latest"
    assert newer_npm_package("it", None) == "npm install -g it@latest"
    assert newer_npm_package("it", str(folder / "it")) == (
        f"mv '{folder}/it' '{folder}/it.old' && npm install -g it@latest"
    )


@pytest.mark.parametrize("folder", ["/usr/bin", "/bin", "/usr/sbin", "/sbin"])
def test_what_the_systems_packages_brought_is_not_moved(
    folder: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    machine(monkeypatch, tmp_path / "bin", "apt-get")
    assert system_package_instead("git", f"{folder}/git") == "apt-get install -y git"


@pytest.mark.parametrize("folder", ["/usr/local/bin", "/opt/git/bin", "/snap/bin", "/home/me/bin"])
def test_what_they_did_not_bring_goes_aside_for_it_would_stand_before_theirs(
    folder: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    machine(monkeypatch, tmp_path / "bin", "apt-get")
    monkeypatch.setattr("os.access", lambda path, mode: True)
    moved = f"mv {folder}/git {folder}/git.old && apt-get install -y git"
    assert system_package_instead("git", f"{folder}/git") == moved
