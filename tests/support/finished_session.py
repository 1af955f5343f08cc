"""A data directory as a real session leaves it, made without workers, in virtual time, and the same every time.

The story: three tickets on one base. `c` lands at once. `b` loses its first attempt (its snapshot, some salvage and a
late result stay), and its second one conflicts with `c`. `a` goes through contract, implementation and review, is
bounced by a red gate, and lands while `b`'s third attempt is at work; so `b` lands through a gate, too. What the
person committed meanwhile is taken in, and all is saved as a checkpoint. Beside it a second session has only begun.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import os
import shutil
import sqlite3
import subprocess
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from codeswarm.domain import commands as cmd, events as ev
from codeswarm.domain.ids import Commit, GateId, SessionId, TicketId, Tree, WorkerId
from codeswarm.domain.pipeline import Role
from codeswarm.domain.results import (
    Contract,
    FailureClass,
    GateCommand,
    GateOutcome,
    GateRun,
    Report,
    Usage,
    Verdict,
    Work,
)
from codeswarm.domain.settings import Gates, Policy, Settings
from codeswarm.domain.ticket import TicketSpec
from codeswarm.engine import refs
from codeswarm.engine.data import Data
from codeswarm.engine.engine import Engine
from codeswarm.engine.project import Project
from codeswarm.errors import Refused
from codeswarm.git.store import Store
from codeswarm.ledger.base import Reply
from codeswarm.ledger.sqlite import SqliteLedger
from codeswarm.protocol import CompleteRequest
from codeswarm.testing.clock import VirtualClock

SESSION, OTHER = SessionId("harbour1"), SessionId("lantern2")
A, B, C = TicketId("a"), TicketId("b"), TicketId("c")
KEY = bytes(range(32))

FAST = GateCommand(name="fast", command="make check")
FULL = GateCommand(name="full", command="make everything")
DATES = {"GIT_AUTHOR_DATE": "1700000000 +0000", "GIT_COMMITTER_DATE": "1700000000 +0000"}


@dataclass(frozen=True, slots=True)
class Finished:
    """`data`: closed in good order. `killed`: the same a moment earlier, its newest events in the WAL alone."""

    data: Data
    killed: Data
    repository: Path


def make_repository(folder: Path) -> Path:
    """The person's repository: one commit on `main`."""
    (folder / "src").mkdir(parents=True)
    (folder / "src" / "shared.py").write_text("VALUE = 0\n")
    (folder / "README.md").write_text("# A harbour\n")
    person_git(folder, "init", "--quiet", "--initial-branch=main")
    person_git(folder, "add", "--all")
    person_git(folder, "commit", "--quiet", "-m", "Begin")
    return folder


def person_git(folder: Path, *args: str) -> None:
    argv = ["git", "-c", "user.name=Ada", "-c", "user.email=ada@example.invalid", *args]
    subprocess.run(argv, cwd=folder, check=True, env={"PATH": os.environ["PATH"], "HOME": "/nonexistent", **DATES})


async def finish_session(root: Path) -> Finished:
    """Tell the whole story below `root`."""
    teller = Teller(root)
    try:
        await teller.tell()
        killed = Data(root / "killed")
        shutil.copytree(teller.data.root, killed.root)
    finally:
        teller.engine.kernel.ledger.close()
    return Finished(teller.data, killed, teller.repository)


def settings(*, save: bool, approve: bool) -> Settings:
    return Settings(
        roles={"*": ("command:agent",)},
        gates=Gates(fast=FAST, full=FULL),
        policy=Policy(save_at_end=save, approve_plan=approve),
        seed=7,
    )


def snapshot(files: dict[str, str], ignored: dict[str, str] | None = None) -> io.BytesIO:
    """Changes as a worker sends them."""
    stream = io.BytesIO()
    for path, text in {**files, **(ignored or {})}.items():
        body = text.encode()
        header = {"op": "put", "path": path, "mode": "100644", "size": len(body), "ignored": path in (ignored or {})}
        stream.write(json.dumps(header).encode() + b"\n" + body)
    stream.write(b'{"op": "end"}\n')
    return stream


class Teller:
    """Plays the worker, the person and the clock by turns; the engine's own rooms do the rest."""

    def __init__(self, root: Path) -> None:
        self.repository = make_repository(root / "repository")
        self.data = Data(root / "data")
        self.data.key.parent.mkdir(parents=True)
        self.data.key.write_bytes(KEY)
        self.clock = VirtualClock()
        store, ledger = Store.open(self.data.store), SqliteLedger(self.data.ledger)
        project = Project.find(self.repository)
        self.engine = Engine(self.data, ledger, store, project, self.clock, lambda worker, slots: {})

    async def tell(self) -> None:
        self.engine.kernel.start()
        await self.begin()
        await self.first_attempts()
        await self.land_c()
        self.checkpoint_wal()
        await self.bounce_b_and_a()
        await self.land_a()
        await self.land_b()
        await self.save()

    # ── chapters ──

    async def begin(self) -> None:
        contract_free = {"pipeline": "single", "files": ("src/shared.py",)}
        tickets = (
            TicketSpec(id=A, title="Say hello"),
            TicketSpec(id=B, title="Count ships", **contract_free),
            TicketSpec(id=C, title="Count lamps", **contract_free),
        )
        await self.start(SESSION, settings(save=True, approve=True), tickets)
        await self.do(cmd.GiveApproval(approval="a1", by="ada", note="go on"))
        await self.gate(SESSION, GateOutcome.GREEN)
        await self.park_and_unpark()
        await self.start(OTHER, settings(save=False, approve=False), (TicketSpec(id=A, title="Light a lamp"),))
        await self.gate(OTHER, GateOutcome.GREEN)
        await self.claim(OTHER)
        await self.prepare_attempt(A, 1, OTHER)
        await self.engine.attempts.snapshot(OTHER, A, 1, snapshot({"tests/test_lamp.py": "assert lamp\n"}))

    async def park_and_unpark(self) -> None:
        """Another session found its agent's quota spent, and a person bought more."""
        key = {"agent": "command:agent", "account": "", "told_by": OTHER}
        now_ms = self.clock.now_ms()
        until_ms = now_ms + 3_600_000
        why = FailureClass.QUOTA
        await self.do(cmd.ParkAgent(**key, why=why, detail="spent", since_ms=now_ms, until_ms=until_ms))
        self.tick()
        await self.do(cmd.UnparkAgent(**key, by="ada"))

    async def first_attempts(self) -> None:
        for _ in range(3):
            await self.claim(SESSION)
        await self.write(A, 1, {"tests/test_hello.py": "assert hello\n"}, GateOutcome.RED, contract=True)
        await self.prepare_attempt(B, 1)
        await self.engine.attempts.snapshot(SESSION, B, 1, snapshot({"src/shared.py": "VALUE = 'draft'\n"}))
        await self.engine.attempts.snapshot(SESSION, B, 1, snapshot({"src/ships.py": "SHIPS = 1\n"}))
        await self.engine.attempts.keep_commits(SESSION, B, 1, self.bundle())
        await self.do(cmd.LoseLease(subject=B, epoch=1, reason="its worker died"))
        salvage = snapshot({"src/ships.py": "SHIPS = 2\n"}, ignored={"notes.tmp": "remember the tide\n"})
        await self.engine.attempts.salvage(SESSION, B, 1, salvage)
        late = CompleteRequest(epoch=1, report=Report(summary="I was only slow"))
        assert not await self.engine.attempts.complete(SESSION, B, 1, late)
        await self.write(C, 1, {"src/shared.py": "VALUE = 'lamps'\n"}, GateOutcome.GREEN)

    async def land_c(self) -> None:
        """Its work is on the tip as it is, so the receipt of its own gate is enough."""
        for _ in range(2):
            await self.claim(SESSION)
        await self.land(None)

    async def bounce_b_and_a(self) -> None:
        await self.do(cmd.SendMessage(by="ada", text="mind the lamps", ticket=B))
        await self.write(B, 2, {"src/shared.py": "VALUE = 'ships'\n"}, GateOutcome.GREEN)
        await self.land(None)
        await self.claim(SESSION)
        await self.prepare_attempt(B, 3)
        await self.write(A, 2, {"src/hello.py": "hello = None\n"}, GateOutcome.GREEN)
        await self.review(A, 3)
        await self.land(GateOutcome.RED)

    async def land_a(self) -> None:
        await self.claim(SESSION)
        await self.write(A, 4, {"src/hello.py": "hello = True\n"}, GateOutcome.GREEN)
        await self.review(A, 5)
        await self.land(None)

    async def land_b(self) -> None:
        await self.finish_writing(B, 3, {"src/shared.py": "VALUE = 'lamps and ships'\n"}, GateOutcome.GREEN)
        await self.land(GateOutcome.GREEN)
        with contextlib.suppress(Refused):
            await self.engine.ask(SESSION, cmd.RetryTicket(ticket=B, by="ada"))

    async def save(self) -> None:
        """The person has moved on meanwhile: their commit is taken in, and only then is everything saved."""
        await self.gate(SESSION, GateOutcome.GREEN)
        (self.repository / "README.md").write_text("# A harbour\n\nWith a lighthouse.\n")
        person_git(self.repository, "commit", "--quiet", "--all", "-m", "Tell of the lighthouse")
        await self.step_saver()
        await self.gate(SESSION, GateOutcome.GREEN)
        await self.step_lander()
        await self.step_saver()
        await self.gate(SESSION, GateOutcome.GREEN)
        await self.step_saver()
        assert self.engine.kernel.session(SESSION).outcome == "saved"

    # ── what they are made of ──

    def bundle(self) -> Path:
        """What an agent committed by itself."""
        folder = self.repository.parent / "agent"
        person_git(self.repository, "clone", "--quiet", str(self.repository), str(folder))
        person_git(folder, "commit", "--quiet", "--allow-empty", "-m", "Try something")
        person_git(folder, "bundle", "create", "--quiet", "../agent.bundle", "HEAD", "main", "^origin/main")
        return self.repository.parent / "agent.bundle"

    def tick(self) -> None:
        self.clock.jump(1.25)

    def checkpoint_wal(self) -> None:
        """Fold what is written so far into the ledger's main file; all that follows is in the WAL alone."""
        with closing(sqlite3.connect(self.data.ledger)) as db:
            db.execute("PRAGMA wal_checkpoint(TRUNCATE)")

    async def do(
        self, command: cmd.Command, session: SessionId = SESSION, reply: Reply | None = None
    ) -> list[ev.Event]:
        self.tick()
        return [record.event for record in await self.engine.kernel.execute(session, command, reply=reply)]

    async def start(self, session: SessionId, settings_: Settings, tickets: tuple[TicketSpec, ...]) -> None:
        store, project = self.engine.store, self.engine.project
        base = project.base("main")
        store.fetch(project.git_dir, "+refs/heads/main:refs/codeswarm/theirs/main")
        store.set_ref(refs.base(session), base.commit)
        store.set_ref(refs.integration(session), base.commit)
        command = cmd.StartSession(
            session=session,
            name="",
            goal="a safe harbour",
            base_branch="main",
            base=base.commit,
            base_tree=store.tree(base.commit),
            settings=settings_,
            tickets=tickets,
            by="ada",
        )
        await self.do(command, session, Reply(f"start-{session}", json.dumps({"session": session})))

    async def claim(self, session: SessionId, *roles: Role) -> ev.AttemptLeased | ev.GateLeased:
        self.clock.jump(3600)
        claim = cmd.Claim(worker=WorkerId("w1"), roles=frozenset(roles or Role))
        (event,) = await self.do(claim, session)
        assert isinstance(event, ev.AttemptLeased | ev.GateLeased)
        return event

    async def gate(self, session: SessionId, outcome: GateOutcome) -> None:
        """Run the one gate that is open."""
        lease = await self.claim(session, Role.VERIFIER)
        assert isinstance(lease, ev.GateLeased)
        gate = self.engine.kernel.session(session).gates[GateId(lease.gate)]
        runs = tuple(self.run(command, gate.tree, outcome) for command in gate.commands)
        self.tick()
        await self.engine.attempts.complete_gate(session, gate.id, lease.epoch, CompleteRequest(epoch=1, runs=runs))

    def run(self, command: GateCommand, tree: Tree, outcome: GateOutcome) -> GateRun:
        log = f"$ {command.command}\n{outcome} on {tree}\n".encode()
        return GateRun(
            name=command.name,
            command=command.command,
            outcome=outcome,
            exit_code=0 if outcome is GateOutcome.GREEN else 1,
            duration_s=1.5,
            tail=log.decode(),
            log=self.engine.artifacts.put(log),
        )

    async def prepare_attempt(self, ticket: TicketId, epoch: int, session: SessionId = SESSION) -> Commit:
        self.tick()
        preparation = await self.engine.attempts.prepare(session, ticket, epoch, resume=False)
        await self.do(cmd.StartAttempt(ticket=ticket, epoch=epoch, sandbox="none", conversation=f"{ticket}"), session)
        line = json.dumps({"type": "output", "text": f"at work on {ticket}, attempt {epoch}"}).encode() + b"\n"
        self.engine.artifacts.append(session, ticket, epoch, 0, line)
        return preparation.start

    async def write(
        self, ticket: TicketId, epoch: int, files: dict[str, str], outcome: GateOutcome, *, contract: bool = False
    ) -> None:
        """A whole attempt that changes files and runs its gate on them."""
        await self.prepare_attempt(ticket, epoch)
        await self.finish_writing(ticket, epoch, files, outcome, contract=contract)

    async def finish_writing(
        self, ticket: TicketId, epoch: int, files: dict[str, str], outcome: GateOutcome, *, contract: bool = False
    ) -> None:
        await self.engine.attempts.snapshot(SESSION, ticket, epoch, snapshot(files))
        work = (await self.engine.attempts.work(SESSION, ticket, epoch, snapshot({}))).work
        await self.do(cmd.BeginGating(ticket=ticket, epoch=epoch, commit=work.commit))
        await self.complete(ticket, epoch, self.report(work, outcome, contract=contract))

    async def review(self, ticket: TicketId, epoch: int) -> None:
        await self.claim(SESSION)
        await self.prepare_attempt(ticket, epoch)
        await self.complete(ticket, epoch, Report(verdict=Verdict.APPROVE, summary="good"))

    def report(self, work: Work, outcome: GateOutcome, *, contract: bool) -> Report:
        return Report(
            work=work,
            gate_runs=(self.run(FAST, work.tree, outcome),),
            contract=Contract(postconditions=("it says hello",)) if contract else None,
            summary="done",
            usage=Usage(input_tokens=100, output_tokens=10, cost_usd=0.25),
        )

    async def complete(self, ticket: TicketId, epoch: int, report: Report) -> None:
        self.tick()
        transcript = self.engine.artifacts.transcript(SESSION, ticket, epoch).read_bytes()
        closed = {"transcript": hashlib.sha256(transcript).hexdigest(), "transcript_size": len(transcript)}
        request = CompleteRequest(epoch=epoch, report=report.model_copy(update=closed))
        assert await self.engine.attempts.complete(SESSION, ticket, epoch, request)

    async def land(self, outcome: GateOutcome | None) -> None:
        """Take what queues as far as it goes. `outcome` is its gate's; None: no gate will be asked for."""
        await self.step_lander()
        if outcome is None:
            assert self.engine.kernel.session(SESSION).landing is None
        else:
            await self.gate(SESSION, outcome)
            await self.step_lander()

    async def step_saver(self) -> None:
        self.tick()
        while await self.engine.saver.step(SESSION):
            self.tick()

    async def step_lander(self) -> None:
        self.tick()
        while await self.engine.lander.step(SESSION):
            self.tick()
