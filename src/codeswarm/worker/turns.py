"""The turns of an attempt's conversation: that of its prompt, and one more where the attempt comes to a cap.

An agent that comes to a cap is stopped in its turn and asked what is done and what is left. That turn is bounded in
time and in tokens; after it the attempt has ended over budget, whatever was said. Its work is kept by others.
"""

from __future__ import annotations

import asyncio
from typing import Any

from codeswarm.agents.base import Activity, Conversation, Ending
from codeswarm.clock import Clock, within
from codeswarm.domain.results import FailureClass, Usage
from codeswarm.protocol import HandBackOut
from codeswarm.worker.stage import WorkerStage

ASKED = """\
The budget for this work is used up, so it ends here; your files are kept as they are.
Change nothing any more and run nothing. Say in at most twenty lines, for whoever goes on with it:
what is done, what is left, and what you learned that is not in the files."""
SHOWN = 4000
"""Characters of what an agent hands back."""


class Turns:
    def __init__(self, stage: WorkerStage, clock: Clock, grace_s: float, *, more: bool) -> None:
        """`more`: whether the agent's conversations take another turn. `grace_s`: to end one that is interrupted."""
        self._stage = stage
        self._clock = clock
        self._grace_s = grace_s
        self._more = more
        self._order: asyncio.Future[HandBackOut] = asyncio.get_running_loop().create_future()

    async def tell(self, order: HandBackOut) -> None:
        """The attempt came to a cap. Told twice is told once."""
        if not self._order.done():
            self._order.set_result(order)

    async def run(self, conversation: Conversation, prompt: str) -> Ending:
        """The prompt's turn. What was finished before anybody could stop it counts as it is."""
        turn = asyncio.ensure_future(conversation.turn(prompt))
        try:
            await _first(turn, self._order)
            if turn.done():
                return turn.result()
            order = self._order.result()
            await self._stage.emit(Activity("output", text=f"[over budget: {order.why}]"))
            ended = await self._stop(conversation, turn)
            words = await self._hand_back(conversation, order) if ended and self._more else ""
        finally:
            turn.cancel()
            await asyncio.gather(turn, return_exceptions=True)
        last = Ending() if turn.cancelled() else turn.result()
        said = (words or last.summary)[:SHOWN]
        message = order.why + (f"\n\nit handed back:\n{said}" if said else "")
        return Ending.failed(FailureClass.OVER_BUDGET, message, usage=self._newest(last), summary=said)

    def _newest(self, last: Ending) -> Usage:
        """What the stage has heard last is newer than how the interrupted turn ended."""
        return last.usage if self._stage.usage == Usage() else self._stage.usage

    async def _stop(self, conversation: Conversation, turn: asyncio.Future[Ending]) -> bool:
        """Interrupt a turn; whether it came to its end by itself. One that does not is ended with its program."""
        asking = asyncio.ensure_future(conversation.interrupt())
        ended = await within(self._clock, self._grace_s, turn)
        asking.cancel()
        await asyncio.gather(asking, return_exceptions=True)
        if not ended:
            await self._stage.end_all()
            await within(self._clock, self._grace_s, turn)
        return ended

    async def _hand_back(self, conversation: Conversation, order: HandBackOut) -> str:
        """What the agent says in its last turn, as far as it comes within its bounds."""
        before = self._stage.usage.tokens or 0
        turn = asyncio.ensure_future(conversation.turn(ASKED))
        spending = asyncio.ensure_future(self._stage.metered(lambda used: (used.tokens or 0) - before >= order.tokens))
        try:
            enough = asyncio.ensure_future(_first(turn, spending))
            await within(self._clock, order.seconds, enough)
            enough.cancel()
            if not turn.done():
                await self._stop(conversation, turn)
            return turn.result().summary if turn.done() else ""
        finally:
            for task in (turn, spending):
                task.cancel()
            await asyncio.gather(turn, spending, return_exceptions=True)


async def _first(*futures: asyncio.Future[Any]) -> None:
    await asyncio.wait(futures, return_when=asyncio.FIRST_COMPLETED)
