"""A person takes over a running attempt: its agent is interrupted, they come in by a door, and leave by a word."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Sequence
from pathlib import Path

from codeswarm.agents.base import Activity, Agent, Attachable, ByHand, Task
from codeswarm.clock import Clock
from codeswarm.domain.states import Handover
from codeswarm.errors import AgentUnavailable
from codeswarm.protocol import Offer, VisitRequest
from codeswarm.sandbox.base import Running
from codeswarm.worker.beneath import files_beneath
from codeswarm.worker.door import Door, Left
from codeswarm.worker.line import Line
from codeswarm.worker.places import Place
from codeswarm.worker.stage import WorkerStage

DOOR = "door"
SHELL = ("/bin/sh", "-c", "exec $(command -v bash || command -v sh) -i")
ON_ITS_TERMINAL = ("/bin/sh", "-c", 'exec setsid -c -w "$@" <&0 >&0 2>&0', "sh")
"""Makes the terminal that is its standard input its own: then Ctrl+C is a signal in there."""
LOOKED_AT_MAX = 10_000
"""Entries of an agent's HOME among which its conversation is looked for: it may have made any number of them."""
GO_ON = """\
A person has interrupted you and worked in this workspace by hand. Files may be other ones than you remember: look at
what has changed, keep it, and go on with your task to its end."""


class Visits:
    def __init__(self, offer: Offer, agent: Agent, stage: WorkerStage, line: Line, clock: Clock, place: Place) -> None:
        self._offer = offer
        self._agent = agent
        self._stage = stage
        self._line = line
        self._clock = clock
        self._place = place
        self._door: Door | None = None
        self.by = ""
        """Who wants in, or is in."""
        self.wanted = asyncio.Event()
        """Set while somebody wants in, or is in."""

    def see_to(self, by: str) -> bool:
        """Somebody wants in. Whether anybody is seen to."""
        if by:
            self.by = by
            self.wanted.set()
        return self.wanted.is_set()

    async def receive(self, task: Task) -> Left:
        """Let the person in, and wait until they have left. `task`: what their conversation goes on with."""
        by_hand = await self._by_hand(task)
        unsaid = Handover.LEAVE if self._offer.visitor else Handover.HAND_BACK
        door = self._door = Door(
            self._place.meta / DOOR, lambda *what: self._start(by_hand, task, *what), self._clock, unsaid
        )
        self._stage.vitals.asked(self._clock.monotonic())
        try:
            await door.open()
            await self._stage.emit(Activity("output", text=f"[{self.by} has taken over]"))
            to = "shell" if by_hand is None else "conversation"
            await self._line.visit(self._offer.id, VisitRequest(epoch=self._offer.epoch, to=to))
            left = await door.left()
        finally:
            await door.close()
            self._stage.vitals.answered(self._clock.monotonic())
        await self._stage.emit(Activity("output", text=f"[{self.by} has left: {left.how}] {left.note}".rstrip()))
        await self._line.visit(self._offer.id, VisitRequest(epoch=self._offer.epoch, how=left.how, note=left.note))
        self.wanted.clear()
        return left

    def cut_off(self) -> None:
        """The attempt ends, and whoever is in must go. Without effect where nobody is let in."""
        if self._door is not None:
            self._door.cut_off()

    async def _by_hand(self, task: Task) -> ByHand | None:
        """None: there is no conversation that a person could go on with; they get a shell."""
        if not task.conversation or not isinstance(self._agent, Attachable):
            return None
        try:
            found = self._agent.by_hand(task, self._stage)
        except AgentUnavailable:
            return None
        kept = await asyncio.to_thread(is_kept, self._stage.home, found.kept, task.conversation)
        return found if kept else None

    async def _start(
        self,
        by_hand: ByHand | None,
        task: Task,
        argv: Sequence[str] | None,
        env: dict[str, str],
        terminal: int | None,
    ) -> Running:
        visit = by_hand or ByHand(SHELL, task.environment())
        chosen = tuple(argv) if argv is not None else visit.argv
        on = () if terminal is None else ON_ITS_TERMINAL
        return await self._stage.start(
            (*on, *chosen),
            {**visit.env, **env},
            visit.visible,
            stdin=_or_nothing(terminal),
            stderr=asyncio.subprocess.STDOUT,
        )


def is_kept(home: Path, where: str, conversation: str) -> bool:
    """Whether an agent's HOME holds a conversation: a file below it that is named by that. Blocks."""
    return not where or any(conversation in name for name in files_beneath(home, where, LOOKED_AT_MAX))


def _or_nothing(terminal: int | None) -> int:
    return asyncio.subprocess.DEVNULL if terminal is None else terminal


def prompt_after(task: Task, left: Left) -> str:
    """What the agent is told that has its attempt back: its task, too, for an adapter begins a conversation anew that
    was never kept.
    """
    said = f"\n\nThe person says:\n{left.note}" if left.note else ""
    return f"{task.prompt}\n\n{GO_ON}{said}"


def again(task: Task, conversation: str, *, resume: bool) -> Task:
    """The task of a conversation that is opened once more."""
    goes_on = resume and bool(conversation)
    return dataclasses.replace(task, resume=goes_on, conversation=conversation or task.conversation)
