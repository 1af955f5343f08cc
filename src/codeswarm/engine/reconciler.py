"""After a start: make what is outside agree with the ledger, and give up what died with the last process."""

from __future__ import annotations

from codeswarm.domain.ids import Commit
from codeswarm.domain.session import Session
from codeswarm.engine import refs
from codeswarm.engine.kernel import Kernel
from codeswarm.engine.lander import Lander
from codeswarm.engine.leases import LeaseDesk
from codeswarm.engine.project import Project
from codeswarm.engine.rescue import check_held
from codeswarm.engine.threads import in_thread
from codeswarm.engine.workers import Registry, give_up
from codeswarm.git.store import Store


class Reconciler:
    def __init__(
        self, kernel: Kernel, desk: LeaseDesk, store: Store, project: Project, lander: Lander, registry: Registry
    ) -> None:
        self._kernel = kernel
        self._desk = desk
        self._store = store
        self._project = project
        self._lander = lander
        self._registry = registry

    async def reconcile(self) -> None:
        """Run once, before anything else moves. Idempotent.

        Raises: StoreDiverged where a shared ref stands where the ledger can't have put it: nothing goes on then.
        """
        await in_thread(self._forget_unborn)
        for session in self._kernel.live_sessions():
            await in_thread(self._project_refs, session)
            await self._lander.publish(session.id)
        await self._give_up_dead()

    def _forget_unborn(self) -> None:
        """Take away the refs of a session whose start was killed before the ledger knew of it.

        They name the person's own commit and nothing else. A session with any other ref is never touched: there the
        ledger may have been exchanged for an older one.
        """
        known = {str(row["id"]) for row in self._kernel.ledger.table("sessions")}
        found = self._store.refs()
        for ref, commit in self._store.refs(refs.base("").rstrip("/")).items():
            id_ = ref.rpartition("/")[2]
            mine = {name for name in found if f"/{id_}/" in f"{name}/"}
            unborn = id_ not in known and mine <= {ref, refs.integration(id_), refs.theirs(id_)}
            if unborn and found.get(refs.integration(id_), commit) == commit:
                self._store.delete_refs(*mine)

    def _project_refs(self, session: Session) -> None:
        check_held(self._store, self._project, session.id, session.tip, session.base)
        self._store.set_ref(refs.base(session.id), session.base)
        self._store.project_ref(refs.integration(session.id), session.tip)
        for ticket in session.tickets.values():
            if ticket.work is not None:
                self._restore(refs.task(session.id, ticket.id), ticket.work)
        for checkpoint in session.checkpoints.values():
            self._restore(refs.checkpoint(checkpoint.id), checkpoint.new)
        self._store.sync()

    def _restore(self, ref: str, to: Commit) -> None:
        """Put a ref of ours where the ledger says, if what it says is still there."""
        if self._store.commit(ref) != to and self._store.commit(to) is not None:
            self._store.set_ref(ref, to)

    async def _give_up_dead(self) -> None:
        """Leases of workers that are known to be dead are lost now; all others have a full term to speak up."""
        known = self._registry.read()
        dead = [
            key
            for key in self._desk.live()
            if (process := known.get(self._desk.worker_of(key))) is None or not process.alive
        ]
        await give_up(dead, self._kernel, "its worker died")
        for worker, process in known.items():
            if not process.alive:
                self._registry.forget(worker)
