"""One ticket's part of the page: why, what changed, proof, reviews, attempts, and how to undo it or go on with it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from codeswarm.domain.pipeline import Role
from codeswarm.domain.results import Finding, GateOutcome, GateRun, Receipt, Verdict
from codeswarm.domain.session import Attempt, Session, Ticket
from codeswarm.domain.states import AttemptStatus, TicketStatus
from codeswarm.engine import refs
from codeswarm.plain import duration
from codeswarm.report.changes import Changes
from codeswarm.report.document import AttemptLine, Proof, Review, TicketPart, Trouble
from codeswarm.report.evidence import Evidence
from codeswarm.report.history import History
from codeswarm.report.outcome import cost_of
from codeswarm.report.shares import ROW, TAGS, Share
from codeswarm.report.undo import Landed

LAST_WORDS = 20
"""Lines of a transcript that are told where an agent failed."""
_CONTRACT = ("preconditions", "postconditions", "invariants", "error_variants", "edge_cases", "test_plan")


@dataclass(frozen=True, slots=True)
class Teller:
    """Makes tickets' parts of one history."""

    history: History
    evidence: Evidence
    share: Share
    changes: Changes
    landed: Landed
    made_ms: int

    def part(self, ticket: Ticket) -> TicketPart:
        """The ticket's part. Its share is spent in the order of this list: a diff gets what the words have left."""
        session, share = self.history.session, self.share
        attempts = list(ticket.attempts.values())
        return TicketPart(
            id=ticket.id,
            title=share.cut(ticket.spec.title, share.line * 2),
            status=ticket.shown_status,
            wave=ticket.wave + 1,
            phase=ticket.phase.name,
            trouble=self._trouble(ticket),
            description=share.cut(ticket.spec.description.strip(), share.text),
            acceptance=share.few(ticket.spec.acceptance),
            blocked_by=ticket.spec.blocked_by[: share.items],
            asked_by=self.history.asked_by.get(ticket.id, session.by),
            landed=ticket.landed or "",
            landed_ms=ticket.landed_ms,
            proofs=tuple(self._proofs(ticket))[: share.items],
            undo=self.landed.undo(ticket),
            cost=cost_of(attempts),
            seconds=sum(self._seconds(attempt) for attempt in attempts),
            **self._attempts(ticket),
            reviews=tuple(self._reviews(ticket))[-share.items :],
            bounces=share.few(self._bounces(ticket)),
            contract=tuple(self._contract(ticket)),
            contract_files=share.few(ticket.contract.files if ticket.contract else ()),
            messages=share.few(m.text for m in session.messages if m.ticket == ticket.id),
            decisions=share.few(self._decisions(ticket)),
            labels=share.few(ticket.spec.labels),
            change=self.changes.of(ticket, share),
        )

    def _attempts(self, ticket: Ticket) -> dict[str, Any]:
        """The newest attempts that there is room for, and how many older ones are not told."""
        shown: list[AttemptLine] = []
        for attempt in reversed(ticket.attempts.values()):
            if len(shown) == self.share.items or not self.share.take(ROW):
                break
            shown.append(self._attempt(ticket, attempt))
        return {"attempts": tuple(reversed(shown)), "earlier_attempts": len(ticket.attempts) - len(shown)}

    def _seconds(self, attempt: Attempt) -> float:
        return max((attempt.ended_ms or self.made_ms) - attempt.leased_ms, 0) / 1000

    # ── why ──

    def _contract(self, ticket: Ticket) -> Iterator[tuple[str, tuple[str, ...]]]:
        if ticket.contract is None:
            return
        for name in _CONTRACT:
            if sentences := getattr(ticket.contract.contract, name):
                yield name.replace("_", " "), self.share.few(sentences)

    def _decisions(self, ticket: Ticket) -> Iterator[str]:
        for epoch in ticket.attempts:
            report = self.history.reports.get((ticket.id, epoch))
            yield from report.decisions if report else ()

    # ── proof ──

    def _proofs(self, ticket: Ticket) -> Iterator[Proof]:
        """The receipts that its landing stands on."""
        landing = self.history.landings.get(ticket.id) if ticket.landed else None
        for id_ in landing.receipts if landing else ():
            if (receipt := self.history.receipts.get(id_)) is not None:
                yield proof(self.history, self.evidence, receipt, self.share)

    # ── reviews ──

    def _reviews(self, ticket: Ticket) -> Iterator[Review]:
        asked = {at.event.epoch: at for at in self.history.reviews.get(ticket.id, ())}
        for epoch, attempt in ticket.attempts.items():
            report = self.history.reports.get((ticket.id, epoch))
            if epoch in asked:
                at = asked.pop(epoch)
                yield self._review(epoch, at.event.by, at.at_ms, at.event.findings, self._became(ticket, epoch))
            elif report is not None and report.verdict is Verdict.APPROVE:
                then = "approved" + (", with these remarks" if report.findings else "")
                yield self._review(epoch, "reviewer", attempt.ended_ms or 0, report.findings, then, asked=False)
        for epoch, at in asked.items():
            yield self._review(epoch, at.event.by, at.at_ms, at.event.findings, self._became(ticket, epoch))
        for dispute in self.history.disputes.get(ticket.id, ()):
            finding = (Finding(text=dispute.event.reason, severity="dispute"),)
            then = "the contract went back to its writer"
            yield self._review(dispute.event.epoch, "implementer", dispute.at_ms, finding, then)

    def _review(
        self, epoch: int, by: str, at_ms: int, findings: tuple[Finding, ...], then: str, *, asked: bool = True
    ) -> Review:
        shown = [self._finding(f) for f in findings[: self.share.items] if self.share.take(TAGS * 3)]
        more = len(findings) - len(shown)
        return Review(
            epoch=epoch, by=by, at_ms=at_ms, asked_for_changes=asked, findings=tuple(shown), more=more, then=then
        )

    def _finding(self, finding: Finding) -> Finding:
        most = self.share.line
        return Finding(
            file=self.share.cut(finding.file, most),
            line=finding.line,
            severity=self.share.cut(finding.severity, 40),
            text=self.share.cut(finding.text, self.share.text),
        )

    def _became(self, ticket: Ticket, epoch: int) -> str:
        """What came of changes that were asked for after an attempt."""
        later = [a for a in ticket.attempts.values() if a.epoch > epoch and a.status is AttemptStatus.SUCCEEDED]
        reworked = next((a for a in later if a.role not in (Role.REVIEWER, Role.VERIFIER)), None)
        if reworked is None:
            return "nothing has answered it yet"
        told = f"reworked in attempt {reworked.epoch}"
        again = next((a for a in later if a.epoch > reworked.epoch and a.role in (Role.REVIEWER, Role.VERIFIER)), None)
        if again is None:
            return told + (", and landed" if ticket.landed else ", and not looked at again yet")
        asked = any(at.event.epoch == again.epoch for at in self.history.reviews[ticket.id])
        return f"{told}, {'sent back again' if asked else 'approved'} in attempt {again.epoch}"

    # ── attempts ──

    def _attempt(self, ticket: Ticket, attempt: Attempt) -> AttemptLine:
        session, key = self.history.session, (ticket.id, attempt.epoch)
        failure = attempt.failure
        why = (
            f"{failure.failure_class.replace('_', ' ')}: {failure.message}"
            if failure
            else self.history.ends.get(key, "")
        )
        known = attempt.cost_known and not attempt.live
        kept = attempt.snapshot is not None
        return AttemptLine(
            epoch=attempt.epoch,
            phase=attempt.phase,
            role=attempt.role,
            number=attempt.number,
            agent=self.share.cut(attempt.agent, 100),
            worker=attempt.worker,
            status=attempt.status,
            leased_ms=attempt.leased_ms,
            ended_ms=attempt.ended_ms,
            why=self.share.cut(why, self.share.line * 2),
            summary=self.share.cut(attempt.summary.strip(), self.share.text),
            cost_usd=attempt.cost_usd if known else None,
            tokens=attempt.charged_tokens if attempt.usage.tokens is not None else None,
            gates=tuple(_gate_words(run) for run in attempt.gate_runs[: self.share.items]),
            late=attempt.late,
            kept=refs.wip(session.id, ticket.id, attempt.epoch) if kept else "",
        )

    def _bounces(self, ticket: Ticket) -> Iterator[str]:
        for at in self.history.bounces.get(ticket.id, ()):
            event = at.event
            files = f" in {', '.join(event.files[:5])}" if event.files else ""
            detail = f": {event.detail.splitlines()[0]}" if event.detail and not files else ""
            yield (f"landing {event.landing}: {event.reason.replace('_', ' ')}{files}{detail}")

    # ── where it stands, if it has not landed ──

    def _trouble(self, ticket: Ticket) -> Trouble | None:
        session, name = self.history.session, f"{self.history.session.id}/{ticket.id}"
        ended = [a for a in ticket.attempts.values() if not a.live and a.status is not AttemptStatus.SUCCEEDED]
        if ticket.status is TicketStatus.COMPLETE or not (ticket.reason or ticket.waiting_detail or ended):
            return None
        look = [f"codeswarm work {name}", f"codeswarm logs {name}"] if ticket.attempts else []
        return Trouble(
            reason=self.share.cut(ticket.reason or ticket.waiting_detail, self.share.text),
            tail=self._tail(ticket, ended[-1]) if ended else "",
            kept=tuple(_kept(session, ticket))[: self.share.items],
            commands=tuple(look),
        )

    def _tail(self, ticket: Ticket, attempt: Attempt) -> str:
        """The end of what went wrong last: of its red gate, else what the agent said last."""
        red = [run for run in attempt.gate_runs if run.outcome is GateOutcome.RED]
        if red:
            return self.share.cut_head(f"$ {red[-1].command}\n{red[-1].tail.strip()}", self.share.text)
        said = self.evidence.last_words(self.history.session.id, ticket.id, attempt.epoch, LAST_WORDS)
        message = attempt.failure.message if attempt.failure else ""
        return self.share.cut_head("\n".join(filter(None, (said, message))), self.share.text)


def _kept(session: Session, ticket: Ticket) -> Iterator[str]:
    if ticket.work is not None:
        yield refs.task(session.id, ticket.id)
    for attempt in reversed(ticket.attempts.values()):
        if attempt.snapshot is not None:
            yield refs.wip(session.id, ticket.id, attempt.epoch)


def _gate_words(run: GateRun) -> str:
    return f"{run.name} {run.outcome} in {duration(run.duration_s)}"


def proof(history: History, evidence: Evidence, receipt: Receipt, share: Share) -> Proof:
    """A receipt, with what is known of the run behind it."""
    run = history.runs.get(receipt.id)
    return Proof(
        receipt=receipt.id,
        name=receipt.name,
        command=share.cut(receipt.command, share.text),
        outcome=receipt.outcome,
        tree=receipt.tree,
        log=receipt.log,
        exit_code=receipt.exit_code,
        duration_s=run.duration_s if run else None,
        tests=run.tests if run else None,
        worker=receipt.worker,
        by=receipt.by,
        known_failing=tuple(share.cut(name, share.line) for name in receipt.known_failing[: share.items]),
        genuine=evidence.genuine(receipt),
    )
