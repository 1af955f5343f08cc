"""CMake: configure, build, and run what ctest knows of."""

from __future__ import annotations

import re

from codeswarm.detection.base import Files, Has, Proposal, Proposed

_BUILD = "cmake -S . -B build && cmake --build build --parallel"
_GATE = f"{_BUILD} && ctest --test-dir build --output-on-failure"


def look(files: Files, has: Has) -> Proposal | None:
    text = files.text("CMakeLists.txt")
    if text is None:
        return None
    if not re.search(r"^\s*(?:enable_testing\s*\(|include\s*\(\s*CTest\b)", text, re.MULTILINE | re.IGNORECASE):
        return Proposal("CMake", (), ("CMakeLists.txt enables no tests",), ("cmake",), usual=_BUILD)
    return Proposal(
        "CMake", (Proposed("gates.fast", _GATE, "CMakeLists.txt", "enables tests"),), (), ("cmake",), ("ctest",)
    )
