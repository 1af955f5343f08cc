"""Just and Task: a recipe called test or check, read as text."""

from __future__ import annotations

import re

from codeswarm.detection.base import Files, Has, Proposal, Proposed

_TOOLS = (
    ("just", "Just", ("justfile", "Justfile", ".justfile"), r"^@?{name}(?:\s[^:\n]*)?:(?!=)"),
    ("task", "Task", ("Taskfile.yml", "Taskfile.yaml", "taskfile.yml", "taskfile.yaml"), r"^  {name}:"),
)
"""Program, kind, its files, and what begins a recipe there."""


def look(files: Files, has: Has) -> Proposal | None:
    for tool, kind, names, recipe in _TOOLS:
        source = next((name for name in names if name in files.names()), None)
        if source is None:
            continue
        text = files.text(source) or ""
        for name in ("test", "check", "tests"):
            if re.search(recipe.format(name=name), text, re.MULTILINE):
                gate = Proposed("gates.fast", f"{tool} {name}", source, f"has a recipe {name}")
                return Proposal(kind, (gate,), (), (tool,), (f"{tool} {name}",))
        return Proposal(kind, (), (f"{source} has no recipe test or check",))
    return None
