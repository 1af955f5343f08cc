"""The unit of work as a person or a planner writes it down."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

from pydantic import AfterValidator, AwareDatetime, Field, StringConstraints

from codeswarm.domain.ids import TicketId, name_problem
from codeswarm.domain.model import Frozen


class ContractKind(StrEnum):
    TESTS = "tests"
    """Tests of what is to come: they must fail until it is built."""
    CHARACTERISE = "characterise"
    """Tests of what is there already, before it is refactored: they must pass."""
    NONE = "none"
    """No contract phase, for documentation and the like."""


def _ticket_id(text: str) -> str:
    if problem := name_problem(text):
        raise ValueError(problem)
    return text


Text = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=20_000)]
TicketIdField = Annotated[TicketId, AfterValidator(_ticket_id)]


class Origin(Frozen):
    """Which entry of a foreign source a ticket stands for."""

    kind: Annotated[str, StringConstraints(pattern=r"^[a-z]{1,20}$")]
    """What it was: beads."""
    ref: Annotated[str, StringConstraints(min_length=1, max_length=1000)]
    """What the entry is called there."""


class KeptSource(Frozen):
    """A foreign source as it was when tickets were made of it, kept byte for byte among the artifacts."""

    kind: str
    """What it was: beads."""
    name: str
    """What it was called where it was read."""
    digest: str
    """SHA-256 of its bytes."""
    size: int
    """In bytes."""


class TicketSpec(Frozen):
    """One ticket: one branch, one landing. The keys are those of a tickets file."""

    id: TicketIdField
    """1 to 64 of `a-z 0-9 . _ -`, beginning with a letter or digit; unique in the session."""
    title: Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=200)]
    """What it is about; becomes the subject of the commit."""
    description: Annotated[str, StringConstraints(max_length=100_000)] = ""
    """What is wanted; goes into the prompt and the commit."""
    blocked_by: tuple[TicketIdField, ...] = ()
    """Ids of tickets that must land first."""
    acceptance: tuple[Text, ...] = ()
    """Sentences that must be true in the end; agents and reviewers are told them."""
    files: tuple[Text, ...] = ()
    """Globs of the files that this ticket is expected to touch: a prediction, never a limit."""
    interfaces: tuple[Text, ...] = ()
    """Names of what it shares with other tickets: a planner first says what those that begin together must agree on."""
    priority: Annotated[int, Field(ge=0, le=4)] = 2
    """0 is the highest, 4 the lowest."""
    estimate_s: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = None
    """How long it will probably take; for the critical path."""
    deadline: AwareDatetime | None = None
    """Sorts before tickets of the same priority."""
    requires: tuple[Text, ...] = ()
    """Labels that a worker must carry."""
    pipeline: str | None = None
    """Instead of the default one."""
    contract: ContractKind = ContractKind.TESTS
    """What its test writer makes."""
    gate: Text | None = None
    """A command on top of the project's own gates."""
    labels: tuple[Text, ...] = ()
    """Yours; agents find them in the bundle."""
    hold: Text | None = None
    """On hold from the start, and why."""
    origin: Origin | None = None
    """Which entry of a foreign source it stands for, as an import writes it down."""
