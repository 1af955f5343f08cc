"""A scripted model that plans, too: its first two plans are broken, and it refuses prompts that lack what they need."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

from codeswarm.testing.model_server import Request, Say, Shell
from tests.support.swarm_script import SwarmScript, acceptance

SPEC = """\
# Functions that know their names

The library gets a function `t1`, then `t2` beside it, and at last `t3`, which comes after both.
Each answers its own name.
"""
SKELETONS: list[list[dict[str, Any]]] = [
    [
        {"id": "t1", "title": "Add t1", "blocked_by": ["t3"]},
        {"id": "t3", "title": "Add t3", "blocked_by": ["t1"]},
    ],
    [{"id": "t1", "title": "Add t1"}, {"id": "t2", "title": "Add t2", "blocked_by": ["t0"]}],
    [
        {"id": "t1", "title": "Add t1"},
        {"id": "t2", "title": "Add t2", "blocked_by": ["t1"]},
        {"id": "t3", "title": "Add t3", "blocked_by": ["t1", "t2"]},
    ],
]
"""A cycle, an unknown blocker, and a plan."""
MISTAKES = ["", "in a cycle", "which is no ticket here"]
"""What the planner must have been told before each of them."""


STEPS = {"skeleton": "the skeleton", "expansion": "expand some tickets", "answer": "the final answer"}


@dataclass
class PlannerScript(SwarmScript):
    """The planner's steps; everything else is as in a swarm without one."""

    steps: list[str] = field(default_factory=list)

    def __call__(self, request: Request) -> object:
        if request.is_side_call or "You are the planner" not in request.text:
            return super().__call__(request)
        if request.turns % 2:
            return Say("That is my answer.")
        prompt = request.last_user_text
        for step, heading in STEPS.items():
            if f"# Your step: {heading}" in prompt:
                self.steps.append(step)
                return getattr(self, f"_{step}")(prompt)
        return self._refuse("the planner is told no step")

    def _skeleton(self, prompt: str) -> object:
        number = self.steps.count("skeleton") - 1
        if "at last `t3`" not in prompt or MISTAKES[number] not in prompt:
            return self._refuse(f"skeleton prompt {number} lacks the specification or what was wrong")
        return _result({"tickets": SKELETONS[number]})

    def _expansion(self, prompt: str) -> object:
        if "them and no others: t1, t2, t3" not in prompt:
            return self._refuse("the expansion does not name its tickets")
        return _result(
            {
                "tickets": [
                    {"id": id_, "title": f"Add {id_}", "acceptance": [acceptance(id_)], "files": ["lib.py"]}
                    for id_ in ("t1", "t2", "t3")
                ]
            }
        )

    def _answer(self, prompt: str) -> object:
        if '"status": "complete"' not in prompt:
            return self._refuse("the final answer is asked for without what landed")
        return _result({"answer": "t1 and t2 are there; each answers its own name."})


def _result(answer: dict[str, Any]) -> Shell:
    return Shell(f"cat > \"$CODESWARM_RESULT\" <<'EOF'\n{json.dumps(answer)}\nEOF")
