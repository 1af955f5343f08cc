"""What a lease's holder asks of the router: something to begin with, its files taken in, its end recorded.

The store is written here and only here on behalf of attempts. An epoch is checked before anything is written and once
more when it is recorded; work of a lease that is over is kept in its own wip ref and nowhere else.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import BinaryIO
from weakref import WeakValueDictionary

from codeswarm.clock import Clock
from codeswarm.context.bundle import Material, build_bundle, taken_over, unseen_messages
from codeswarm.context.instructions import READ, Instructions, read_instructions
from codeswarm.context.prompt import build_prompt
from codeswarm.context.trust import TRUSTED, digest_of
from codeswarm.domain import commands as cmd, events as ev, gates
from codeswarm.domain.ids import Commit, GateId, SessionId, TicketId, Tree, is_gate
from codeswarm.domain.leasing import gate_holder, holder, no_attempt
from codeswarm.domain.pipeline import Role
from codeswarm.domain.prices import Prices
from codeswarm.domain.rejection import Rejection, invalid, stale
from codeswarm.domain.resting import kept, left_off
from codeswarm.domain.results import Receipt, Report, Work, first_names
from codeswarm.domain.session import Attempt, Session, Ticket
from codeswarm.engine import refs
from codeswarm.engine.branches import TaskBranches
from codeswarm.engine.kernel import Kernel
from codeswarm.engine.receipts import Signer
from codeswarm.engine.threads import in_thread
from codeswarm.errors import Refused
from codeswarm.failpoints import reach
from codeswarm.git.changes import read_changes
from codeswarm.git.identity import Message, agent_identity
from codeswarm.git.merge import Conflict, leftover_markers, merge
from codeswarm.git.snapshot import Snapshot, take_in
from codeswarm.git.store import Store
from codeswarm.ledger.artifacts import Artifacts
from codeswarm.protocol import CompleteRequest, Preparation, ReleaseRequest, SnapshotAnswer, WorkAnswer

NO_PRICES = Prices()


@dataclass(frozen=True, slots=True)
class _Beginning:
    """What an attempt starts from."""

    commit: Commit
    conflicts: tuple[str, ...] = ()
    fresh: bool = False
    resumed: bool = False


class Attempts:
    def __init__(
        self,
        kernel: Kernel,
        store: Store,
        signer: Signer,
        artifacts: Artifacts,
        branches: TaskBranches,
        clock: Clock,
        prices: Prices = NO_PRICES,
    ) -> None:
        self._kernel = kernel
        self._branches = branches
        self._store = store
        self._signer = signer
        self._artifacts = artifacts
        self._clock = clock
        self._prices = prices
        self._locks: WeakValueDictionary[tuple[str, str, int], asyncio.Lock] = WeakValueDictionary()

    def _alone(self, session_id: SessionId, ticket_id: TicketId, epoch: int) -> asyncio.Lock:
        """Held while files of an attempt are taken in: each snapshot builds on the one before, under the same refs.

        One worker sends one after the other, but a request that timed out there may still be at work here.
        """
        return self._locks.setdefault((session_id, ticket_id, epoch), asyncio.Lock())

    def _held(self, session_id: SessionId, ticket_id: TicketId, epoch: int) -> tuple[Session, Ticket, Attempt]:
        """Raises: Refused where the epoch is not the live one."""
        session = self._kernel.session(session_id)
        held = holder(session, ticket_id, epoch)
        if isinstance(held, Rejection):
            raise Refused(held)
        return session, *held

    def _known(self, session_id: SessionId, ticket_id: TicketId, epoch: int) -> tuple[Session, Ticket, Attempt]:
        """An attempt, live or over. Raises: Refused (unknown)."""
        session = self._kernel.session(session_id)
        ticket = session.tickets.get(ticket_id)
        if ticket is None or epoch not in ticket.attempts:
            raise Refused(no_attempt(session, ticket_id, epoch))
        return session, ticket, ticket.attempts[epoch]

    # ── the beginning ──

    async def prepare(self, session_id: SessionId, ticket_id: TicketId, epoch: int, *, resume: bool) -> Preparation:
        """Make the commit that the attempt begins with, and tell everything it should know. Raises: Refused.

        Idempotent: asked again, it answers from what is recorded.
        """
        session, ticket, attempt = self._held(session_id, ticket_id, epoch)
        beginning = await in_thread(self._begin, session, ticket, attempt, resume)
        if attempt.start is None:
            command = cmd.PrepareAttempt(
                ticket=ticket_id, epoch=epoch, start=beginning.commit, conflicts=beginning.conflicts
            )
            await self._kernel.execute(session_id, command)
            reach("attempts.prepared")
        material = await in_thread(self._material, session, ticket, attempt, beginning)
        preparation = await in_thread(self._preparation, session, ticket, attempt, beginning, material)
        for message in unseen_messages(session, ticket) if attempt.rested is None else ():
            how = "in the prompt of a new attempt"
            delivered = cmd.DeliverMessage(message=message.number, ticket=ticket_id, epoch=epoch, how=how)
            await self._kernel.execute(session_id, delivered)
        return preparation

    def _begin(self, session: Session, ticket: Ticket, attempt: Attempt, resume: bool) -> _Beginning:
        if attempt.start is not None:
            return _Beginning(attempt.start, attempt.conflicts)
        if attempt.rested is not None:
            beginning = self._left_off(session, ticket, attempt, resume)
        else:
            beginning = self._resumed(session, ticket, attempt) if resume else None
        beginning = beginning or self._caught_up(session, ticket, attempt)
        self._store.set_ref(refs.start(session.id, ticket.id, attempt.epoch), beginning.commit)
        self._store.sync()
        return beginning

    def _resumed(self, session: Session, ticket: Ticket, attempt: Attempt) -> _Beginning | None:
        """The files of the interrupted attempt, for an agent that goes on in its conversation."""
        if ticket.conversation_epoch is None:
            return None
        before = ticket.attempts[ticket.conversation_epoch]
        last = before.snapshot or before.start
        if last is None or before.start is None:
            return None
        if before.snapshot is None:
            return _Beginning(before.start, before.conflicts, resumed=True)
        message = Message(f"Go on with {ticket.id}", trailers=_trailers(session, ticket, attempt))
        commit = self._commit(self._store.tree(last), [before.start], message, attempt)
        return _Beginning(commit, before.conflicts, resumed=True)

    def _left_off(self, session: Session, ticket: Ticket, attempt: Attempt, resume: bool) -> _Beginning | None:
        """For a person: what the last attempt left, whatever became of it; None where nothing was begun.

        What the ticket's own work holds already is brought up to the tip, as for an agent.
        """
        last = left_off(ticket, attempt.role, attempt.epoch)
        if last is None or last.start is None:
            return None
        if ticket.work is not None and ticket.work in (last.head, last.start) and kept(last) in (None, ticket.work):
            return replace(self._caught_up(session, ticket, attempt), resumed=resume)
        files = kept(last)
        if files is None:
            return _Beginning(last.start, last.conflicts, resumed=resume)
        message = Message(f"Go on with {ticket.id}", trailers=_trailers(session, ticket, attempt))
        commit = self._commit(self._store.tree(files), [last.start], message, attempt)
        return _Beginning(commit, last.conflicts, resumed=resume)

    def _caught_up(self, session: Session, ticket: Ticket, attempt: Attempt) -> _Beginning:
        """The ticket's work with the integration tip merged in; a conflict is given to a phase that can write."""
        tip, work = attempt.base, ticket.work
        if work is None:
            return _Beginning(tip)
        if ticket.conflict == 2 and ticket.phase.writes:
            return self._fresh(session, ticket, attempt)
        if self._store.is_ancestor(tip, work):
            return _Beginning(work)
        merged = merge(self._store, tip, work, ticket.id)
        if isinstance(merged, Conflict) and not ticket.phase.writes:
            return _Beginning(work)
        message = Message(f"Catch up {ticket.id}", trailers=_trailers(session, ticket, attempt))
        commit = self._commit(merged.tree, [work, tip], message, attempt)
        return _Beginning(commit, merged.files if isinstance(merged, Conflict) else ())

    def _fresh(self, session: Session, ticket: Ticket, attempt: Attempt) -> _Beginning:
        """The tip with the contract on it: the change is made anew, with the earlier work to look at."""
        tip = attempt.base
        if ticket.contract is None:
            return _Beginning(tip, fresh=True)
        merged = merge(self._store, tip, ticket.contract.commit, ticket.id)
        message = Message(f"The contract of {ticket.id}", trailers=_trailers(session, ticket, attempt))
        commit = self._commit(merged.tree, [tip], message, attempt)
        return _Beginning(commit, merged.files if isinstance(merged, Conflict) else (), fresh=True)

    def _commit(self, tree: Tree, parents: list[Commit], message: Message, attempt: Attempt) -> Commit:
        author = agent_identity(attempt.agent, attempt.role)
        return self._store.commit_tree(tree, parents, message, author=author, at_ms=attempt.leased_ms)

    def _material(self, session: Session, ticket: Ticket, attempt: Attempt, beginning: _Beginning) -> Material:
        store, contract = self._store, ticket.contract
        shown = ticket.phase.role is Role.REVIEWER or taken_over(ticket, attempt) is not None
        judged = shown and ticket.work is not None
        return Material(
            instructions=self._instructions(session, ticket, attempt),
            contract_diff=store.diff(contract.base, contract.commit, paths=contract.files) if contract else "",
            reference_diff=store.diff(beginning.commit, ticket.reference) if ticket.reference else "",
            work_diff=store.diff(session.tip, beginning.commit) if judged else "",
            conflicts=beginning.conflicts,
            fresh=beginning.fresh,
            resumed=beginning.resumed,
        )

    def _instructions(self, session: Session, ticket: Ticket, attempt: Attempt) -> Instructions:
        """As they have landed: a ticket's own change of a rule is for whoever judges it to see, not to obey."""
        store, tip = self._store, attempt.base
        listing = store.under(tip, READ)
        trusted = self._trusted(session, tip)
        return read_instructions(ticket.phase.role, listing, lambda path: store.file(tip, path), trusted=trusted)

    def _trusted(self, session: Session, commit: Commit) -> bool:
        """Whether what a person trusts of this repository stands in a commit as they saw it."""
        wanted = session.settings.trusted
        return bool(wanted) and digest_of(self._store.under(commit, TRUSTED)) == wanted

    def _preparation(
        self, session: Session, ticket: Ticket, attempt: Attempt, beginning: _Beginning, material: Material
    ) -> Preparation:
        bundle = build_bundle(session, ticket, attempt, material)
        author = agent_identity(attempt.agent, attempt.role)
        contract = ticket.contract
        newer = contract is not None and ticket.attempts[contract.epoch].base != attempt.base
        base = self._gate_base(attempt)
        prompt = build_prompt(bundle)
        return Preparation(
            start=beginning.commit,
            tree=self._store.tree(beginning.commit),
            base=base,
            since_base=self._store.changed_files(base, beginning.commit),
            branch=f"task/{ticket.id}",
            author_name=author.name,
            author_email=author.email,
            conflicts=beginning.conflicts,
            gitlinks=tuple(self._store.gitlinks(beginning.commit)),
            prompt=prompt,
            bundle=bundle,
            told=self._artifacts.put(json.dumps({"prompt": prompt, "bundle": bundle}, ensure_ascii=False).encode()),
            trusted=self._trusted(session, beginning.commit),
            gates=gates.phase_commands(session, ticket),
            contract_files=contract.files if contract and ticket.phase.role is not Role.TEST_WRITER else (),
            has_work=ticket.advanced,
            newer_base=newer and ticket.phase.role is Role.IMPLEMENTER,
            resumed=beginning.resumed,
            messages_seen=len(session.messages),
        )

    # ── its files ──

    async def snapshot(self, session_id: SessionId, ticket_id: TicketId, epoch: int, spool: BinaryIO) -> SnapshotAnswer:
        """Take a running attempt's changes into its wip ref. Raises: Refused (stale), BrokenChanges."""
        async with self._alone(session_id, ticket_id, epoch):
            return await self._snapshot(session_id, ticket_id, epoch, spool)

    async def _snapshot(
        self, session_id: SessionId, ticket_id: TicketId, epoch: int, spool: BinaryIO
    ) -> SnapshotAnswer:
        session, ticket, attempt = self._held(session_id, ticket_id, epoch)
        snapshot = await in_thread(self._take_in, session, ticket, attempt, spool)
        return await self._record(cmd.RecordSnapshot, session_id, ticket, attempt, snapshot)

    async def _record(
        self,
        kind: type[cmd.RecordSnapshot | cmd.RecordSalvage],
        session_id: SessionId,
        ticket: Ticket,
        attempt: Attempt,
        snapshot: Snapshot,
    ) -> SnapshotAnswer:
        """Tell the ledger of a snapshot that changed something."""
        changed = snapshot.commit != (attempt.snapshot or attempt.start)
        if changed:
            command = kind(
                ticket=ticket.id,
                epoch=attempt.epoch,
                commit=snapshot.commit,
                files=snapshot.files,
                left_out=snapshot.left_out,
            )
            await self._kernel.execute(session_id, command)
        return SnapshotAnswer(commit=snapshot.commit, tree=snapshot.tree, changed=changed, left_out=snapshot.left_out)

    def _take_in(self, session: Session, ticket: Ticket, attempt: Attempt, spool: BinaryIO) -> Snapshot:
        if attempt.start is None:
            what = f"attempt {ticket.id}:{attempt.epoch} has not begun; it can have no files"
            raise Refused(invalid(what, _work(session.id, ticket.id), "files are taken from where an attempt began"))
        message = Message(f"Work in progress on {ticket.id}", trailers=_trailers(session, ticket, attempt))
        snapshot = take_in(
            self._store,
            read_changes(spool),
            attempt.snapshot or attempt.start,
            refs.wip(session.id, ticket.id, attempt.epoch),
            message,
            author=agent_identity(attempt.agent, attempt.role),
            at_ms=self._clock.now_ms(),
        )
        self._store.sync()
        reach("attempts.snapshot_stored")
        return snapshot

    async def work(self, session_id: SessionId, ticket_id: TicketId, epoch: int, spool: BinaryIO) -> WorkAnswer:
        """The last snapshot of an attempt, and the one commit that its work becomes."""
        async with self._alone(session_id, ticket_id, epoch):
            answer = await self._snapshot(session_id, ticket_id, epoch, spool)
            session, ticket, attempt = self._held(session_id, ticket_id, epoch)
            work = await in_thread(self._make_work, session, ticket, attempt, answer.tree)
            base = await in_thread(self._gate_base, attempt)
            since_base = await in_thread(self._store.changed_files, base, work.commit)
            return WorkAnswer(work=work, since_base=since_base, left_out=answer.left_out)

    def _make_work(self, session: Session, ticket: Ticket, attempt: Attempt, tree: Tree) -> Work:
        assert attempt.start is not None
        restored = self._altered_contract(ticket, attempt, tree)
        if restored:
            entries = self._store.entries(attempt.start, restored)
            tree = self._store.with_entries(tree, {path: entries.get(path) for path in restored})
        message = Message(ticket.spec.title, trailers=_trailers(session, ticket, attempt))
        commit = self._commit(tree, [attempt.start], message, attempt)
        self._store.set_ref(refs.work(session.id, ticket.id, attempt.epoch), commit)
        self._store.sync()
        reach("attempts.work_stored")
        changed = self._store.changed_files(attempt.start, commit)
        of_ticket = tuple(dict.fromkeys(ticket.files + changed))
        return Work(
            commit=commit,
            tree=tree,
            changed_files=first_names(changed),
            unnamed=first_names(of_ticket) != of_ticket,
            restored=restored,
            markers=leftover_markers(self._store, commit, attempt.conflicts),
        )

    def _gate_base(self, attempt: Attempt) -> Commit:
        """The integration commit that an attempt builds upon: a gate is told what has changed since then."""
        assert attempt.start is not None
        return self._store.merge_base(attempt.base, attempt.start) or attempt.base

    def _altered_contract(self, ticket: Ticket, attempt: Attempt, tree: Tree) -> tuple[str, ...]:
        """The contract's files that an implementer changed, against what it began with (others' landed edits in it)."""
        if ticket.contract is None or attempt.role is not Role.IMPLEMENTER or attempt.start is None:
            return ()
        guarded = [file for file in ticket.contract.files if file not in attempt.conflicts]
        if not guarded:
            return ()
        before, after = self._store.entries(attempt.start, guarded), self._store.entries(tree, guarded)
        return tuple(file for file in guarded if before.get(file) != after.get(file))

    async def salvage(self, session_id: SessionId, ticket_id: TicketId, epoch: int, spool: BinaryIO) -> SnapshotAnswer:
        """Files of an attempt that is over: kept in its wip ref, shown, and nothing else. Raises: Refused."""
        async with self._alone(session_id, ticket_id, epoch):
            session, ticket, attempt = self._known(session_id, ticket_id, epoch)
            if attempt.live:
                what = f"attempt {ticket_id}:{epoch} can't be salvaged"
                raise Refused(
                    invalid(what, _work(session_id, ticket_id), "it is alive, and its own worker brings it home")
                )
            snapshot = await in_thread(self._take_in, session, ticket, attempt, spool)
            return await self._record(cmd.RecordSalvage, session_id, ticket, attempt, snapshot)

    async def keep_commits(
        self, session_id: SessionId, ticket_id: TicketId, epoch: int, bundle: Path
    ) -> tuple[str, ...]:
        """An agent's own commits, under refs of their own. Raises: Refused, GitError (a malformed bundle)."""
        self._known(session_id, ticket_id, epoch)
        prefix = refs.commits(session_id, ticket_id, epoch)
        async with self._alone(session_id, ticket_id, epoch):
            kept = await in_thread(self._store.fetch_bundle, bundle, prefix)
            await in_thread(self._store.sync)
            await self._kernel.execute(session_id, cmd.RecordCommits(ticket=ticket_id, epoch=epoch, refs=kept))
            return kept

    async def add_to_transcript(
        self, session_id: SessionId, ticket_id: TicketId, epoch: int, offset: int, data: bytes
    ) -> int:
        """Add a piece of an attempt's transcript; the size afterwards. Idempotent.

        Raises: Refused (stale: it is closed, and its digest is in the ledger), TranscriptGap.
        """
        _, _, attempt = self._known(session_id, ticket_id, epoch)
        if attempt.transcript:
            what = f"the transcript of {ticket_id}:{epoch} is closed"
            hint = f"codeswarm logs {session_id}/{ticket_id}"
            raise Refused(stale(what, hint, "the attempt has ended, and the ledger holds its digest"))
        return await in_thread(self._artifacts.append, session_id, ticket_id, epoch, offset, data)

    # ── the end ──

    async def complete(self, session_id: SessionId, ticket_id: TicketId, epoch: int, request: CompleteRequest) -> bool:
        """Record an attempt's end. Whether it counted: a late result is kept, and answered with False.

        Raises: Refused (unknown, or told too late twice).
        """
        if request.report is None:
            why = "without one nobody can tell whether it succeeded"
            raise Refused(invalid("the end of an attempt needs a report", _work(session_id, ticket_id), why))
        session = self._kernel.session(session_id)
        ticket = session.tickets.get(ticket_id)
        attempt = ticket.attempts.get(epoch) if ticket else None
        receipts: tuple[Receipt, ...] = ()
        if ticket is not None and attempt is not None and attempt.live:
            await in_thread(self._artifacts.sync_transcript, session_id, ticket_id, epoch)
            tree = await in_thread(self._judged_tree, attempt, request.report)
            receipts = await in_thread(self._receipts, session, attempt, request.report, tree) if tree else ()
        report = request.report if attempt is None else self._priced(attempt, request.report)
        command = cmd.CompleteAttempt(ticket=ticket_id, epoch=epoch, report=report, receipts=receipts)
        records = await self._kernel.execute(session_id, command)
        reach("attempts.completed")
        await self._close_transcript(session_id, ticket_id, epoch)
        if any(isinstance(record.event, ev.AttemptSucceeded) for record in records):
            await self._branches.show(session_id, ticket_id)
        return not any(isinstance(record.event, ev.LateResultKept) for record in records)

    def _priced(self, attempt: Attempt, report: Report) -> Report:
        """The report, with a cost by the table of prices where the agent told of tokens alone."""
        usage = self._prices.priced(report.usage, attempt.agent)
        return report if usage is report.usage else report.model_copy(update={"usage": usage})

    def _receipts(self, session: Session, attempt: Attempt, report: Report, tree: Tree) -> tuple[Receipt, ...]:
        """A gate with `{files}` was about the attempt's own, or its contract's: no other run of it is like that."""
        base, own = self._gate_base(attempt), Commit("")
        return self._signer.for_runs(
            session, report.gate_runs, tree, attempt.worker, lambda run: own if "{files}" in run.command else base
        )

    def _judged_tree(self, attempt: Attempt, report: Report) -> Tree | None:
        """The tree that an attempt's gates ran on: checked against the store, not taken from the worker's word."""
        work = report.work
        if work is None:
            return self._store.tree(attempt.start) if attempt.start else None
        if self._store.parents(work.commit) != [attempt.start] or self._store.tree(work.commit) != work.tree:
            what = f"{work.commit} is not the work commit of this attempt"
            raise Refused(invalid(what, "codeswarm ledger verify", "a worker's word is checked against the store"))
        return work.tree

    async def complete_gate(self, session_id: SessionId, gate_id: GateId, epoch: int, request: CompleteRequest) -> None:
        """Record the end of a gate of the queue. Raises: Refused (stale)."""
        session = self._kernel.session(session_id)
        gate = gate_holder(session, gate_id, epoch)
        if isinstance(gate, Rejection):
            raise Refused(gate)
        base = gate.base
        receipts = self._signer.for_runs(session, request.runs, gate.tree, gate.worker or "", lambda _: base)
        command = cmd.CompleteGate(gate=gate_id, epoch=epoch, runs=request.runs, receipts=receipts)
        await self._kernel.execute(session_id, command)

    async def release(self, session_id: SessionId, subject: str, epoch: int, request: ReleaseRequest) -> None:
        """A lease given back unfinished. Raises: Refused (stale)."""
        report = request.report
        if not is_gate(subject):
            _, _, attempt = self._held(session_id, TicketId(subject), epoch)
            await in_thread(self._artifacts.sync_transcript, session_id, subject, epoch)
            await in_thread(self._judged_tree, attempt, report)
            report = self._priced(attempt, report)
        command = cmd.ReleaseLease(subject=subject, epoch=epoch, reason=request.reason, report=report)
        await self._kernel.execute(session_id, command)
        if not is_gate(subject):
            await self._close_transcript(session_id, TicketId(subject), epoch)

    async def _close_transcript(self, session_id: SessionId, ticket_id: TicketId, epoch: int) -> None:
        """Once the ledger names its digest. A disk without room for a packed copy keeps it as it is."""
        attempt = self._kernel.session(session_id).tickets[ticket_id].attempts.get(epoch)
        if attempt is not None and attempt.transcript:
            with contextlib.suppress(OSError):
                await in_thread(self._artifacts.close_transcript, session_id, ticket_id, epoch)


def _trailers(session: Session, ticket: Ticket, attempt: Attempt) -> tuple[tuple[str, str], ...]:
    return (
        ("Codeswarm-Session", session.id),
        ("Codeswarm-Ticket", ticket.id),
        ("Codeswarm-Epoch", str(attempt.epoch)),
        ("Codeswarm-Agent", attempt.agent),
    )


def _work(session: SessionId, ticket: TicketId) -> str:
    return f"codeswarm work {session}/{ticket}"
