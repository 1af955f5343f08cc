"""Peers run in an environment of their own, which `make bench` makes; without it their columns stay empty."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

PYTHON = Path(__file__).parents[2] / ".bench-venv" / "bin" / "python"

LONGEST_S = 900
"""A peer takes more than a minute for a graph of 10,000 tasks, and several on a machine that is shared."""


def there() -> bool:
    return PYTHON.exists()


def run(script: str, told: str) -> float:
    """The seconds that a peer's script prints last. Raises: CalledProcessError."""
    argv = [str(PYTHON), str(Path(__file__).with_name(script))]
    done = subprocess.run(
        argv, input=told, capture_output=True, text=True, check=True, timeout=LONGEST_S, env=_environment()
    )
    return float(done.stdout.split()[-1])


def _environment() -> dict[str, str]:
    """Ours; and no peer tells anybody in the network that it was used."""
    return {**os.environ, "RAY_USAGE_STATS_ENABLED": "0"}
