"""Node: the test script of `package.json`, else its test runner; packages by the lock file that is there."""

from __future__ import annotations

import re
from typing import Any

from codeswarm.detection.base import Files, Has, Proposal, Proposed, json_object, network_setup, table

_PLACEHOLDER = re.compile(r"no test specified")
_RUNNERS = {"vitest": "vitest run", "jest": "jest", "mocha": "mocha", "ava": "ava", "tap": "tap"}
_TEST_FILE = re.compile(r".+[.-]test\.[cm]?[jt]s|test[.-].+\.[cm]?js|test\.[cm]?js")
_DEPENDENCIES = ("dependencies", "devDependencies", "optionalDependencies", "peerDependencies")


def look(files: Files, has: Has) -> Proposal | None:
    names = files.names()
    if "package.json" not in names:
        return None
    package = json_object(files, "package.json")
    if not package:
        return Proposal("Node", (), ("package.json can't be read as JSON",))
    manager, lock, install = _manager(files, package)
    setup = _setup(package, lock, install)
    gates = _gates(files, package, manager)
    notes = [] if gates else ["package.json has no test script of its own"]
    if setup and not _ignores(files, "node_modules"):
        notes.append("git does not ignore node_modules: add it to .gitignore, or agents' work may hold packages")
    return Proposal(
        "Node", (*gates, *setup), tuple(notes), (manager, "node"), (f"{manager} test", f"{manager} run test")
    )


def _manager(files: Files, package: dict[str, Any]) -> tuple[str, str | None, str]:
    """(program, its lock file, how it installs exactly what that says)."""
    names = files.names()
    if "pnpm-lock.yaml" in names:
        return "pnpm", "pnpm-lock.yaml", "pnpm install --frozen-lockfile"
    if "yarn.lock" in names:
        modern = ".yarnrc.yml" in names or re.match(r"yarn@([2-9]|\d\d)", str(package.get("packageManager", "")))
        return "yarn", "yarn.lock", f"yarn install {'--immutable' if modern else '--frozen-lockfile'}"
    for lock in ("bun.lock", "bun.lockb"):
        if lock in names:
            return "bun", lock, "bun install --frozen-lockfile"
    for lock in ("package-lock.json", "npm-shrinkwrap.json"):
        if lock in names:
            return "npm", lock, "npm ci --no-audit --no-fund"
    return "npm", None, "npm install --no-package-lock --no-audit --no-fund"


def _setup(package: dict[str, Any], lock: str | None, install: str) -> tuple[Proposed, ...]:
    if not any(table(package, key) for key in _DEPENDENCIES) and not package.get("workspaces"):
        return ()
    inputs = [lock, "package.json"] if lock else ["package.json"]
    return network_setup(install, inputs, lock or "package.json", "" if lock else "there is no lock file")


def _gates(files: Files, package: dict[str, Any], manager: str) -> tuple[Proposed, ...]:
    scripts = table(package, "scripts")
    command = scripts.get("test")
    if isinstance(command, str) and command.strip() and not _PLACEHOLDER.search(command):
        return _by_script(scripts, manager)
    declared = {name for key in _DEPENDENCIES for name in table(package, key)}
    for name, words in _RUNNERS.items():
        if name in declared:
            return (Proposed("gates.fast", f"CI=true npx --no-install {words}", "package.json", f"depends on {name}"),)
    for folder in ("", "test", "tests"):
        for name in sorted(files.names(folder)):
            if _TEST_FILE.fullmatch(name) or (folder == "test" and name.endswith((".js", ".mjs", ".cjs"))):
                return (Proposed("gates.fast", "node --test", f"{folder}/{name}".lstrip("/"), "is a test file"),)
    return ()


def _by_script(scripts: dict[str, Any], manager: str) -> tuple[Proposed, ...]:
    run = f"CI=true {manager} run" if manager == "bun" else f"CI=true {manager}"
    everything = Proposed("gates.fast", f"{run} test", "package.json", "scripts.test")
    if not isinstance(scripts.get("test:unit"), str):
        return (everything,)
    quick = Proposed("gates.fast", f"CI=true {manager} run test:unit", "package.json", "scripts.test:unit")
    return (quick, Proposed("gates.full", str(everything.value), "package.json", "scripts.test"))


def _ignores(files: Files, name: str) -> bool:
    lines = (files.text(".gitignore") or "").splitlines()
    return any(line.strip().strip("/").removeprefix("**/") == name for line in lines)
