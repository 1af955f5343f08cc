"""Saving: the person's branch moves to the integration tip. Three steps, and a kill between any two loses nothing.

    catch up with the branch where it has moved → full gate on the tip
    1 record the intent                     (ledger)
    2 tag, then move: in their checkout by `git merge --ff-only`, else by compare-and-swap
    3 record the outcome                    (ledger)

Step 2 can be taken again: it finds what a killed one left behind, stages the files that already are what they should
become, and goes on. Whatever stands in the way (their own changes) stays untouched, and the save is refused with the
commands to run.
"""

from __future__ import annotations

import asyncio
import re
import shlex
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from codeswarm.clock import Clock
from codeswarm.domain import commands as cmd, gates
from codeswarm.domain.ids import Commit, SessionId, is_object_id
from codeswarm.domain.results import Receipt
from codeswarm.domain.session import Checkpoint, Save, Session
from codeswarm.engine import refs
from codeswarm.engine.fast_forward import Blocked, Moved, fast_forward
from codeswarm.engine.kernel import Kernel
from codeswarm.engine.mover import Mover
from codeswarm.engine.project import Project
from codeswarm.engine.receipts import Signer
from codeswarm.engine.room import Room
from codeswarm.engine.threads import in_thread
from codeswarm.errors import GitError, Refused, disk_full
from codeswarm.failpoints import reach
from codeswarm.git.identity import ROUTER, Message
from codeswarm.git.merge import Conflict, merge
from codeswarm.git.store import Store

MOST_NAMED = 30
"""So many files in the way are named in a command; more are all put aside by it."""
_LOCK = re.compile(r"Unable to create '(/.+\.lock)': File exists")


@dataclass(frozen=True, slots=True)
class _Refusal:
    reason: str
    detail: str
    files: tuple[str, ...] = ()
    commands: tuple[str, ...] = ()


class Saver(Mover):
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
        self._intended_here: set[str] = set()
        """Moves that this process has not tried yet: there is nothing to take up from a killed one."""

    def _concerns(self, session: Session) -> bool:
        return session.save is not None

    async def _step(self, session_id: SessionId) -> bool:
        session = self._kernel.session(session_id)
        save = session.save
        if save is None or session.landing is not None:
            return False
        try:
            if save.checkpoint is not None:
                await self._move(session, save, save.checkpoint)
                return True
            return await self._towards_intent(session, save)
        except GitError as error:
            if disk_full(error):
                raise
            await self._refuse(session_id, _Refusal("git", str(error)))
            return True
        except Refused:
            return False

    # ── before the intent ──

    async def _towards_intent(self, session: Session, save: Save) -> bool:
        if save.to == "pr":
            detail = "pull requests are not part of this version"
            await self._refuse(
                session.id, _Refusal("unsupported", detail, commands=(f"codeswarm save {session.id} --to branch",))
            )
            return True
        theirs = await in_thread(self._fetch_theirs, session, save.into)
        if theirs is not None and await self._catch_up(session, theirs):
            return True
        if gates.missing(session, session.tip_tree, gates.full_commands(session)):
            return bool(await self._kernel.execute(session.id, cmd.RequestFullGate()))
        checkpoint = await in_thread(self._next_checkpoint)
        intent = cmd.IntendSave(checkpoint=checkpoint, old=theirs, new=session.tip, waivers=self._waivers(session))
        await self._kernel.execute(session.id, intent)
        self._intended_here.add(checkpoint)
        reach("saver.intended")
        return True

    def _fetch_theirs(self, session: Session, branch: str) -> Commit | None:
        """Where the person's branch stands now, with its commits in the store; None: it does not exist yet."""
        ref = f"refs/heads/{branch}"
        done = self._project.git.run_full("rev-parse", "--verify", "--quiet", ref, ok=(0, 1, 128))
        commit = done.stdout.decode().strip()
        if not is_object_id(commit):
            return None
        self._store.fetch(self._project.git_dir, f"+{ref}:{refs.theirs(session.id)}")
        return self._store.commit(refs.theirs(session.id))

    async def _catch_up(self, session: Session, theirs: Commit) -> bool:
        """Take in what the branch gained meanwhile; it lands like a ticket does. Whether there was anything."""
        if await in_thread(self._store.is_ancestor, theirs, session.tip):
            return False
        command = await in_thread(self._merge_theirs, session, theirs)
        await self._kernel.execute(session.id, command)
        return True

    def _merge_theirs(self, session: Session, theirs: Commit) -> cmd.RecordMerge:
        merged = merge(self._store, session.tip, theirs, session.base_branch)
        if isinstance(merged, Conflict):
            return cmd.RecordMerge(
                ticket=None, old=session.tip, work=theirs, conflicts=merged.files, detail=merged.detail
            )
        message = Message(f"Catch up with {session.base_branch}", trailers=(("Codeswarm-Session", session.id),))
        commit = self._store.commit_tree(
            merged.tree, [session.tip, theirs], message, author=ROUTER, at_ms=self._clock.now_ms()
        )
        self._store.set_ref(refs.landing(session.id, len(session.landings) + 1), commit)
        self._store.sync()
        return cmd.RecordMerge(ticket=None, old=session.tip, work=theirs, commit=commit, tree=merged.tree)

    def _waivers(self, session: Session) -> tuple[Receipt, ...]:
        by = session.settings.gates.waived_by
        if gates.full_commands(session) or by is None:
            return ()
        return (self._signer.waiver(session, session.tip_tree, "no-gate", by),)

    def _next_checkpoint(self) -> str:
        """`checkpoint/{YYYY-MM-DD}-{n}`: the next number of the day, in UTC, over the store and the repository."""
        day = datetime.fromtimestamp(self._clock.now_ms() / 1000, UTC).strftime("%Y-%m-%d")
        prefix = f"checkpoint/{day}-"
        theirs = self._project.git.line("for-each-ref", "--format=%(refname)", "refs/tags/checkpoint").split()
        names = [name.removeprefix("refs/tags/") for name in (*self._store.refs("refs/tags/checkpoint"), *theirs)]
        rows = self._kernel.ledger.table("checkpoints")
        names += [str(row["checkpoint"]) for row in rows]
        taken = [
            int(name.removeprefix(prefix))
            for name in names
            if name.startswith(prefix) and name[len(prefix) :].isdigit()
        ]
        return f"{prefix}{max(taken, default=0) + 1}"

    # ── the move ──

    async def _move(self, session: Session, save: Save, checkpoint: Checkpoint) -> None:
        outcome = await in_thread(self._do_move, session.id, save, checkpoint)
        reach("saver.moved")
        if isinstance(outcome, _Refusal):
            await self._refuse(session.id, outcome)
        else:
            await self._kernel.execute(session.id, cmd.CompleteSave(how=outcome))

    def _do_move(self, session: SessionId, save: Save, checkpoint: Checkpoint) -> str | _Refusal:
        """Tag, then move the branch. Can be taken again after a kill. Returns how it moved, or why it did not."""
        tag = refs.checkpoint(checkpoint.id)
        self._store.set_ref(tag, checkpoint.new)
        self._store.sync()
        self._project.take(self._store, checkpoint.new, tag)
        reach("saver.tagged")
        where = self._project.checked_out().get(checkpoint.branch)
        again = checkpoint.id not in self._intended_here
        self._intended_here.discard(checkpoint.id)
        outcome = fast_forward(self._project, where, checkpoint.branch, checkpoint.new, again=again)
        if isinstance(outcome, Moved):
            return outcome.how
        if isinstance(outcome, Blocked):
            commands = _ways_out(where, outcome, checkpoint.id, f"codeswarm save {session}")
            return _Refusal("files_in_the_way", outcome.why, outcome.files, commands)
        return _Refusal("moved", f"{checkpoint.branch} has moved meanwhile", commands=(f"codeswarm save {session}",))

    async def _refuse(self, session_id: SessionId, refusal: _Refusal) -> None:
        command = cmd.RefuseSave(
            reason=refusal.reason, detail=refusal.detail, files=refusal.files, commands=refusal.commands
        )
        await self._kernel.execute(session_id, command)


def _ways_out(where: Path | None, blocked: Blocked, checkpoint: str, again: str) -> tuple[str, ...]:
    """What the person can type: we ourselves never put anything of theirs aside."""
    if where is None:
        return (again,)
    if lock := _LOCK.search(blocked.why):
        return (f"rm {shlex.quote(lock[1])}   # of a git that has died: if none is at work there", again)
    if not blocked.files:
        return (f"git merge --ff-only {checkpoint}",)
    named = f" -- {shlex.join(blocked.files)}" if len(blocked.files) <= MOST_NAMED else ""
    git = f"git -C {shlex.quote(str(where))}"
    return (f"{git} stash push --include-untracked{named}", again, f"{git} stash pop")
