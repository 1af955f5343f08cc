"""People's words on their way to an agent: into its running turn, else into a further one, in the order they came.

What neither takes stands in the prompt of the next attempt. A word is told as delivered once, by whoever delivers it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable, Callable

from codeswarm.protocol import DeliveredRequest, MessageOut, Offer
from codeswarm.worker.line import Line

INTO_THE_TURN, A_FURTHER_TURN = "injected into the running turn", "in a further turn"


class Words:
    def __init__(self, offer: Offer, line: Line, say: Callable[[str], Awaitable[bool]]) -> None:
        """`say` tells whether the running turn took a word."""
        self._offer = offer
        self._line = line
        self._say = say
        self._waiting: deque[MessageOut] = deque()

    async def hear(self, message: MessageOut) -> None:
        """A word came. Those before it go first: what is delivered counts for all that came before."""
        self._waiting.append(message)
        while self._waiting and await self._say(_text(self._waiting[0])):
            await self._delivered(self._waiting.popleft(), INTO_THE_TURN)

    def take(self) -> list[MessageOut]:
        """What no turn took, to be said in the next one."""
        taken = list(self._waiting)
        self._waiting.clear()
        return taken

    async def said(self, messages: list[MessageOut]) -> None:
        """They were said as a turn of their own."""
        for message in messages:
            await self._delivered(message, A_FURTHER_TURN)

    async def _delivered(self, message: MessageOut, how: str) -> None:
        body = DeliveredRequest(epoch=self._offer.epoch, message=message.number, how=how)
        await self._line.delivered(self._offer.id, body)


def prompt_of(messages: list[MessageOut]) -> str:
    return "\n\n".join(map(_text, messages))


def _text(message: MessageOut) -> str:
    return f"A word from {message.by}, who watches over this work:\n\n{message.text}"
