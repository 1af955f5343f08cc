"""One ticket's part of the page: why, what changed, proof, reviews, attempts, and how to undo it or go on with it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

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
from codeswarm.report.shares import Share, cut, cut_head
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
        session, share = self.history.session, self.share
        attempts = list(ticket.attempts.values())
        return TicketPart(
            id=ticket.id,
            title=ticket.spec.title,
            status=ticket.shown_status,
            wave=ticket.wave + 1,
            phase=ticket.phase.name,
            description=cut(ticket.spec.description.strip(), share.text),
            acceptance=self._few(ticket.spec.acceptance),
            blocked_by=ticket.spec.blocked_by[: share.items],
            asked_by=session.plan.by if session.plan else session.by,
            labels=self._few(ticket.spec.labels),
            contract=tuple(self._contract(ticket)),
            contract_files=ticket.contract.files[: share.items] if ticket.contract else (),
            landed=ticket.landed or "",
            landed_ms=ticket.landed_ms,
            change=self.changes.of(ticket),
            proofs=tuple(self._proofs(ticket)),
            reviews=tuple(self._reviews(ticket))[-share.items :],
            attempts=tuple(self._attempt(ticket, attempt) for attempt in attempts[-share.items :]),
            earlier_attempts=max(len(attempts) - share.items, 0),
            bounces=tuple(self._bounces(ticket))[-share.items :],
            decisions=tuple(self._decisions(ticket))[: share.items],
            messages=self._few(m.text for m in session.messages if m.ticket == ticket.id),
            undo=self.landed.undo(ticket),
            trouble=self._trouble(ticket),
            cost=cost_of(attempts),
            seconds=sum(self._seconds(attempt) for attempt in attempts),
        )

    def _few(self, sentences: Iterable[str]) -> tuple[str, ...]:
        """As many as fit, each cut; the last one tells of the rest."""
        found = list(sentences)
        shown = [cut(sentence, self.share.line) for sentence in found[: self.share.items]]
        more = len(found) - len(shown)
        return (*shown, f"and {more} more") if more else tuple(shown)

    def _seconds(self, attempt: Attempt) -> float:
        return max((attempt.ended_ms or self.made_ms) - attempt.leased_ms, 0) / 1000

    # ── why ──

    def _contract(self, ticket: Ticket) -> Iterator[tuple[str, tuple[str, ...]]]:
        if ticket.contract is None:
            return
        for name in _CONTRACT:
            if sentences := getattr(ticket.contract.contract, name):
                yield name.replace("_", " "), self._few(sentences)

    def _decisions(self, ticket: Ticket) -> Iterator[str]:
        for epoch in ticket.attempts:
            report = self.history.reports.get((ticket.id, epoch))
            yield from self._few(report.decisions) if report else ()

    # ── proof ──

    def _proofs(self, ticket: Ticket) -> Iterator[Proof]:
        """The receipts that its landing stands on."""
        landings = [x for x in self.history.session.landings.values() if x.ticket == ticket.id and x.state == "landed"]
        for id_ in landings[-1].receipts if landings and ticket.landed else ():
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
        shown = [self._finding(finding) for finding in findings[: self.share.items]]
        more = len(findings) - len(shown)
        return Review(
            epoch=epoch, by=by, at_ms=at_ms, asked_for_changes=asked, findings=tuple(shown), more=more, then=then
        )

    def _finding(self, finding: Finding) -> Finding:
        most = self.share.line
        return Finding(
            file=cut(finding.file, most),
            line=finding.line,
            severity=cut(finding.severity, 40),
            text=cut(finding.text, self.share.text),
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
        why = f"{failure.failure_class}: {failure.message}" if failure else self.history.ends.get(key, "")
        known = attempt.usage.cost_usd is not None and not attempt.live
        kept = attempt.snapshot is not None
        return AttemptLine(
            epoch=attempt.epoch,
            phase=attempt.phase,
            role=attempt.role,
            number=attempt.number,
            agent=cut(attempt.agent, 100),
            worker=attempt.worker,
            status=attempt.status,
            leased_ms=attempt.leased_ms,
            ended_ms=attempt.ended_ms,
            why=cut(why, self.share.line * 2),
            summary=cut(attempt.summary.strip(), self.share.text),
            cost_usd=attempt.charged_usd if known else None,
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
            yield cut(f"landing {event.landing}: {event.reason.replace('_', ' ')}{files}{detail}", self.share.line)

    # ── where it stands, if it has not landed ──

    def _trouble(self, ticket: Ticket) -> Trouble | None:
        session, name = self.history.session, f"{self.history.session.id}/{ticket.id}"
        ended = [a for a in ticket.attempts.values() if not a.live and a.status is not AttemptStatus.SUCCEEDED]
        if ticket.status is TicketStatus.COMPLETE or not (ticket.reason or ticket.waiting_detail or ended):
            return None
        look = [f"codeswarm work {name}", f"codeswarm logs {name}"] if ticket.attempts else []
        return Trouble(
            reason=cut(ticket.reason or ticket.waiting_detail, self.share.text),
            tail=self._tail(ticket, ended[-1]) if ended else "",
            kept=tuple(_kept(session, ticket))[: self.share.items],
            commands=tuple(look),
        )

    def _tail(self, ticket: Ticket, attempt: Attempt) -> str:
        """The end of what went wrong last: of its red gate, else what the agent said last."""
        red = [run for run in attempt.gate_runs if run.outcome is GateOutcome.RED]
        if red:
            return cut_head(f"$ {red[-1].command}\n{red[-1].tail.strip()}", self.share.text)
        said = self.evidence.last_words(self.history.session.id, ticket.id, attempt.epoch, LAST_WORDS)
        message = attempt.failure.message if attempt.failure else ""
        return cut_head("\n".join(filter(None, (said, message))), self.share.text)


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
    run = history.runs.get((receipt.command, receipt.log)) if receipt.command else None
    return Proof(
        receipt=receipt.id,
        name=receipt.name,
        command=cut(receipt.command, share.text),
        outcome=receipt.outcome,
        tree=receipt.tree,
        log=receipt.log,
        exit_code=receipt.exit_code,
        duration_s=run.duration_s if run else None,
        tests=run.tests if run else None,
        worker=receipt.worker,
        by=receipt.by,
        known_failing=tuple(cut(name, share.line) for name in receipt.known_failing[: share.items]),
        genuine=evidence.genuine(receipt),
    )
