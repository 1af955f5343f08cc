"""The part of an attempt in which its agent runs: begun, watched over, brought to an end, its files brought home."""

from __future__ import annotations

import asyncio
import dataclasses
import json
import os
import re
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from codeswarm.agents.base import Agent, Conversation, Ending, Task
from codeswarm.agents.replay.recording import Recorder, recording_path
from codeswarm.domain.results import Failure, FailureClass, LeftOut, Usage
from codeswarm.domain.states import Handover
from codeswarm.egress.way_out import WayOut
from codeswarm.errors import AgentUnavailable, CodeswarmError
from codeswarm.failpoints import reach
from codeswarm.git.changes import Changes
from codeswarm.protocol import NAME, ConversationRequest, Offer, Preparation, SnapshotAnswer, StartRequest, WorkAnswer
from codeswarm.router_client import RouterRefused
from codeswarm.worker.answer import Answer, read_answer
from codeswarm.worker.asking import ask_router
from codeswarm.worker.beneath import replace_left
from codeswarm.worker.commits import keep_commits
from codeswarm.worker.denials import Denials
from codeswarm.worker.door import Left
from codeswarm.worker.snapshots import Limits, Snapshotter
from codeswarm.worker.stage import WorkerStage
from codeswarm.worker.tools import LeaseLost, Tools
from codeswarm.worker.transcript import Transcript
from codeswarm.worker.turns import Turns
from codeswarm.worker.visits import Visits, again, prompt_after
from codeswarm.worker.vitals import Vitals
from codeswarm.worker.watch import Stop, Watch, beating
from codeswarm.worker.words import Words, prompt_of
from codeswarm.worker.workspace import Workspace

STOP_GRACE_S = 10.0
"""How long an agent that was told to stop may take to end its turn by itself."""
CANCEL_GRACE_S = 0.5
"""The same where somebody waits for it: a cancel is to be over within a second, whatever an agent makes of it."""
BUNDLE, RESULT = "bundle.json", "result.json"
_LEFT = {
    Handover.HAND_BACK: "has handed it back: an agent goes on",
    Handover.DISCARD: "had taken it over, and has discarded it",
    Handover.LEAVE: "has left it: the ticket rests as before",
}
"""Why an attempt ends that a person has taken over."""


@dataclass(frozen=True, slots=True)
class Played:
    """How it went. The agent and everything it started are gone; its files are in the store."""

    ending: Ending
    stop: Stop | None
    answer: Answer
    home: WorkAnswer
    exceeded: tuple[str, ...] = ()
    """The limits that it ran into, in words."""


class Play:
    def __init__(
        self, offer: Offer, agent: Agent, preparation: Preparation, workspace: Workspace, tools: Tools
    ) -> None:
        self._offer = offer
        self._agent = agent
        self._preparation = preparation
        self._workspace = workspace
        self._tools = tools
        self._conversation: Conversation | None = None
        self._recorder = self._make_recorder()
        self._snapshots = Snapshotter(
            workspace.place,
            tools.sandbox,
            Limits(offer.workspace.settings.max_file_bytes, offer.workspace.settings.max_ignored_bytes),
            gitlinks=preparation.gitlinks,
            never=workspace.secrets,
            view=workspace.view,
            secrets=tools.secrets,
        )
        self.transcript = Transcript(workspace.place.meta / "transcript.jsonl", tools.clock, self._ship)
        self._denials = Denials(tools.line, offer)
        self._stage = WorkerStage(
            tools.sandbox,
            workspace.box,
            workspace.environment,
            self.transcript,
            tools.clock,
            lambda kind, match: tools.line.saw(offer.session, kind, match),
            Vitals(offer.patience, tools.clock.monotonic()),
            tools.tables,
            self._recorder,
            self._make_way_out(),
            tools.secrets,
            (lambda question: ask_router(tools.line, offer, question)) if offer.ask else None,
            locks=tools.places.logins,
        )
        self._words = Words(offer, tools.line, self._say)
        self._visits = Visits(offer, agent, self._stage, tools.line, tools.clock, workspace.place)
        self._turns = Turns(self._stage, tools.clock, STOP_GRACE_S, more=agent.can.turns)

    async def play(self) -> Played:
        """Raises: LeaseLost; RouterUnreachable where the files could not be brought home (they stay where they are)."""
        task = await self._begin()
        shipping = asyncio.create_task(self.transcript.keep_shipping())
        try:
            ending, stop = await self._run_agent(task)
            reach("worker.agent_done")
            await self._stage.end_all()
            await self._denials.told()
            if stop is not None and stop.lost:
                raise LeaseLost(stop.reason)
            answer = await asyncio.to_thread(read_answer, self._workspace.place.run / RESULT, ending.summary)
            ending = dataclasses.replace(ending, usage=self._used(ending, answer))
            async with beating(self._tools.line, self._offer, self._tools.clock):
                home = await self._bring_home()
                home = await self._keep_commits(home)
            self._finish_recording(answer, ending)
            return Played(ending, stop, answer, home, self._stage.exceeded())
        finally:
            shipping.cancel()
            await self._stage.end_all()
            await self._let_go()
            if self._recorder is not None:
                self._recorder.close()

    async def _begin(self) -> Task:
        offer, preparation = self._offer, self._preparation
        inside = self._tools.sandbox.inside(self._workspace.box)
        if offer.ask and not self._agent.can.ask and not offer.visitor:
            raise AgentUnavailable(
                f"{self._agent.spec} can't be made to ask before it runs something",
                "policy.commands or policy.commands_deny of this session wants that",
                f"codeswarm resume {offer.session} --agent claude",
            )
        await asyncio.to_thread(put_bundle, self._workspace.place.run, preparation.bundle)
        lacks = await asyncio.to_thread(self._tools.sandbox.lacks, self._workspace.box.limits)
        conversation = offer.conversation if preparation.resumed else "" if offer.visitor else str(uuid.uuid4())
        known = preparation.resumed or not self._agent.can.name
        request = StartRequest(
            epoch=offer.epoch,
            sandbox=self._tools.sandbox.kind,
            conversation=conversation if self._agent.can.resume and known else "",
            resumed=preparation.resumed,
            lacks=tuple(f"{lack.what} ({lack.why})" for lack in lacks),
            told=preparation.told,
        )
        await self._tools.line.start(offer.id, request)
        return Task(
            session=offer.session,
            ticket=offer.subject,
            phase=offer.phase,
            role=offer.role,
            attempt=offer.attempt,
            epoch=offer.epoch,
            prompt=preparation.prompt,
            inside=inside,
            bundle=inside.run / BUNDLE,
            result=inside.run / RESULT,
            conversation=conversation,
            resume=preparation.resumed,
            used=offer.used if preparation.resumed else Usage(),
            trusted=preparation.trusted,
            ask=offer.ask,
        )

    def _used(self, ending: Ending, answer: Answer) -> Usage:
        """As its program told; where that told nothing, as the answer says: a model may say anything."""
        told = self._stage.used(ending.usage)
        return told if told.is_told or answer.usage is None else self._stage.used(answer.usage)

    def _make_way_out(self) -> WayOut | None:
        """None: there are no walls around the network, or nothing may be reached through them."""
        settings, tools = self._offer.workspace.settings, self._tools
        if not (settings.agent_network and tools.sandbox.own_network):
            return None
        folder = self._workspace.place.root / "way-out"
        return WayOut(settings.network, tools.maker.outlook, folder, tools.clock, self._denials.tell)

    # ── the agent's turn ──

    async def _run_agent(self, task: Task) -> tuple[Ending, Stop | None]:
        """The agent under watch: whichever ends first ends the other."""
        watch = Watch(
            self._offer,
            self._tools.line,
            self._stage,
            self._tools.clock,
            self._snapshot,
            messages_seen=self._preparation.messages_seen,
            say=self._say,
            received=self._stage.received,
            hand_back=self._turns.tell,
            attach=self._visits.see_to,
            words=self._words,
        )
        talking = asyncio.create_task(self._talk(task))
        watching = asyncio.create_task(watch.run())
        try:
            await asyncio.wait({talking, watching}, return_when=asyncio.FIRST_COMPLETED)
            if talking.done():
                return talking.result(), None
            stop = watching.result()
            self._stage.admit_no_more()
            hurried = stop.lost or stop.failure_class is FailureClass.CANCELLED
            grace_s = CANCEL_GRACE_S if hurried else STOP_GRACE_S
            return await self._bring_to_an_end(talking, grace_s), stop
        finally:
            for running in (watching, talking):
                running.cancel()
            await asyncio.gather(watching, talking, return_exceptions=True)

    async def _talk(self, task: Task) -> Ending:
        """The conversation from its beginning to the end of its program."""
        if self._offer.visitor:
            self._visits.see_to(self._offer.visitor)
            return self._left_by_hand(await self._visits.receive(task))
        conversation = self._conversation = await self._agent.open(task, self._stage)
        self._stage.vitals.started(self._tools.clock.monotonic())
        await self._tell_name(conversation.id)
        ending = await self._turns_from(conversation, task.prompt)
        while self._visits.wanted.is_set():
            await self._close(conversation)
            task = again(task, conversation.id, resume=self._agent.can.resume)
            left = await self._visits.receive(dataclasses.replace(task, used=self._stage.usage))
            if left.how is not Handover.HAND_BACK:
                return self._left_by_hand(left)
            conversation = self._conversation = await self._agent.open(task, self._stage)
            ending = await self._turns_from(conversation, prompt_after(task, left))
        at_its_end = await self._close(conversation)
        return ending if ending.failure is not None else dataclasses.replace(ending, failure=at_its_end)

    async def _turns_from(self, conversation: Conversation, prompt: str) -> Ending:
        """A turn, and further ones for what people said that it did not take."""
        ending = await self._turn(conversation, prompt)
        while ending.failure is None and self._agent.can.turns and not self._visits.wanted.is_set():
            if not (messages := self._words.take()):
                break
            further = asyncio.ensure_future(self._turn(conversation, prompt_of(messages)))
            try:
                await self._words.said(messages)
                ending = await further
            finally:
                further.cancel()
                await asyncio.gather(further, return_exceptions=True)
        return ending

    async def _turn(self, conversation: Conversation, prompt: str) -> Ending:
        """A turn to its end, which a person who wants to take over brings about."""
        turning = asyncio.ensure_future(self._turns.run(conversation, prompt))
        wanted = asyncio.ensure_future(self._visits.wanted.wait())
        try:
            await asyncio.wait({turning, wanted}, return_when=asyncio.FIRST_COMPLETED)
            if not turning.done():
                await self._bring_to_an_end(turning, STOP_GRACE_S)
            return await turning
        finally:
            for task in (turning, wanted):
                task.cancel()
            await asyncio.gather(turning, wanted, return_exceptions=True)

    def _left_by_hand(self, left: Left) -> Ending:
        """What a person who has taken over makes of the attempt."""
        if left.how is not Handover.COMPLETE:
            return Ending.failed(FailureClass.CANCELLED, f"{self._visits.by} {_LEFT[left.how]}")
        return Ending(usage=self._stage.usage, summary=left.note or "completed by hand")

    async def _tell_name(self, name: str) -> None:
        """What an agent calls its conversation is known before it does anything. Whatever is no name is none."""
        if self._agent.can.resume and self._agent.can.name and re.fullmatch(NAME, name):
            request = ConversationRequest(epoch=self._offer.epoch, conversation=name)
            await self._tools.line.conversation(self._offer.id, request)

    async def _say(self, text: str) -> bool:
        return self._conversation is not None and await self._conversation.say(text)

    async def _close(self, conversation: Conversation) -> Failure | None:
        """An agent that has had its turn but does not end is ended, and says nothing to be trusted."""
        closing = asyncio.ensure_future(conversation.close())
        if await self._within(STOP_GRACE_S, closing):
            return closing.result()
        await self._stage.end_all()
        await closing
        message = f"the agent did not end within {STOP_GRACE_S:g} s of its turn"
        return Failure(failure_class=FailureClass.HUNG, message=message)

    async def _let_go(self) -> None:
        """What an adapter holds of a program that has gone. How it ended has been told, or nobody asks any more."""
        if self._conversation is not None:
            closing = asyncio.ensure_future(self._conversation.close())
            await self._within(STOP_GRACE_S, closing)
            closing.cancel()
            await asyncio.gather(closing, return_exceptions=True)

    async def _bring_to_an_end(self, talking: asyncio.Task[Ending], grace_s: float) -> Ending:
        """Ask first; after a while, end it."""
        if self._offer.visitor:
            self._visits.cut_off()
        if self._conversation is not None:
            asking = asyncio.ensure_future(self._conversation.interrupt())
            await self._within(grace_s, talking)
            asking.cancel()  # whoever is stopped reads nothing, and its pipe may be full
            await asyncio.gather(asking, return_exceptions=True)
        if not talking.done():
            await self._stage.end_all()
        if await self._within(STOP_GRACE_S, talking):
            return talking.result()
        return Ending.failed(FailureClass.HUNG, "its adapter did not notice that the agent had ended")

    async def _within(self, seconds: float, wanted: asyncio.Future[Any]) -> bool:
        """Whether something came to its end in time; it goes on if not."""
        timer = asyncio.ensure_future(self._tools.clock.sleep(seconds))
        try:
            await asyncio.wait({wanted, timer}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            timer.cancel()
        return wanted.done()

    # ── what it leaves ──

    async def _snapshot(self) -> bool:
        """A snapshot of the running work; whether anything had changed."""

        async def upload(spool: Path) -> SnapshotAnswer:
            return await self._tools.line.snapshot(self._offer.id, self._offer.epoch, spool)

        self._stage.look_for_secrets()
        answer: SnapshotAnswer | None = await self._snapshots.take("work", upload)
        if answer is None:
            return False
        self._record_changes()
        return answer.changed

    async def _bring_home(self) -> WorkAnswer:
        async def upload(spool: Path) -> WorkAnswer:
            return await self._tools.line.work(self._offer.id, self._offer.epoch, spool)

        self._stage.look_for_secrets()
        try:
            answer: WorkAnswer = await self._snapshots.take("all", upload)
        except RouterRefused as refused:
            if refused.stale:
                raise LeaseLost(refused.what) from refused
            raise
        self._record_changes()
        return answer

    async def _keep_commits(self, home: WorkAnswer) -> WorkAnswer:
        """Commits of the agent's own that its files don't show; where they can't be kept, the workspace stays."""
        offer = self._offer

        async def upload(bundle: Path) -> None:
            await self._tools.line.commits(offer.session, offer.subject, offer.epoch, bundle)

        problem = await keep_commits(
            self._workspace.place,
            self._workspace.view,
            self._tools.sandbox,
            Path(offer.workspace.objects),
            self._preparation.start,
            upload,
            self._workspace.secrets,
            self._tools.secrets,
        )
        if problem is None:
            return home
        return home.model_copy(update={"left_out": (*home.left_out, LeftOut(path=".git", reason=problem, size=0))})

    async def _ship(self, offset: int, data: bytes) -> int:
        return await self._tools.line.transcript(self._offer.id, offset, data)

    async def close_transcript(self) -> tuple[str, int]:
        """Ship the rest, and answer the digest and the size of the whole."""
        try:
            await self.transcript.flush()
        except CodeswarmError as error:
            # The transcript is activity: its loss must not cost the work, but the digest then tells of it.
            self._tools.outbox.put_aside(self._workspace.place.meta / "transcript.jsonl", str(error))
        return await self.transcript.close()

    # ── recording ──

    def _make_recorder(self) -> Recorder | None:
        if self._tools.record is None:
            return None
        offer = self._offer
        path = recording_path(self._tools.record, offer.subject, offer.phase, offer.attempt)
        return Recorder(path, self._tools.clock, self._tools.secrets)

    def _record_changes(self) -> None:
        if self._recorder is not None:
            self._snapshots.show_changes(self._write_down)

    def _write_down(self, changes: Changes) -> None:
        """The files of one snapshot, as far as git does not ignore them."""
        assert self._recorder is not None
        for path in changes.deletes:
            self._recorder.deleted(os.fsdecode(path))
        for put in changes.puts:
            if not put.ignored:
                self._recorder.written(os.fsdecode(put.path), put.mode, changes.content(put))

    def _finish_recording(self, answer: Answer, ending: Ending) -> None:
        if self._recorder is not None:
            self._recorder.end(answer.raw, 0 if ending.failure is None else 1)


def put_bundle(run: Path, bundle: dict[str, Any]) -> None:
    """Write down what the agent is told. The project's set-up has been in the folder before. Raises: OSError."""
    replace_left(run, BUNDLE, json.dumps(bundle, ensure_ascii=False, indent=1))
