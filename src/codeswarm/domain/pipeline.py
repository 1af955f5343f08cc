"""Pipelines are data: the phases that a ticket goes through, in order."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, model_validator

from codeswarm.domain.ids import name_problem
from codeswarm.domain.model import Frozen


class Role(StrEnum):
    PLANNER = "planner"
    """Answers with a plan; nothing that it changes lands."""
    TEST_WRITER = "test_writer"
    """Writes a contract: tests, and what is promised."""
    IMPLEMENTER = "implementer"
    """Writes what is wanted. An attempt that changed nothing has failed."""
    REVIEWER = "reviewer"
    """Answers with a verdict; nothing that it changes lands."""
    RESOLVER = "resolver"
    """Writes, to resolve a conflict; no shipped pipeline uses it."""
    VERIFIER = "verifier"
    """Runs gates; no agent is started for it."""


AGENT_ROLES = frozenset(role for role in Role if role is not Role.VERIFIER)
"""Roles for which an agent starts."""

WRITING_ROLES = frozenset({Role.TEST_WRITER, Role.IMPLEMENTER, Role.RESOLVER})
"""For these an attempt that changed nothing in git has failed, whatever it said."""


def _phase_name(text: str) -> str:
    if problem := name_problem(text):
        raise ValueError(f"a phase's name {problem}")
    return text


class Phase(Frozen):
    """One step of a pipeline: who does it, and which of the project's gates its result must pass."""

    name: Annotated[str, AfterValidator(_phase_name)]
    """It names files of recordings, too."""
    role: Role
    gate: Literal["fast", "full", "contract"] | None = None
    """A name that means no gate is refused: otherwise the gate would silently never run."""

    @property
    def writes(self) -> bool:
        return self.role in WRITING_ROLES


class Pipeline(Frozen):
    """A ticket's phases, in order.

    At least one phase writes; and the first writing phase stands before any review or verification, since
    that is where those send a ticket back to.
    """

    name: str
    phases: tuple[Phase, ...]

    @model_validator(mode="after")
    def _makes_sense(self) -> Self:
        names = [phase.name for phase in self.phases]
        if len(set(names)) != len(names):
            raise ValueError(f"pipeline {self.name!r} names a phase twice: {', '.join(names)}")
        roles = [phase.role for phase in self.phases]
        if Role.IMPLEMENTER not in roles:
            raise ValueError(f"pipeline {self.name!r} has no phase of role implementer: nothing would be built")
        judges = [i for i, role in enumerate(roles) if role in (Role.REVIEWER, Role.VERIFIER)]
        if judges and judges[0] < roles.index(Role.IMPLEMENTER):
            raise ValueError(f"pipeline {self.name!r} judges before anything is implemented")
        return self


def _pipeline(name: str, *phases: Phase) -> Pipeline:
    return Pipeline(name=name, phases=phases)


SHIPPED: dict[str, Pipeline] = {
    pipeline.name: pipeline
    for pipeline in (
        _pipeline(
            "contract-first",
            Phase(name="contract", role=Role.TEST_WRITER, gate="contract"),
            Phase(name="implementation", role=Role.IMPLEMENTER, gate="fast"),
            Phase(name="review", role=Role.REVIEWER),
        ),
        _pipeline(
            "plan-code-verify",
            Phase(name="plan", role=Role.PLANNER),
            Phase(name="implementation", role=Role.IMPLEMENTER, gate="fast"),
            Phase(name="verify", role=Role.VERIFIER, gate="full"),
        ),
        _pipeline("single", Phase(name="implementation", role=Role.IMPLEMENTER, gate="fast")),
    )
}
DEFAULT_PIPELINE = "contract-first"
