"""Node: the test script of `package.json`, else its test runner; packages by the lock file that is there."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

from codeswarm.detection.base import Files, Has, Proposal, Proposed, json_object, network_setup, table

_MOST_PARTS = 50
_LESSER = ("typecheck", "type-check", "lint", "build", "check")
"""Scripts that show something, where none runs tests."""
_PLACEHOLDER = re.compile(r"no test specified")
_RUNNERS = {"vitest": "vitest run", "jest": "jest", "mocha": "mocha", "ava": "ava", "tap": "tap"}
_PLAIN_TEST = re.compile(r".+[._-]test\.[cm]?js|test-.+\.[cm]?js|test\.[cm]?js")
"""As Node itself looks for tests."""
_BUN_TEST = re.compile(r".+[._](?:test|spec)\.[cm]?[jt]sx?")
_OF_PACKAGES = {"npm": "npx --no-install", "pnpm": "pnpm exec", "yarn": "yarn run", "bun": "bun run"}
"""How a program that a package brings is run."""
_EACH_PART = {
    "npm": "npm test --workspaces --if-present",
    "pnpm": "pnpm --recursive --if-present test",
    "yarn": "yarn workspaces run test",
    "bun": "bun run --filter '*' test",
}
_COREPACK = "mkdir -p .corepack && echo '*' > .corepack/.gitignore"
_COREPACK_HOME = 'COREPACK_HOME="$PWD/.corepack"'
_PNPM_AS_IT_IS = "pnpm_config_pm_on_fail=ignore npm_config_manage_package_manager_versions=false"
"""Where no corepack stands before it, pnpm is taken in the version that is there: as newer ones ask it, and older."""
_YARN_CACHE = "YARN_ENABLE_GLOBAL_CACHE=false"
"""Else what is installed would stay in a HOME that the gate does not have."""
_DEPENDENCIES = ("dependencies", "devDependencies", "optionalDependencies", "peerDependencies")


def look(files: Files, has: Has) -> Proposal | None:
    names = files.names()
    if "package.json" not in names:
        return None
    package = json_object(files, "package.json")
    if not package:
        return Proposal("Node", (), ("package.json can't be read as JSON",))
    manager, lock, install = _manager(files, package)
    pinned = _pinned(package, manager)
    setup = _setup(files, package, lock, f"{_COREPACK} && export {pinned} && {install}" if pinned else install)
    gates = [replace(gate, value=f"{pinned} {gate.value}".strip()) for gate in _gates(files, package, manager)]
    notes = [] if gates else ["package.json has no test script of its own"]
    if setup and not _ignores(files, "node_modules"):
        notes.append("git does not ignore node_modules: add it to .gitignore, or agents' work may hold packages")
    in_ci = (f"{manager} test", f"{manager} run test")
    usual = next((f"{manager} run {name}" for name in _LESSER if name in table(package, "scripts")), "")
    return Proposal("Node", (*gates, *setup), tuple(notes), (manager, "node"), in_ci, usual)


def _manager(files: Files, package: dict[str, Any]) -> tuple[str, str | None, str]:
    """(program, its lock file, how it installs exactly what that says)."""
    names = files.names()
    if "pnpm-lock.yaml" in names:
        return "pnpm", "pnpm-lock.yaml", "pnpm install --frozen-lockfile"
    if "yarn.lock" in names:
        return "yarn", "yarn.lock", _yarn(files, package)
    for lock in ("bun.lock", "bun.lockb"):
        if lock in names:
            return "bun", lock, "bun install --frozen-lockfile"
    for lock in ("package-lock.json", "npm-shrinkwrap.json"):
        if lock in names:
            return "npm", lock, "npm ci --no-audit --no-fund"
    return _named_manager(files, package)


def _pinned(package: dict[str, Any], manager: str) -> str:
    """What a manager must be told whose version `packageManager` names: else it would fetch that once more, for a gate
    that has no network.
    """
    if not str(package.get("packageManager", "")).startswith(f"{manager}@"):
        return ""
    return {"pnpm": f"{_COREPACK_HOME} {_PNPM_AS_IT_IS}", "yarn": _COREPACK_HOME}.get(manager, "")


def _yarn(files: Files, package: dict[str, Any]) -> str:
    named = re.match(r"yarn@([2-9]|\d\d)", str(package.get("packageManager", "")))
    locked = "__metadata:" in (files.text("yarn.lock") or "")
    if named or locked or ".yarnrc.yml" in files.names():
        return f"{_YARN_CACHE} yarn install --immutable"
    return "yarn install --frozen-lockfile"


def _named_manager(files: Files, package: dict[str, Any]) -> tuple[str, str | None, str]:
    """Where nothing is locked."""
    named = str(package.get("packageManager", "")).partition("@")[0]
    if named == "pnpm" or "pnpm-workspace.yaml" in files.names():
        return "pnpm", None, "pnpm install --no-lockfile"
    if named in ("yarn", "bun"):
        return named, None, f"{_YARN_CACHE} yarn install" if named == "yarn" else "bun install --no-save"
    return "npm", None, "npm install --no-package-lock --no-audit --no-fund"


def _setup(files: Files, package: dict[str, Any], lock: str | None, install: str) -> tuple[Proposed, ...]:
    parts = package.get("workspaces") or "pnpm-workspace.yaml" in files.names()
    if not parts and not any(table(package, key) for key in _DEPENDENCIES):
        return ()
    inputs = [lock, "package.json"] if lock else ["package.json"]
    return network_setup(install, inputs, lock or "package.json", "" if lock else "there is no lock file")


def _gates(files: Files, package: dict[str, Any], manager: str) -> tuple[Proposed, ...]:
    if _script(package):
        return _by_script(table(package, "scripts"), manager)
    if _any_part_tests(files):
        source = "pnpm-workspace.yaml" if "pnpm-workspace.yaml" in files.names() else "package.json"
        return (Proposed("gates.fast", f"CI=true {_EACH_PART[manager]}", source, "each part has tests of its own"),)
    declared = {name for key in _DEPENDENCIES for name in table(package, key)}
    for name, words in _RUNNERS.items():
        if name in declared:
            run = f"CI=true {_OF_PACKAGES[manager]} {words}"
            return (Proposed("gates.fast", run, "package.json", f"depends on {name}"),)
    if manager == "bun":
        return _bun_tests(files)
    for folder in ("", "test", "tests"):
        for name in sorted(files.names(folder)):
            if _PLAIN_TEST.fullmatch(name) or (folder == "test" and name.endswith((".js", ".mjs", ".cjs"))):
                return (Proposed("gates.fast", "node --test", f"{folder}/{name}".lstrip("/"), "is a test file"),)
    return ()


def _bun_tests(files: Files) -> tuple[Proposed, ...]:
    found = (path for path in files.paths() if _BUN_TEST.fullmatch(path.rpartition("/")[2]))
    first = min(found, key=lambda path: (path.count("/"), path), default=None)
    return (Proposed("gates.fast", "CI=true bun test", first, "is a test file"),) if first else ()


def _any_part_tests(files: Files) -> bool:
    """Whether the repository is one of several packages, and one of them says how it is tested."""
    if not json_object(files, "package.json").get("workspaces") and "pnpm-workspace.yaml" not in files.names():
        return False
    inner = sorted(path for path in files.paths() if path.endswith("/package.json") and "node_modules" not in path)
    return any(_script(json_object(files, path)) for path in inner[:_MOST_PARTS])


def _script(package: dict[str, Any]) -> str | None:
    command = table(package, "scripts").get("test")
    real = isinstance(command, str) and command.strip() and not _PLACEHOLDER.search(command)
    return str(command) if real else None


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
