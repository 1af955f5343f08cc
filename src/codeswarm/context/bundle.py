"""The bundle: everything that an attempt should know, each item with where it comes from.

Provenance matters: what a reviewer, a gate's output or another agent's commit says is material, never an instruction
of the person's.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from codeswarm.context.instructions import Instructions
from codeswarm.context.planning import OURS, planning_item, planning_result
from codeswarm.domain.pipeline import Role
from codeswarm.domain.session import Attempt, Feedback, Message, Session, Ticket

MAX_FEEDBACK = 24_000
MAX_DIFF = 40_000
MAX_SUMMARY = 4_000


@dataclass(frozen=True, slots=True)
class Material:
    """What the store adds to what the session knows."""

    contract_diff: str = ""
    reference_diff: str = ""
    work_diff: str = ""
    """For a reviewer, and for an agent that takes over after a red gate: what the ticket changes against the tip."""
    conflicts: tuple[str, ...] = ()
    instructions: Instructions = Instructions("")
    fresh: bool = False
    """The attempt begins on the integration tip, with the ticket's earlier work beside it."""
    resumed: bool = False


def build_bundle(session: Session, ticket: Ticket, attempt: Attempt, material: Material) -> dict[str, Any]:
    """The bundle of one attempt, ready for JSON."""
    return {
        "session": {"id": session.id, "goal": session.goal},
        "ticket": ticket.spec.model_dump(mode="json", exclude_none=True),
        "phase": attempt.phase,
        "role": attempt.role,
        "attempt": attempt.number,
        "instructions": _instructions(material.instructions),
        "contract": _contract(ticket, material),
        "planning": None if ticket.planning is None else planning_item(session, ticket, ticket.planning),
        "plan": None if ticket.plan is None else {"source": "planner", "text": ticket.plan},
        "feedback": [_feedback(item) for item in ticket.feedback],
        "conflicts": list(material.conflicts),
        "reference": _reference(ticket, material),
        "work": {"source": "implementer", "diff": cut(material.work_diff, MAX_DIFF)} if material.work_diff else None,
        "escalated": _escalated(ticket, attempt),
        "agreements": [item for id_ in ticket.spec.blocked_by for item in _agreement(session.tickets[id_])],
        "blockers": [_blocker(session.tickets[id_]) for id_ in ticket.spec.blocked_by if id_ not in session.plannings],
        "messages": [_message(message) for message in unseen_messages(session, ticket)],
        "resumed": material.resumed,
        "result": RESULTS.get(attempt.role) if ticket.planning is None else planning_result(ticket),
    }


def unseen_messages(session: Session, ticket: Ticket) -> list[Message]:
    """People's words that no attempt of this ticket has been given yet."""
    return [message for message in session.messages[ticket.messages_seen :] if message.ticket in (None, ticket.id)]


def _instructions(told: Instructions) -> dict[str, Any]:
    return {
        "source": told.source or OURS,
        "role": told.role,
        "rules": [{"source": rule.path, "text": rule.text} for rule in told.rules],
        "skills": [{"source": s.path, "name": s.name, "description": s.description} for s in told.skills],
        "left_out": list(told.left_out),
    }


def _contract(ticket: Ticket, material: Material) -> dict[str, Any] | None:
    if ticket.contract is None:
        return None
    return {
        "source": "test_writer",
        "promises": ticket.contract.contract.model_dump(mode="json"),
        "files": list(ticket.contract.files),
        "commit": ticket.contract.commit,
        "diff": cut(material.contract_diff, MAX_DIFF),
    }


def _feedback(item: Feedback) -> dict[str, Any]:
    return {
        "source": item.source,
        "text": cut(item.text, MAX_FEEDBACK),
        "findings": [finding.model_dump(mode="json") for finding in item.findings],
        "files": list(item.files),
    }


def _reference(ticket: Ticket, material: Material) -> dict[str, Any] | None:
    if ticket.reference is None:
        return None
    why = "the ticket's work before it came into conflict" if material.fresh else "what an interrupted attempt left"
    return {"source": why, "commit": ticket.reference, "diff": cut(material.reference_diff, MAX_DIFF)}


def taken_over(ticket: Ticket, attempt: Attempt) -> Attempt | None:
    """The attempt of another agent whose work was red, and is gone on with; None where an agent has its own."""
    if not ticket.rungs.get(attempt.phase):
        return None
    before = [a for a in ticket.attempts.values() if a.phase == attempt.phase and a.epoch < attempt.epoch and a.agent]
    return before[-1] if before and before[-1].agent != attempt.agent else None


def _escalated(ticket: Ticket, attempt: Attempt) -> dict[str, Any] | None:
    before = taken_over(ticket, attempt)
    return None if before is None else {"source": before.agent, "summary": cut(before.summary, MAX_SUMMARY)}


def _agreement(ticket: Ticket) -> list[dict[str, Any]]:
    """What a planner said that this ticket and others must agree on; empty for an ordinary blocker."""
    planning = ticket.planning
    if planning is None or not planning.result:
        return []
    return [{"source": "planner", "about": planning.text, "tickets": list(planning.about), "text": planning.result}]


def _blocker(ticket: Ticket) -> dict[str, Any]:
    return {
        "id": ticket.id,
        "title": ticket.spec.title,
        "status": ticket.shown_status,
        "landed": ticket.landed,
        "files": list(ticket.files[:50]),
    }


def _message(message: Message) -> dict[str, Any]:
    return {"source": "person", "number": message.number, "by": message.by, "text": message.text}


def cut(text: str, most: int) -> str:
    """The beginning and the end of a text that is too long, and how much is missing between."""
    if len(text) <= most:
        return text
    half = most // 2
    return f"{text[:half]}\n[… {len(text) - most} characters left out …]\n{text[-half:]}"


RESULTS: dict[str, Any] = {
    Role.TEST_WRITER: {
        "contract": {
            key: ["…"]
            for key in (
                "error_variants",
                "preconditions",
                "postconditions",
                "invariants",
                "test_plan",
                "edge_cases",
            )
        }
    },
    Role.REVIEWER: {
        "verdict": "approve | changes_requested",
        "findings": [{"file": "…", "line": 1, "severity": "blocker | major | minor", "text": "…"}],
    },
    Role.PLANNER: {"plan": "…"},
    Role.IMPLEMENTER: {"dispute": {"reason": "only if the contract is wrong; leave it out otherwise"}},
}
"""What is expected in `$CODESWARM_RESULT`, by role."""
