"""The worker: a process on a node that hosts agents. Slots pull leases; each is supervised one for one.

A slot that fails is started again, after a growing pause, and the router is told; the router counts and decides when
it is too much. The worker ends when it is told to, or when its router stays away for longer than it can wait.
"""

from __future__ import annotations

import asyncio
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from codeswarm.agents.base import Agent, AgentSpec
from codeswarm.clock import Clock
from codeswarm.domain.pipeline import AGENT_ROLES, Role
from codeswarm.errors import RouterUnreachable
from codeswarm.failpoints import reach
from codeswarm.protocol import ClaimRequest, Offer, RestartRequest, WorkerHello
from codeswarm.router_client import RouterRefused
from codeswarm.worker.attempt import Attempt
from codeswarm.worker.line import Line
from codeswarm.worker.outbox import Outbox
from codeswarm.worker.tools import Tools
from codeswarm.worker.verify import serve_gate

CLAIM_WAIT_S = 20.0
FIRST_PAUSE_S = 0.5
LONGEST_PAUSE_S = 30.0
VISITS: frozenset[Role] = frozenset()
"""The roles of a slot that lets people in to tickets at rest: whatever these are, no agent starts."""

MakeAgent = Callable[[AgentSpec], Agent]
MakeTools = Callable[[str], Tools]
"""Kind of sandbox → tools of one lease, that work with it. Raises: SandboxUnavailable."""
Log = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Identity:
    """Which process a worker is, beyond doubt."""

    worker: str
    pid: int
    started: float
    boot: str


class _NotWanted(Exception):
    """The router has no place for this worker: others serve its slots."""


class Worker:
    def __init__(
        self,
        identity: Identity,
        line: Line,
        outbox: Outbox,
        make_tools: MakeTools,
        make_agent: MakeAgent,
        clock: Clock,
        log: Log,
        *,
        slots: int,
        labels: frozenset[str] = frozenset(),
        accounts: Mapping[str, str] = {},
        terms: str = "",
        only_visits: bool = False,
    ) -> None:
        """`only_visits`: it lets people in to tickets at rest, and starts no agent and no gate of the queue."""
        self._identity = identity
        self._line = line
        self._outbox = outbox
        self._make_tools = make_tools
        self._make_agent = make_agent
        self._clock = clock
        self._log = log
        self._slots = slots
        self._labels = labels
        self._accounts = dict(accounts)
        self._terms = terms
        self._only_visits = only_visits
        self._session = ""

    async def run(self) -> None:
        """Serve until cancelled, or until the router is gone for good (an ordinary end)."""
        try:
            await self._introduce()
            await empty_outbox(self._outbox, self._line, self._log)
            async with asyncio.TaskGroup() as slots:
                for name, roles in self._all_slots().items():
                    slots.create_task(self._supervise(name, roles))
        except* RouterUnreachable:
            self._log("the router is gone; this worker ends")
        except* _NotWanted as group:
            self._log(f"this worker ends: {group.exceptions[0]}")

    async def _introduce(self) -> None:
        who = self._identity
        hello = WorkerHello(
            worker=who.worker,
            pid=who.pid,
            started=who.started,
            boot=who.boot,
            slots=self._slots,
            labels=tuple(sorted(self._labels)),
            terms=self._terms,
        )
        try:
            await self._line.hello(hello)
        except RouterRefused as refused:
            raise _NotWanted(refused.what) from refused

    # ── slots ──

    def _all_slots(self) -> dict[str, frozenset[Role]]:
        """One for gates and one for people beside those for agents: neither waits for an agent's end."""
        if self._only_visits:
            return {"visits": VISITS}
        agents = {f"slot {number + 1}": AGENT_ROLES for number in range(self._slots)}
        return {**agents, "verifier": frozenset({Role.VERIFIER}), "visits": VISITS}

    async def _supervise(self, name: str, roles: frozenset[Role]) -> None:
        """One for one: a slot that dies is started again, the others never notice."""
        pause = FIRST_PAUSE_S
        while True:
            try:
                await self._serve(roles)
                pause = FIRST_PAUSE_S
            except RouterUnreachable:
                await self._introduce()
            except Exception as error:  # noqa: BLE001 - whatever kills a slot is reported, and the slot comes back
                self._log(f"{name} died: {''.join(traceback.format_exception(error))}")
                await self._report(f"{name}: {type(error).__name__}: {error}")
                await self._clock.sleep(pause)
                pause = min(pause * 2, LONGEST_PAUSE_S)

    async def _report(self, reason: str) -> None:
        if not self._session:
            return
        body = RestartRequest(worker=self._identity.worker, reason=reason[:2000], session=self._session)
        try:
            await self._line.restarted(body)
        except RouterRefused as refused:
            self._log(f"a restart could not be reported: {refused.what}")

    async def _serve(self, roles: frozenset[Role]) -> None:
        """Claim and work, one lease at a time. An idle claim that ends without work is made again."""
        request = ClaimRequest(
            worker=self._identity.worker,
            roles=roles,
            labels=self._labels,
            accounts=self._accounts,
            wait_s=CLAIM_WAIT_S,
            visits=roles == VISITS,
        )
        offer = await self._line.claim(request)
        if offer is None:
            return
        reach("worker.claimed")
        self._session = offer.session
        tools = self._make_tools(offer.workspace.settings.sandbox)
        if offer.gate is not None:
            await serve_gate(tools, offer)
        else:
            await Attempt(offer, self._agent(offer), tools).run()

    def _agent(self, offer: Offer) -> Agent | None:
        return None if offer.role is Role.VERIFIER else self._make_agent(AgentSpec.parse(offer.agent))


async def empty_outbox(outbox: Outbox, line: Line, log: Log) -> None:
    """Send what a worker before us could not.

    A letter goes away once it has arrived, or is stale: what it tells is known then, or will never be wanted. One that
    can never be taken is put aside. Whatever else is wrong is the router's own trouble: the letter waits for the next
    worker that starts.
    """
    for letter in outbox.letters():
        try:
            await line.post(letter.path, letter.body)
        except RouterRefused as refused:
            log(f"{letter.path} was refused: {refused}")
            if refused.for_good and not refused.stale:
                outbox.refused(letter, str(refused))
            elif not refused.stale:
                continue
        outbox.arrived(letter)
