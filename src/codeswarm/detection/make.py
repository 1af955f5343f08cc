"""Make: a target that is called like tests, read as text. Make itself is not asked: it would run what the file says."""

from __future__ import annotations

import re

from codeswarm.detection.base import Files, Has, Proposal, Proposed

_NAMES = ("GNUmakefile", "makefile", "Makefile")
"""As make looks for them."""
_TARGETS = ("test", "check", "tests", "unittest", "unittests", "unit-test", "unit-tests", "test-unit", "unit")


def look(files: Files, has: Has) -> Proposal | None:
    name = next((name for name in _NAMES if name in files.names()), None)
    if name is None:
        return None
    targets = _targets(files.text(name) or "")
    target = next((target for target in _TARGETS if target in targets), None)
    if target is None:
        return Proposal("Make", (), (f"{name} has no target test or check",), ("make",), usual="make")
    gate = Proposed("gates.fast", f"make {target}", name, f"has a target {target}")
    return Proposal("Make", (gate,), (), ("make",), (f"make {target}",))


def _targets(text: str) -> set[str]:
    """Names before a colon that is not an assignment's."""
    lines = re.findall(r"^([A-Za-z0-9_./ -]+?)\s*::?(?![=:])", text, re.MULTILINE)
    return {word for line in lines for word in line.split()}
