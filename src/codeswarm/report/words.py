"""The sentences that the text and the page have in common."""

from __future__ import annotations

from dataclasses import dataclass

from codeswarm.domain.states import TicketStatus
from codeswarm.plain import count, duration
from codeswarm.report.document import AttemptLine, Change, FileChange, Proof, Report, TicketPart
from codeswarm.report.outcome import WORDS

T = TicketStatus
MARKS: dict[TicketStatus, str] = {
    T.PENDING: "·",
    T.READY: "○",
    T.IN_PROGRESS: "◐",
    T.WAITING: "?",
    T.LANDING: "↑",
    T.COMPLETE: "●",
    T.FAILED: "✗",
    T.ON_HOLD: "‖",
    T.CANCELLED: "–",
}
"""The same marks as on the live board: a state is never told by its colour alone."""


def state(status: TicketStatus) -> str:
    return WORDS[status]


def standing(part: TicketPart) -> str:
    """Where a ticket stands, in a word or two."""
    return "proposed" if part.proposed else state(part.status)


def proof_words(proof: Proof) -> str:
    """What a receipt says, in one line; a waiver says by whom, aloud."""
    outcome = proof_outcome(proof)
    return f"`{proof.command}` {outcome}" if proof.command else outcome


def proof_outcome(proof: Proof) -> str:
    """The same without the command."""
    if not proof.command:
        return f"ungated, by {proof.by or 'a person'}"
    told = f"red as on the base, allowed by {proof.by}" if proof.outcome == "waived" else proof.outcome
    parts = [told + (f" in {duration(proof.duration_s)}" if proof.duration_s is not None else "")]
    if proof.tests is not None:
        parts.append(count(proof.tests, "test"))
    if proof.known_failing:
        parts.append(f"{count(len(proof.known_failing), 'test')} known to fail")
    return ", ".join(parts)


def signature_words(proof: Proof) -> str:
    """Whether the router's signature holds."""
    if proof.genuine is None:
        return "signature not checked: the key is not here"
    return "signed by this router" if proof.genuine else "THE SIGNATURE DOES NOT HOLD"


def change_words(change: Change) -> str:
    """`3 files, +24 −7`."""
    files = count(len(change.files) + change.more_files, "file")
    return f"{files}, +{change.added} −{change.deleted}"


def file_words(file: FileChange) -> str:
    return "binary" if file.added is None else f"+{file.added} −{file.deleted or 0}"


def attempt_time(attempt: AttemptLine, report: Report) -> str:
    return duration(((attempt.ended_ms or report.until_ms) - attempt.leased_ms) / 1000)


def attempt_cost(attempt: AttemptLine) -> str:
    if not attempt.agent:
        return "no agent"
    return "unknown" if attempt.cost_usd is None else f"${attempt.cost_usd:.2f}"


def tries(part: TicketPart) -> str:
    """`3 attempts in 2 min 05 s`."""
    whole = len(part.attempts) + part.earlier_attempts
    return f"{count(whole, 'attempt')} in {duration(part.seconds)}" if whole else "not begun"


@dataclass(frozen=True, slots=True)
class Typing:
    """How commands begin as a person must type them where they are: with the options that lead to this very data."""

    codeswarm: str = "codeswarm"
    git: str = "git"

    def of(self, command: str) -> str:
        """A command of the report as it is to be typed."""
        program, space, rest = command.partition(" ")
        return {"codeswarm": self.codeswarm, "git": self.git}.get(program, program) + space + rest


AS_IS = Typing()
