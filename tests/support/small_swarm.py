"""A small library, an agent that can grow it, and tickets for it: what most tests of whole runs work on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.support.runs import Place

LIBRARY = {
    "lib.py": '"""A library."""\n\n\ndef zero():\n    return "zero"\n',
    "tests/test_zero.py": "import lib\n\n\ndef test_zero():\n    assert lib.zero() == 'zero'\n",
    "conftest.py": "",
    ".gitignore": "__pycache__/\n.pytest_cache/\n*.secret\n",
    "codeswarm.toml": '[gates]\nfast = "python -m pytest -q -x -p no:cacheprovider"\n',
}

AGENT = '''\
"""An agent that adds a module for its ticket, with a test first. Words in the ticket's labels make it misbehave."""

import json, os, pathlib, sys, time

bundle = json.load(open(os.environ["CODESWARM_BUNDLE"]))
role, ticket = os.environ["CODESWARM_ROLE"], os.environ["CODESWARM_TICKET"]
attempt, result = int(os.environ["CODESWARM_ATTEMPT"]), pathlib.Path(os.environ["CODESWARM_RESULT"])
assert sys.stdin.read().strip(), "the prompt is on standard input"
labels = bundle["ticket"].get("labels", [])
print(json.dumps({"type": "assistant", "text": f"{role} works on {ticket}, attempt {attempt}"}), flush=True)
name = ticket.replace("-", "_").replace(".", "_")

if role == "test_writer":
    pathlib.Path(f"tests/test_{name}.py").write_text(
        f"def test_{name}():\\n    import mod_{name}\\n\\n    assert mod_{name}.value() == {ticket!r}\\n"
    )
    result.write_text(json.dumps({"contract": {"postconditions": [f"value() is {ticket!r}"]}}))
elif role == "implementer":
    if "slow" in labels:
        pathlib.Path(f"half_{name}.py").write_text("half = True\\n")
        time.sleep(1.0)
        pathlib.Path(f"half_{name}.py").unlink()
    pathlib.Path(f"mod_{name}.py").write_text(f"def value():\\n    return {ticket!r}\\n")
elif role == "reviewer":
    result.write_text(json.dumps({"verdict": "approve", "findings": []}))
'''

QUICK = {
    "CODESWARM_POLICY_BACKOFF_BASE_S": "0.1",
    "CODESWARM_SWARM_HEARTBEAT_S": "0.3",
    "CODESWARM_SWARM_LEASE_TTL_S": "20",
}
"""Settings for tests: short pauses, frequent snapshots."""


def small_place(root: Path, files: dict[str, str] | None = None) -> Place:
    """The library in a repository, with the agent beside it."""
    place = Place(root, dict(QUICK))
    place.begin(files or LIBRARY)
    (root / "agent").mkdir()
    (root / "agent" / "agent.py").write_text(AGENT)
    return place


def agent_of(place: Place) -> str:
    return f"command:python {place.root / 'agent' / 'agent.py'}"


def ticket(id_: str, *blocked_by: str, **more: Any) -> dict[str, Any]:
    return {
        "id": id_,
        "title": f"Add {id_}",
        "acceptance": [f"{id_} has its value"],
        "blocked_by": list(blocked_by),
        **more,
    }
