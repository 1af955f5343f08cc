"""How a program comes onto this machine, or out of the way: one command that can be pasted as it stands.

Looks, and changes nothing. Whoever is not root is given `sudo`, and nothing that is printed here asks back.
"""

from __future__ import annotations

import os
import shlex
from pathlib import Path

from codeswarm.environment import Environment
from codeswarm.host import which
from codeswarm.process import TimedOut, run_sync

_MANAGERS = {
    "apt-get": "apt-get install -y",
    "dnf": "dnf install -y",
    "pacman": "pacman -S --noconfirm",
    "zypper": "zypper --non-interactive install",
    "apk": "apk add",
}
"""Program → how it installs; the first that is here is the system's."""
_PACKAGED = tuple(map(Path, ("/usr/bin", "/usr/sbin", "/bin", "/sbin")))
"""Where a system's packages put programs. What stands elsewhere, `/usr/local` too, would go on being found first."""
_LISTS = Path("/var/lib/apt/lists")
_NPM_S = 10.0
_MODULES = "node_modules"


def as_root(command: str) -> str:
    """A command that only root may give."""
    return command if os.geteuid() == 0 else f"sudo {command}"


def system_packages(*packages: str) -> str:
    """Packages of the system, all of which are named alike everywhere."""
    path = Environment.read().path
    manager = next((name for name in _MANAGERS if which(name, path)), "apt-get")
    install = as_root(f"{_MANAGERS[manager]} {' '.join(packages)}")
    bare = manager == "apt-get" and _LISTS.is_dir() and not any(_LISTS.glob("*Packages*"))
    return f"{as_root('apt-get update')} && {install}" if bare else install  # as images of containers begin


def npm_package(package: str) -> str:
    """A package of node's, for everyone who sits here; with node itself where there is none."""
    path = Environment.read().path
    install = f"npm install -g {package}"
    npm = which("npm", path)
    if npm is None:
        return f"{system_packages('nodejs', 'npm')} && {as_root(install)}"
    return install if os.geteuid() == 0 or _may_install(npm, path) else f"sudo {install}"


def newer_npm_package(package: str, found: str | None) -> str:
    """In place of a program that is too old or broken. `found`: where the PATH has it; None: it is not from there.

    One that npm did not install would stand before the new one, or in its very place: it goes aside first.
    """
    install = npm_package(f"{package}@latest")
    if found is None or _MODULES in Path(found).resolve().parts:
        return install
    return f"{aside(Path(found))} && {install}"


def system_package_instead(package: str, found: str) -> str:
    """The system's own in place of a program that is too old or broken, wherever that comes from."""
    program = Path(found)
    install = system_packages(package)
    return install if program.parent in _PACKAGED else f"{aside(program)} && {install}"


def aside(program: Path) -> str:
    """Nothing is lost: it can be moved back."""
    move = f"mv {shlex.quote(str(program))} {shlex.quote(f'{program}.old')}"
    return move if os.access(program.parent, os.W_OK) else as_root(move)


def _may_install(npm: str, path: str) -> bool:
    """Whether npm's folder for everyone is ours to write to; where npm does not say, it may show by itself."""
    variables = Environment.read().variables
    try:
        said = run_sync([npm, "prefix", "-g"], cwd=Path("/"), env={**variables, "PATH": path}, timeout_s=_NPM_S)
    except (OSError, TimedOut):
        return True
    prefix = Path(said.stdout.decode(errors="replace").strip() or "/nonexistent")
    if said.returncode != 0 or not prefix.is_absolute():
        return True
    wanted = prefix / "lib" / _MODULES
    there = next(place for place in (wanted, *wanted.parents) if place.is_dir())
    return os.access(there, os.W_OK | os.X_OK)
