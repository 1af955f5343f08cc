"""An agent that begins, is snapshotted, and then waits until the test lets it go: what is done to it meanwhile is done
in the middle of its work, without any sleep in the test.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.support.runs import Place, Started
from tests.support.small_swarm import agent_of, small_place, ticket

SCRIPT = '''\
"""Writes its file, and a longer one once a file with the name of its ticket lies in the folder that it is told."""

import json, os, pathlib, sys, time

name = os.environ["CODESWARM_TICKET"]
pathlib.Path(f"mod_{name}.py").write_text("half = True\\n")
print(json.dumps({"type": "turn", "text": "begun"}), flush=True)
while not pathlib.Path(sys.argv[1], name).exists():
    time.sleep(0.02)
pathlib.Path(f"mod_{name}.py").write_text("half = False\\n" + "# and more of it\\n" * 20_000)
'''


def held_place(root: Path) -> Place:
    place = small_place(root)
    (root / "agent" / "agent.py").write_text(SCRIPT)
    (root / "let-go").mkdir()
    place.environment["CODESWARM_SANDBOX_READ"] = f'["{root / "let-go"}"]'
    return place


def let_go(place: Place, *ids: str) -> None:
    for id_ in ids:
        (place.root / "let-go" / id_).touch()


def words(place: Place, tickets: list[dict[str, Any]], kind: str, name: str = "tickets.yaml") -> list[str]:
    """What to type for a run of these tickets with that agent."""
    agent = f"{agent_of(place)} {place.root / 'let-go'}"
    return ["run", "--tickets", str(place.tickets(tickets, name)), "--agent", agent, "--sandbox", kind]


async def begin(place: Place, kind: str, *ids: str, more: tuple[str, ...] = ("--workers", "2")) -> Started:
    """A run of tickets, one after the other, whose first agent is at work and has been snapshotted once."""
    tickets = [ticket(id_, *ids[:i][-1:], pipeline="single") for i, id_ in enumerate(ids)]
    run = await place.start(*words(place, tickets, kind, f"{ids[0]}.yaml"), *more)
    await run.until("SnapshotTaken", ticket=ids[0])
    return run
