"""Watches over a running attempt: keeps its lease alive, carries words in, snapshots, and knows when it is enough.

No tokens are spent on any of it. The watch ends with a reason; the attempt then brings its agent to an end.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from dataclasses import dataclass
from math import inf
from typing import Any, TypeVar

from codeswarm.clock import Clock
from codeswarm.domain.results import Evidence, FailureClass, Usage, UsageWindow
from codeswarm.domain.states import AgentState
from codeswarm.errors import CodeswarmError, RouterUnreachable
from codeswarm.protocol import HandBackOut, Heartbeat, MessageOut, Offer, VitalSign
from codeswarm.router_client import RouterRefused
from codeswarm.worker.line import Line
from codeswarm.worker.processes import blocked_in
from codeswarm.worker.stage import WorkerStage
from codeswarm.worker.tools import LeaseLost
from codeswarm.worker.vitals import ACTED_ON, Vital, in_words
from codeswarm.worker.words import Words

T = TypeVar("T")

LONGEST_WAIT_S = 60.0
"""The longest that a heartbeat may ask the router to wait, however long the heart is told to rest."""

LOOK_S = 15.0
"""So often it is looked what an agent has running; oftener at first, and where a limit is shorter than a few looks."""
FIRST_S, LEAST_S = 0.5, 0.05
REST_S = 60.0
"""The same while it waits for a person or for its provider."""

UNKNOWN = Usage()
Hear = Callable[[MessageOut], Awaitable[None]]
HandBack = Callable[[HandBackOut], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Stop:
    """Why an attempt must end now. `lost`: the lease is not ours any more, and nothing more is reported under it."""

    failure_class: FailureClass
    reason: str
    lost: bool = False
    evidence: Evidence | None = None


async def keep_alive(
    line: Line,
    offer: Offer,
    seen: int = 0,
    hear: Hear | None = None,
    vital: Callable[[], VitalSign | None] = lambda: None,
    *,
    usage: Callable[[], Usage | None] = lambda: None,
    windows: Callable[[], tuple[UsageWindow, ...]] = tuple,
    hand_back: HandBack | None = None,
    attach: Callable[[str], bool] | None = None,
) -> Stop:
    """Renew a lease by long heartbeats until it is lost or the router wants it ended; `hear` gets people's words.

    `usage`, `windows`: the newest figures, told with each heartbeat. `hand_back` is told once, at a cap.
    `attach` is told who wants to take the attempt over, and answers whether somebody is seen to.
    """
    heard = False
    asked = False
    while True:
        body = Heartbeat(
            epoch=offer.epoch,
            messages_seen=seen,
            wait_s=min(offer.heartbeat_s, LONGEST_WAIT_S),
            vital=vital(),
            usage=usage(),
            windows=windows(),
            handing_back=heard,
            attending=asked if attach is None else attach(""),
        )
        try:
            pulse = await line.heartbeat(offer.id, body)
        except (RouterRefused, RouterUnreachable) as error:
            return Stop(FailureClass.LOST, error.what, lost=True)
        if pulse.cancel is not None:
            return Stop(FailureClass.CANCELLED, pulse.cancel)
        if pulse.hand_back is not None and not heard:
            heard = True
            if hand_back is not None:
                await hand_back(pulse.hand_back)
        if pulse.attach:
            asked = True
            if attach is not None:
                attach(pulse.attach)
        for message in pulse.messages:
            seen = message.number
            if hear is not None:
                await hear(message)


async def under_lease(line: Line, offer: Offer, work: Coroutine[Any, Any, T]) -> T | Stop:
    """Do something while its lease is kept alive; why it had to end early, where the router wants it ended.

    Raises: LeaseLost, and whatever `work` raises.
    """
    keeping = asyncio.create_task(keep_alive(line, offer))
    doing = asyncio.create_task(work)
    try:
        await asyncio.wait({keeping, doing}, return_when=asyncio.FIRST_COMPLETED)
        if doing.done():
            return doing.result()
        stop = keeping.result()
    finally:
        for task in (keeping, doing):
            task.cancel()
        await asyncio.gather(keeping, doing, return_exceptions=True)
    if stop.lost:
        raise LeaseLost(stop.reason)
    return stop


@contextlib.asynccontextmanager
async def beating(line: Line, offer: Offer, clock: Clock) -> AsyncIterator[None]:
    """Keep a lease alive beside what must be done to its end, even for a router that wants it ended."""
    task = asyncio.create_task(_beat(line, offer, clock))
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def _beat(line: Line, offer: Offer, clock: Clock) -> None:
    """Until the lease is lost: whoever then brings something is told so."""
    with contextlib.suppress(RouterRefused, RouterUnreachable):
        while True:
            await line.heartbeat(offer.id, Heartbeat(epoch=offer.epoch, messages_seen=0, wait_s=0))
            await clock.sleep(offer.heartbeat_s)


class Watch:
    """`snapshot` takes one and tells whether anything had changed; `say` tells whether the agent took a word."""

    def __init__(
        self,
        offer: Offer,
        line: Line,
        stage: WorkerStage,
        clock: Clock,
        snapshot: Callable[[], Awaitable[bool]],
        *,
        messages_seen: int,
        say: Callable[[str], Awaitable[bool]],
        received: Callable[[], int | None] = lambda: None,
        hand_back: HandBack | None = None,
        attach: Callable[[str], bool] | None = None,
        words: Words | None = None,
    ) -> None:
        """`received`: how many bytes its model has sent so far, where something knows that."""
        self._offer = offer
        self._line = line
        self._stage = stage
        self._clock = clock
        self._snapshot = snapshot
        self._seen = messages_seen
        self._words = Words(offer, line, say) if words is None else words
        self._received = received
        self._hand_back = hand_back
        self._attach = attach
        self._began = clock.monotonic()

    async def run(self) -> Stop:
        """Until something demands an end. Cancelled when the agent has ended by itself."""
        watches = [self._hearts(), self._snapshots(), self._time(), self._vitals()]
        tasks = [asyncio.ensure_future(watch) for watch in watches]
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            # Of several reasons at once the lease counts first: what is not ours any more is not reported as our fault.
            return next(task for task in tasks if task in done).result()
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _hearts(self) -> Stop:
        def usage() -> Usage | None:
            return None if self._stage.usage == UNKNOWN else self._stage.used(self._stage.usage)

        return await keep_alive(
            self._line,
            self._offer,
            self._seen,
            self._hear,
            self._vital_sign,
            usage=usage,
            windows=lambda: tuple(self._stage.windows.values()),
            hand_back=self._hand_back,
            attach=self._attach,
        )

    def _vital_sign(self) -> VitalSign:
        vital = self._stage.vitals.now
        for_s = max(self._clock.monotonic() - vital.since, 0.0)
        return VitalSign(state=vital.state, for_s=for_s, doing=vital.doing, until_ms=vital.until_ms)

    async def _hear(self, message: MessageOut) -> None:
        """A word into the running turn. What the agent takes none of now stands in the next prompt."""
        await self._words.hear(message)

    async def _snapshots(self) -> Stop:
        """One at the end of every turn and at every heartbeat; none where nothing changed."""
        while True:
            turned = asyncio.ensure_future(self._stage.turned.wait())
            timer = asyncio.ensure_future(self._clock.sleep(self._offer.heartbeat_s))
            try:
                await asyncio.wait({turned, timer}, return_when=asyncio.FIRST_COMPLETED)
            finally:
                turned.cancel()
                timer.cancel()
            self._stage.turned.clear()
            try:
                if await self._snapshot():
                    self._stage.vitals.changed(self._clock.monotonic())
            except RouterRefused as refused:
                if refused.stale:
                    return Stop(FailureClass.LOST, str(refused.what), lost=True)
            except (CodeswarmError, OSError):
                continue  # the next snapshot holds what this one could not bring home

    async def _time(self) -> Stop:
        """What of it was spent waiting for a person or a provider is not the agent's own."""
        limit = self._offer.attempt_timeout_s
        while (left := limit - self._own_time_s()) > 0:
            await self._clock.sleep(left)
        return Stop(FailureClass.TIMED_OUT, f"the attempt did not end within {limit:g} s")

    def _own_time_s(self) -> float:
        now = self._clock.monotonic()
        return now - self._began - self._stage.vitals.rested_s(now)

    async def _vitals(self) -> Stop:
        """Until it gives no sign of life any more that would explain its silence, or is gone."""
        vitals, rest_s, most_s = self._stage.vitals, FIRST_S, min(LOOK_S, self._offer.patience.shortest_s / 4)
        while True:
            rest_s = min(2 * rest_s, most_s) if vitals.left_s < inf else REST_S
            await self._clock.sleep(min(max(vitals.left_s, LEAST_S), rest_s))
            vital = vitals.look(await self._stage.tree(rest_s / 2), self._clock.monotonic(), self._received())
            if vital.state in ACTED_ON:
                return self._act_on(vital)

    def _act_on(self, vital: Vital) -> Stop:
        seen = self._stage.vitals.evidence(blocked_in)
        gone = vital.state is AgentState.GONE
        reason = f"the agent {'is gone' if gone else 'stalled'}: {vital.doing}\n{in_words(seen)}"
        return Stop(FailureClass.LOST if gone else FailureClass.HUNG, reason, evidence=seen)
