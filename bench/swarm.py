"""A session on a real ledger, driven through the kernel: what the rows about the kernel have in common.

The ledger is a SQLite file on disk with `synchronous=FULL`. Tickets have one phase and no gate; commits are made up,
since no row here is about git.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator, Iterable, Sequence
from pathlib import Path

from bench.clocks import Stopwatch
from codeswarm.clock import SystemClock
from codeswarm.domain import commands as cmd, events as ev
from codeswarm.domain.ids import Commit, SessionId, TicketId, Tree, WorkerId
from codeswarm.domain.landing import next_to_land
from codeswarm.domain.pipeline import AGENT_ROLES
from codeswarm.domain.results import GateOutcome, Receipt, Report, Work
from codeswarm.domain.session import Session
from codeswarm.domain.settings import Settings
from codeswarm.domain.ticket import TicketSpec
from codeswarm.engine.gathering import Submitted
from codeswarm.engine.kernel import Kernel
from codeswarm.ledger.sqlite import SqliteLedger

SESSION = SessionId("bench")
SETTINGS = Settings(roles={"*": ("command:agent",)}, default_pipeline="single")
WORK = Work(commit=Commit("c" * 40), tree=Tree("d" * 40), changed_files=("src/a.py",))
START = Commit("e" * 40)


def dag(count: int, seed: int = 1) -> list[TicketSpec]:
    """Tickets with two blockers each on average, drawn from those shortly before them."""
    draw = random.Random(seed)  # noqa: S311 - a fixed graph, not a secret
    return [_ticket(place, _blockers(draw, place)) for place in range(count)]


def _blockers(draw: random.Random, place: int) -> list[int]:
    near = range(max(0, place - 100), place)
    return sorted(draw.sample(near, min(draw.randint(1, 3), len(near))))


def alone(count: int) -> list[TicketSpec]:
    """Tickets that wait for nothing."""
    return [_ticket(place, ()) for place in range(count)]


def _ticket(place: int, blockers: Iterable[int]) -> TicketSpec:
    blocked_by = tuple(TicketId(f"t{blocker}") for blocker in blockers)
    return TicketSpec(id=TicketId(f"t{place}"), title=f"Ticket number {place}", blocked_by=blocked_by)


def start_command(tickets: Sequence[TicketSpec], session: SessionId = SESSION) -> cmd.StartSession:
    return cmd.StartSession(
        session=session,
        name="",
        goal="to be measured",
        base_branch="main",
        base=Commit("a" * 40),
        base_tree=Tree("b" * 40),
        settings=SETTINGS,
        tickets=tuple(tickets),
        by="bench",
    )


@contextlib.asynccontextmanager
async def started(folder: Path, tickets: Sequence[TicketSpec]) -> AsyncIterator[Kernel]:
    """A kernel whose one session has its plan accepted."""
    await asyncio.to_thread(folder.mkdir, parents=True, exist_ok=True)
    ledger = SqliteLedger(folder / "ledger.sqlite3")
    try:
        kernel = Kernel(ledger, SystemClock())
        kernel.start()
        await kernel.execute(SESSION, start_command(tickets))
        yield kernel
    finally:
        ledger.close()


def claim_command(worker: int) -> cmd.Claim:
    return cmd.Claim(worker=WorkerId(f"w{worker}"), roles=AGENT_ROLES)


def begin_commands(leased: ev.AttemptLeased) -> list[cmd.Command]:
    """What stands between a claim and its completion: the start commit, and the agent's start."""
    return [
        cmd.PrepareAttempt(ticket=leased.ticket, epoch=leased.epoch, start=START),
        cmd.StartAttempt(ticket=leased.ticket, epoch=leased.epoch, sandbox="none"),
    ]


def complete_command(leased: ev.AttemptLeased) -> cmd.CompleteAttempt:
    return cmd.CompleteAttempt(ticket=leased.ticket, epoch=leased.epoch, report=Report(work=WORK))


def submit_build(kernel: Kernel) -> Submitted | None:
    """One ticket from its claim to the landing queue, as far ahead of the disk as it goes. None: none is ready."""
    submitted = kernel.submit(SESSION, claim_command(0))
    leased = submitted.events[0] if submitted.events else None
    if not isinstance(leased, ev.AttemptLeased):
        return None
    for command in (*begin_commands(leased), complete_command(leased)):
        submitted = kernel.submit(SESSION, command)
    return submitted


def submit_landing(kernel: Kernel, watch: Stopwatch) -> Submitted | None:
    """The next landing: the merge, and the commit point that releases the dependents. None: nothing waits.

    `watch` runs while it is chosen and recorded, and not while commits are made up.
    """
    session = kernel.session(SESSION)
    with watch:
        ticket = next_to_land(session)
    if ticket is None or ticket.work is None:
        return None
    number = len(session.landings) + 1
    commit, tree = Commit(f"{number:040x}"), Tree(f"{number:040x}")
    merged = cmd.RecordMerge(ticket=ticket.id, old=session.tip, work=ticket.work, commit=commit, tree=tree)
    land = cmd.LandMerge(landing=number, waivers=(_waiver(number, tree),))
    with watch:
        kernel.submit(SESSION, merged)
        return kernel.submit(SESSION, land)


def _waiver(number: int, tree: Tree) -> Receipt:
    """There is no gate, so a person's word stands for it."""
    said = {"name": "no-gate", "command": "", "outcome": GateOutcome.WAIVED, "by": "bench"}
    return Receipt(id=f"r{number}", tree=tree, exit_code=None, log="", environment="", worker="", **said)


async def run_through(kernel: Kernel) -> Session:
    """Build and land every ticket of the session."""
    while True:
        last = None
        while (submitted := submit_build(kernel)) is not None:
            last = submitted
        while (submitted := submit_landing(kernel, Stopwatch())) is not None:
            last = submitted
        if last is None:
            return kernel.session(SESSION)
        await kernel.durable(last)
        await asyncio.sleep(0)
