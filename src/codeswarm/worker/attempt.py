"""One attempt, from lease to report: salvage, prepare, workspace, agent, gate, completion.

It reads top-down: `run` is the whole story. It reports facts and never what they mean. Its workspace goes away only
when everything in it is reachable from a ref; else it stays, and the report says what was left out.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Sequence
from typing import Any

from codeswarm.agents.base import Agent
from codeswarm.awake import Absence
from codeswarm.domain.ids import Commit
from codeswarm.domain.pipeline import WRITING_ROLES, Role
from codeswarm.domain.results import CHARGED, Failure, FailureClass, GateOutcome, GateRun, Report, Work
from codeswarm.errors import AgentUnavailable, CodeswarmError, RouterUnreachable, disk_full
from codeswarm.failpoints import reach
from codeswarm.git.identity import Identity
from codeswarm.protocol import (
    CompleteRequest,
    GatingRequest,
    Offer,
    Preparation,
    PrepareRequest,
    ReleaseRequest,
    StartRequest,
)
from codeswarm.router_client import RouterRefused
from codeswarm.sandbox.base import WORKSPACE
from codeswarm.worker.disk import lacks_room
from codeswarm.worker.gate import GateContext
from codeswarm.worker.line import complete_letter, release_letter
from codeswarm.worker.locks import taken
from codeswarm.worker.play import Play, Played
from codeswarm.worker.salvage import salvage
from codeswarm.worker.setup import SetupFailed
from codeswarm.worker.tools import LeaseLost, Tools
from codeswarm.worker.verify import post, run_gates
from codeswarm.worker.view import View
from codeswarm.worker.watch import Stop, under_lease
from codeswarm.worker.workspace import Workspace

ENDED_BY_SLEEP = frozenset({FailureClass.CRASHED, FailureClass.HUNG})
AFTER_SLEEP_S = 300.0
"""So soon after a sleep a crash is put down to it."""


class Attempt:
    def __init__(self, offer: Offer, agent: Agent | None, tools: Tools) -> None:
        """`agent` None: a verifier phase, which only runs gates."""
        self.offer = offer
        self._agent = agent
        self._tools = tools
        self._place = tools.places.attempt(offer.session, offer.subject, offer.epoch)
        self._home = tools.places.home(offer.session, offer.subject, offer.role)
        self._brought_home = False
        self._at_work = contextlib.ExitStack()
        """Holds the folder, so that nobody else clears it up while an agent may still be in it."""
        self._began = tools.clock.monotonic()

    async def run(self) -> None:
        """Do the attempt and report it. Raises only what is a fault of ours; the report says so then, too."""
        with self._at_work:
            await self._run()

    async def _run(self) -> None:
        offer = self.offer
        try:
            preparation = await under_lease(self._tools.line, offer, self._prepared())
            report = stopped(preparation) if isinstance(preparation, Stop) else await self._work(preparation)
        except LeaseLost:
            self._at_work.close()
            await salvage(self._tools, self._place)
            return
        except RouterUnreachable:
            return
        except SetupFailed as failed:
            report = failed_report(FailureClass.SETUP_FAILED, f"{failed.what}\n{failed.why}")
        except RouterRefused as refused:
            if refused.stale:
                return
            report = failed_report(FailureClass.WORKER_ERROR, str(refused))
        except AgentUnavailable as missing:
            report = failed_report(FailureClass.MISSING, str(missing))
        except (CodeswarmError, OSError) as error:
            full = disk_full(error)
            class_ = FailureClass.DISK_FULL if full else FailureClass.WORKER_ERROR
            report = failed_report(class_, f"{type(error).__name__}: {error}" if full is None else str(full))
        await self._send(report)

    async def _prepared(self) -> Preparation:
        """What to begin with, once everything that earlier attempts left has been brought home."""
        offer = self.offer
        for epoch in offer.earlier_epochs:
            await salvage(self._tools, self._tools.places.attempt(offer.session, offer.subject, epoch))
        request = PrepareRequest(epoch=offer.epoch, resume=self._can_resume())
        preparation = await self._tools.line.prepare(offer.id, request)
        reach("worker.prepared")
        return preparation

    def _can_resume(self) -> bool:
        """A conversation goes on only at the same path and in the same HOME."""
        agent = self._agent
        if agent is None or not agent.can.resume or not self.offer.conversation or not self._home.is_dir():
            return False
        view = View.of_checkout(self._place)
        box = self._tools.maker.box(self._place, view, self.offer.workspace, self._home, network=False)
        return self._tools.sandbox.inside(box).workspace == WORKSPACE

    async def _work(self, preparation: Preparation) -> Report:
        if self._agent is None:
            return await self._only_gates(preparation)
        author, order = Identity(preparation.author_name, preparation.author_email), self.offer.workspace
        network = order.settings.agent_network
        making = self._tools.maker.make(
            self._place, order, preparation.start, preparation.branch, author, self._home, network=network
        )
        workspace = await under_lease(self._tools.line, self.offer, making)
        if isinstance(workspace, Stop):
            return stopped(workspace)
        try:
            self._at_work.enter_context(taken(self._place.held))
            self._place.remember(**self._facts(preparation, workspace))
            reach("worker.workspace_made")
            play = Play(self.offer, self._agent, preparation, workspace, self._tools)
            played = await play.play()
            self._brought_home = True
            reach("worker.brought_home")
            return await self._conclude(preparation, play, played)
        finally:
            workspace.let_go()

    def _facts(self, preparation: Preparation, workspace: Workspace) -> dict[str, Any]:
        """What whoever finds this folder later needs to bring its files home."""
        order = self.offer.workspace
        return {
            "session": self.offer.session,
            "ticket": self.offer.subject,
            "epoch": self.offer.epoch,
            "start": preparation.start,
            "objects": order.objects,
            "gitlinks": list(preparation.gitlinks),
            "never": list(workspace.secrets),
            "max_file_bytes": order.settings.max_file_bytes,
            "max_ignored_bytes": order.settings.max_ignored_bytes,
        }

    async def _only_gates(self, preparation: Preparation) -> Report:
        offer = self.offer
        await self._tools.line.start(offer.id, StartRequest(epoch=offer.epoch, sandbox=self._tools.sandbox.kind))
        runs = await self._gates(preparation, preparation.start, preparation.since_base)
        self._brought_home = True
        return stopped(runs) if isinstance(runs, Stop) else Report(gate_runs=runs)

    # ── the report ──

    async def _conclude(self, preparation: Preparation, play: Play, played: Played) -> Report:
        work, role = played.home.work, self.offer.role
        failure = self._not_for_want_of_room(self._not_for_a_sleep(why_failed(played)))
        runs: tuple[GateRun, ...] | Stop = ()
        if failure is None and played.answer.dispute is None and self._has_gate(preparation, work):
            await self._tools.line.gating(self.offer.id, GatingRequest(epoch=self.offer.epoch, commit=work.commit))
            runs = await self._gates(preparation, work.commit, played.home.since_base)
        reach("worker.gate_done")
        if isinstance(runs, Stop):
            failure, runs = Failure(failure_class=runs.failure_class, message=runs.reason), ()
        digest, size = await play.close_transcript()
        answer, ending = played.answer, played.ending
        green = bool(runs) and all(run.outcome is GateOutcome.GREEN for run in runs)
        return Report(
            work=work if role in WRITING_ROLES else None,
            failure=failure,
            gate_runs=runs,
            contract=answer.contract,
            contract_files=work.changed_files if role is Role.TEST_WRITER else (),
            verdict=answer.verdict,
            findings=answer.findings,
            dispute=answer.dispute,
            plan=(answer.plan or ending.summary or None) if role is Role.PLANNER else None,
            decisions=answer.decisions,
            proposed_tickets=answer.proposed_tickets,
            tickets=answer.tickets if role is Role.PLANNER else None,
            answer=answer.answer if role is Role.PLANNER else None,
            summary=ending.summary[:4000],
            usage=ending.usage,
            transcript=digest,
            transcript_size=size,
            already_satisfied=preparation.newer_base and not work.changed_files and green,
            left_out=played.home.left_out,
        )

    def _not_for_a_sleep(self, failure: Failure | None) -> Failure | None:
        """Who crashes soon after a sleep, or waits on in silence, found its lines to the model dead: not its fault."""
        seen = None if failure is None else failure.evidence
        window = AFTER_SLEEP_S + (0.0 if seen is None else min(seen.word_s, seen.change_s))
        since = self._tools.clock.monotonic() - window
        return excused(failure, self._tools.away_since(max(since, self._began)))

    def _not_for_want_of_room(self, failure: Failure | None) -> Failure | None:
        """A failure is no fault of an agent whose disk was full."""
        if failure is None or failure.failure_class not in CHARGED or not lacks_room(self._place.root):
            return failure
        message = f"the disk is full ({self._place.root}), and then: {failure.message}"
        return Failure(failure_class=FailureClass.DISK_FULL, message=message)

    def _has_gate(self, preparation: Preparation, work: Work) -> bool:
        """Whether there is anything that a gate could judge."""
        if not preparation.gates or self.offer.role not in WRITING_ROLES or work.markers or work.unnamed:
            return False
        return bool(work.changed_files) or preparation.newer_base or preparation.has_work

    async def _gates(
        self, preparation: Preparation, head: Commit, files: tuple[str, ...]
    ) -> tuple[GateRun, ...] | Stop:
        """The phase's gate on a commit, told what the ticket changes as a whole, as at its landing."""
        context = GateContext(
            session=self.offer.session,
            ticket=self.offer.subject,
            base=preparation.base,
            head=head,
            changed_files=files,
            contract_files=preparation.contract_files,
        )
        return await run_gates(self._tools, self.offer, preparation.gates, context)

    # ── the end ──

    async def _send(self, report: Report) -> None:
        """With the report on disk the workspace goes; then the router is told. It may end us with its answer, where
        that was all that it waited for.
        """
        offer, failure = self.offer, report.failure
        if failure is not None and failure.failure_class is FailureClass.CANCELLED:
            request = ReleaseRequest(epoch=offer.epoch, reason=failure.message, report=report)
            path, body = release_letter(offer.id, request)
        else:
            path, body = complete_letter(offer.id, CompleteRequest(epoch=offer.epoch, report=report))
        await post(self._tools, self._place.name, path, body, lambda: self._clean_up(report))

    async def _clean_up(self, report: Report) -> None:
        """Remove the workspace, unless something in it is in no ref."""
        if not self._place.root.exists():
            return
        if not self._place.facts():  # no agent has begun in it
            await asyncio.to_thread(self._tools.maker.remove, self._place)
            return
        left_out = [item.model_dump() for item in report.left_out if item.size is not None]
        if left_out or not self._brought_home:
            with contextlib.suppress(OSError):  # on a full disk; whoever comes by finds out again
                self._place.remember(left_out=left_out)
            return
        await asyncio.to_thread(self._tools.maker.remove, self._place)


def excused(failure: Failure | None, absence: Absence | None) -> Failure | None:
    """A crash or a silence after an absence is a loss, which nobody is charged with; all else stays what it is."""
    if failure is None or failure.failure_class not in ENDED_BY_SLEEP or absence is None:
        return failure
    message = f"{absence}, and then: {failure.message}"
    return failure.model_copy(update={"failure_class": FailureClass.LOST, "message": message})


def failed_report(failure_class: FailureClass, message: str) -> Report:
    return Report(failure=Failure(failure_class=failure_class, message=message[-4000:]))


def stopped(stop: Stop) -> Report:
    return failed_report(stop.failure_class, stop.reason)


def at_its_limits(failure: Failure, exceeded: Sequence[str]) -> Failure:
    """An agent that fell for want of what it may not have was ended by nobody's hand but its own."""
    if not exceeded or failure.failure_class not in (FailureClass.LOST, FailureClass.CRASHED):
        return failure
    message = f"it ran into its limit of {' and of '.join(exceeded)}: {failure.message}"
    return Failure(failure_class=FailureClass.CRASHED, message=message)


def why_failed(played: Played) -> Failure | None:
    """The agent's own failure, if any: what stopped it counts first, then what it said, then what it left."""
    if played.stop is not None:
        stop = played.stop
        return Failure(failure_class=stop.failure_class, message=stop.reason, evidence=stop.evidence)
    if played.ending.failure is not None:
        return at_its_limits(played.ending.failure, played.exceeded)
    if played.answer.problem:
        return Failure(failure_class=FailureClass.BAD_RESULT, message=played.answer.problem)
    return None
