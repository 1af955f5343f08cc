"""Rust: `cargo test`. Crates that it needs are fetched into the workspace, where the gate finds them offline."""

from __future__ import annotations

import re
from typing import Any

from codeswarm.detection.base import Files, Has, Proposal, Proposed, network_setup, table, toml

_HOME = 'CARGO_HOME="$PWD/.cargo-home"'
_TABLES = ("dependencies", "dev-dependencies", "build-dependencies", "target")


def look(files: Files, has: Has) -> Proposal | None:
    if "Cargo.toml" not in files.names():
        return None
    manifest = toml(files, "Cargo.toml")
    if not manifest:
        return Proposal("Rust", (), ("Cargo.toml can't be read as TOML",))
    workspace = " --workspace" if table(manifest, "workspace") or "workspace" in manifest else ""
    test, why = f"cargo test{workspace}", "has a workspace" if workspace else ""
    if not _needs_crates(files, manifest):
        return Proposal("Rust", (Proposed("gates.fast", test, "Cargo.toml", why),), (), ("cargo",), ("cargo test",))
    locked = "Cargo.lock" in files.names()
    fetch = f"{_HOME} cargo fetch{' --locked' if locked else ''} && echo '*' > .cargo-home/.gitignore"
    inputs = ["Cargo.lock", "Cargo.toml"] if locked else ["Cargo.toml"]
    setup = network_setup(fetch, inputs, inputs[0], "names crates that must be fetched")
    gate = Proposed("gates.fast", f"{_HOME} {test} --offline", "Cargo.toml", why)
    return Proposal("Rust", (gate, *setup), (), ("cargo",), ("cargo test", "cargo nextest"))


def _needs_crates(files: Files, manifest: dict[str, Any]) -> bool:
    """By the lock file where there is one: a workspace's members name theirs in files of their own."""
    lock = files.text("Cargo.lock")
    if lock is not None:
        return re.search(r"^source = ", lock, re.MULTILINE) is not None
    return "workspace" in manifest or any(table(manifest, name) for name in _TABLES)
