"""Questions of agents: asked by workers for as long as it takes, answered by whoever decides.

Nothing is kept here but who waits: the question and its answer are facts, so a router that comes back knows both.
"""

from __future__ import annotations

import asyncio

from codeswarm.clock import Clock, within
from codeswarm.domain import commands as cmd, events as ev
from codeswarm.domain.executions import Answer, answer
from codeswarm.domain.ids import SessionId
from codeswarm.engine.kernel import Kernel
from codeswarm.ledger.base import Recorded

_DECIDED = (ev.ApprovalGranted, ev.ApprovalRejected, ev.ApprovalExpired, ev.ApprovalVoided)


class Questions:
    def __init__(self, kernel: Kernel, clock: Clock) -> None:
        self._kernel = kernel
        self._clock = clock
        self._waiting: dict[SessionId, asyncio.Event] = {}
        kernel.observe(self._observe)

    def _observe(self, records: list[Recorded]) -> None:
        for record in records:
            if isinstance(record.event, _DECIDED) and (news := self._waiting.pop(record.session, None)) is not None:
                news.set()

    async def ask(self, session: SessionId, command: cmd.AskPermission, wait_s: float) -> Answer | None:
        """The answer, waiting up to `wait_s` for it; None: not yet. Idempotent. Raises: Refused (stale: it is over)."""
        deadline = self._clock.monotonic() + wait_s
        while True:
            news = self._waiting.setdefault(session, asyncio.Event())
            await self._kernel.execute(session, command)
            found = answer(self._kernel.session(session), command)
            left = deadline - self._clock.monotonic()
            if found is not None or left <= 0:
                return found
            heard = asyncio.ensure_future(news.wait())
            try:
                await within(self._clock, left, heard)
            finally:
                heard.cancel()
