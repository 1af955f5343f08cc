"""The lander: takes finished tickets into integration, one at a time, in an order of steps that survives any kill.

    1 merge with the ledger's tip, and make the very commit that would land    (store)
    2 record the merge; its gate becomes work                                  (ledger)
    3 a verifier runs the gate on that commit; receipt                         (a worker)
    4 sync the store
    5 append `TicketLanded`: the commit point                                  (ledger)
    6 move the integration ref: a projection of the ledger
    7 publish: the branch in the person's repository follows

Killed between any two, it goes on where the ledger stands. It never runs repository code, and it never decides.
"""

from __future__ import annotations

import asyncio

from codeswarm.clock import Clock
from codeswarm.domain import commands as cmd, events as ev
from codeswarm.domain.ids import Commit, SessionId
from codeswarm.domain.landing import may_land, next_to_land
from codeswarm.domain.results import Receipt
from codeswarm.domain.session import Landing, Session, Ticket
from codeswarm.engine import refs
from codeswarm.engine.kernel import Kernel
from codeswarm.engine.mover import Mover
from codeswarm.engine.project import Project
from codeswarm.engine.receipts import Signer
from codeswarm.engine.room import Room
from codeswarm.engine.threads import in_thread
from codeswarm.errors import GitError, Refused
from codeswarm.failpoints import reach
from codeswarm.git.identity import Message, agent_identity
from codeswarm.git.merge import Conflict, merge
from codeswarm.git.store import Store


class Lander(Mover):
    def __init__(
        self,
        kernel: Kernel,
        store: Store,
        project: Project,
        signer: Signer,
        clock: Clock,
        turn: asyncio.Lock,
        room: Room,
    ) -> None:
        super().__init__(kernel, turn, room)
        self._store = store
        self._project = project
        self._signer = signer
        self._clock = clock
        self._published: dict[SessionId, Commit] = {}

    def _concerns(self, session: Session) -> bool:
        return session.landing is not None or bool(session.landing_queue)

    async def _step(self, session_id: SessionId) -> bool:
        session = self._kernel.session(session_id)
        landing = session.landing
        try:
            if landing is None:
                ticket = next_to_land(session)
                if ticket is None:
                    return False
                await self._merge(session, ticket)
                return True
            if may_land(session, landing) and (landing.gate is None or landing.gate not in session.gates):
                await self._land(session, landing)
                return True
        except Refused as refused:
            # Something moved meanwhile (a hold, a save): the next look at the state knows better.
            return session.landing is not landing or refused.rejection.refusal == "stale"
        return False

    # ── 1 and 2 ──

    async def _merge(self, session: Session, ticket: Ticket) -> None:
        work = ticket.work
        if work is None:
            raise LookupError(f"ticket {ticket.id} queues for a landing without any work")
        command = await in_thread(self._try_merge, session, ticket, work, session.tip)
        reach("lander.merged")
        await self._kernel.execute(session.id, command)
        reach("lander.recorded")

    def _try_merge(self, session: Session, ticket: Ticket, work: Commit, tip: Commit) -> cmd.RecordMerge:
        merged = merge(self._store, tip, work, ticket.id)
        if isinstance(merged, Conflict):
            return cmd.RecordMerge(ticket=ticket.id, old=tip, work=work, conflicts=merged.files, detail=merged.detail)
        number = len(session.landings) + 1
        attempt = ticket.attempts[ticket.epoch]
        trailers = (
            ("Codeswarm-Session", session.id),
            ("Codeswarm-Ticket", ticket.id),
            ("Codeswarm-Epoch", str(attempt.epoch)),
            ("Codeswarm-Agent", _writer(ticket)),
            ("Codeswarm-Landing", str(number)),
        )
        commit = self._store.commit_tree(
            merged.tree,
            [tip],
            Message(ticket.spec.title, ticket.spec.description[:2000], trailers),
            author=agent_identity(_writer(ticket), "implementer"),
            at_ms=self._clock.now_ms(),
        )
        self._store.set_ref(refs.landing(session.id, number), commit)
        self._store.sync()
        return cmd.RecordMerge(ticket=ticket.id, old=tip, work=work, commit=commit, tree=merged.tree)

    # ── 4 to 7 ──

    async def _land(self, session: Session, landing: Landing) -> None:
        await in_thread(self._store.sync)
        files = await in_thread(self._store.changed_files, landing.old, landing.commit)
        command = cmd.LandMerge(landing=landing.number, files=files, waivers=self._waivers(session, landing))
        records = await self._kernel.execute(session.id, command)
        if any(isinstance(record.event, ev.TicketLanded | ev.CaughtUp) for record in records):
            reach("lander.landed")
            await self._room.patiently(
                self.publish, session.id
            )  # the step itself is over and would not come here again

    def _waivers(self, session: Session, landing: Landing) -> tuple[Receipt, ...]:
        """Where no gate applies at all, the person who said so stands for it."""
        by = session.settings.gates.waived_by
        if landing.commands or by is None:
            return ()
        return (self._signer.waiver(session, landing.tree, "no-gate", by),)

    async def publish(self, session_id: SessionId) -> None:
        """Bring the refs to where the ledger is: integration here, the session's branch in the person's repository.

        That one begins with the first landing.
        """
        session = self._kernel.session(session_id)
        tip = session.tip
        await in_thread(self._store.project_ref, refs.integration(session_id), tip)
        reach("lander.ref_moved")
        problem = await self._show(session_id, tip) if tip != session.base else None
        if problem is not None:
            note = cmd.Note(
                subject="branch",
                what=f"branch {refs.shown_branch(session_id)} was not moved to {tip[:12]}: {problem}",
                next_step=f"git fetch {self._store.path} {refs.integration(session_id)}",
            )
            await self._kernel.execute(session_id, note)
        self._published[session_id] = tip

    async def _show(self, session_id: SessionId, tip: Commit) -> str | None:
        """Why the branch in the person's repository could not follow; None where it did."""
        try:
            return await in_thread(self._project.show_branch, self._store, session_id, tip)
        except GitError as error:
            return str(error)

    async def publish_all(self) -> None:
        """Whatever has landed and is not shown yet: nobody should find the branch behind what they were told."""
        for session in self._kernel.live_sessions():
            if self._published.get(session.id) != session.tip:
                await self.publish(session.id)


def _writer(ticket: Ticket) -> str:
    """The agent whose work lands: the last that wrote."""
    writers = [attempt.agent for attempt in ticket.attempts.values() if attempt.head == ticket.work]
    return writers[-1] if writers else ""
