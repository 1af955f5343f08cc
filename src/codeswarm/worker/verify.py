"""Gates under a lease: a phase's gate within its attempt, or a gate of the queue by itself."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from codeswarm.domain.results import GateCommand, GateOutcome, GateRun
from codeswarm.errors import CodeswarmError, RouterUnreachable, disk_full
from codeswarm.failpoints import reach
from codeswarm.git.identity import Identity
from codeswarm.protocol import CompleteRequest, Offer, ReleaseRequest
from codeswarm.router_client import RouterRefused
from codeswarm.worker.gate import GateContext
from codeswarm.worker.line import complete_letter, release_letter
from codeswarm.worker.outbox import Letter
from codeswarm.worker.setup import SetupFailed
from codeswarm.worker.tools import LeaseLost, Tools
from codeswarm.worker.watch import Stop, under_lease

TRIES = 4
FIRST_PAUSE_S = 0.5
"""A gate that could not run is run again, after a pause that doubles, before its lease is given up for it."""

GATE_IDENTITY = Identity("Gate", "gate@codeswarm.invalid")


async def run_gates(
    tools: Tools, offer: Offer, commands: tuple[GateCommand, ...], context: GateContext
) -> tuple[GateRun, ...] | Stop:
    """Gate commands on `context.head` while the lease is kept alive; why it had to end early otherwise.

    Raises: LeaseLost.
    """
    if not commands:
        return ()
    return await under_lease(tools.line, offer, _run_patiently(tools, offer, commands, context))


async def _run_patiently(
    tools: Tools, offer: Offer, commands: tuple[GateCommand, ...], context: GateContext
) -> tuple[GateRun, ...]:
    """Once more where a gate could not run: that says nothing about the work. A set-up may take minutes: twice."""
    pause = FIRST_PAUSE_S
    for _ in range(TRIES - 1):
        runs = await _run(tools, offer, commands, context)
        if runs[-1].outcome is not GateOutcome.UNAVAILABLE or (runs[-1].setup_failed and pause > FIRST_PAUSE_S):
            return runs
        await tools.clock.sleep(pause)
        pause *= 2
    return await _run(tools, offer, commands, context)


async def _run(
    tools: Tools, offer: Offer, commands: tuple[GateCommand, ...], context: GateContext
) -> tuple[GateRun, ...]:
    """In a clean workspace without network, which goes away afterwards. What can't be set up could not run."""
    place = tools.places.attempt(offer.session, offer.subject, offer.epoch, "gate")
    try:
        if place.root.exists():
            await asyncio.to_thread(tools.maker.remove, place)
        workspace = await tools.maker.make(
            place, offer.workspace, context.head, "gate", GATE_IDENTITY, place.root / "home", network=False
        )
        try:
            return await tools.gates.run(workspace, commands, context)
        finally:
            workspace.let_go()
    except SetupFailed as failed:
        first = commands[0]
        unset = GateRun(name=first.name, command=first.command, outcome=GateOutcome.UNAVAILABLE, setup_failed=True)
        return (unset.model_copy(update={"reason": failed.what, "tail": failed.why}),)
    except (CodeswarmError, OSError) as error:
        first, reason = commands[0], str(error)[-3000:]
        return (GateRun(name=first.name, command=first.command, outcome=GateOutcome.UNAVAILABLE, reason=reason),)
    finally:
        if place.root.exists():
            await asyncio.to_thread(tools.maker.remove, place)


async def serve_gate(tools: Tools, offer: Offer) -> None:
    """A gate of the queue, from lease to report."""
    order = offer.gate
    assert order is not None
    context = GateContext(offer.session, order.ticket, order.base, order.commit, order.changed_files)
    try:
        runs = await run_gates(tools, offer, order.commands, context)
    except LeaseLost:
        return
    if isinstance(runs, Stop):
        path, body = release_letter(offer.id, ReleaseRequest(epoch=offer.epoch, reason=runs.reason))
    else:
        path, body = complete_letter(offer.id, CompleteRequest(epoch=offer.epoch, runs=runs))
    await post(tools, f"{offer.session}.{offer.subject}.{offer.epoch}", path, body)


def _written(tools: Tools, name: str, path: str, body: dict[str, object]) -> Letter:
    """A letter on disk; where that is full in memory alone: the router, too, takes it only once there is room."""
    try:
        return tools.outbox.put(name, path, body)
    except OSError as error:
        if disk_full(error) is None:
            raise
        return tools.outbox.unwritten(name, path, body)


async def post(
    tools: Tools, name: str, path: str, body: dict[str, object], between: Callable[[], Awaitable[None]] | None = None
) -> None:
    """Send what must arrive: on disk first, then again and again. A refusal as stale is an answer, too.

    `between` is done once it is on disk, and before anyone is told.
    """
    letter = _written(tools, name, path, body)
    reach("worker.letter_written")
    if between is not None:
        await between()
    try:
        await tools.line.post(letter.path, letter.body)
        reach("worker.letter_sent")
    except RouterRefused as refused:
        if not refused.stale:
            raise
    except RouterUnreachable:
        return
    tools.outbox.arrived(letter)
