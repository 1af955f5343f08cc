"""Where the real coding CLIs are that tests run, and what a test needs that runs one."""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
from functools import cache
from pathlib import Path

import pytest

CLIS = Path(__file__).parents[2] / ".clis" / "node_modules" / ".bin"
"""What `make clis` installs."""
OLDEST_NODE = 20


def bundled(package: str, path: str) -> Path | None:
    """A program that a Python package brings along."""
    spec = importlib.util.find_spec(package)
    found = Path(spec.origin).parent / path if spec is not None and spec.origin is not None else None
    return found if found is not None and found.exists() else None


def claude() -> Path | None:
    return bundled("claude_agent_sdk", "_bundled/claude")


def codex() -> Path | None:
    return bundled("codex_cli_bin", "bin/codex")


def from_npm(name: str) -> Path | None:
    """`gemini`, `claude-agent-acp` or `codex-acp`; None also where there is no node to run it."""
    found = CLIS / name
    return found if found.exists() and node_version() >= OLDEST_NODE else None


@cache
def node_version() -> int:
    """The major version of the node on the PATH; 0 where there is none."""
    node = shutil.which("node")
    if node is None:
        return 0
    said = subprocess.run([node, "--version"], capture_output=True, text=True, check=False).stdout
    return int(said.removeprefix("v").split(".")[0] or 0)


needs_claude = pytest.mark.skipif(claude() is None, reason="no claude: pip install claude-agent-sdk bundles it")
needs_codex = pytest.mark.skipif(codex() is None, reason="no codex: pip install openai-codex-cli-bin bundles it")


def needs_from_npm(name: str) -> pytest.MarkDecorator:
    return pytest.mark.skipif(
        from_npm(name) is None, reason=f"no {name}: make clis installs it, with node {OLDEST_NODE}"
    )


def path_with_node() -> str:
    """A PATH on which there are node and the usual programs."""
    node = shutil.which("node")
    return os.pathsep.join([*([str(Path(node).parent)] if node else []), "/usr/bin", "/bin"])
