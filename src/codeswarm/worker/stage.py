"""The stage on which an agent plays: a box, a voice into the transcript, answers to what it asks."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict
from itertools import islice
from pathlib import Path
from typing import Any

from codeswarm.agents.base import Activity, Permission, Question
from codeswarm.agents.replay.recording import Recorder
from codeswarm.agents.usage import newest
from codeswarm.clock import Clock
from codeswarm.domain.results import Usage, UsageWindow
from codeswarm.egress.base import Endpoint, Reached
from codeswarm.egress.way_out import WayOut
from codeswarm.failpoints import reach
from codeswarm.redaction import Chunks, Secrets
from codeswarm.sandbox.base import LOGIN, Box, Mount, Running, Sandbox
from codeswarm.sandbox.starting import start
from codeswarm.worker.outward import through
from codeswarm.worker.processes import Tables, Tree
from codeswarm.worker.shared_file import SharedFile, beside, mounts
from codeswarm.worker.transcript import Transcript
from codeswarm.worker.vitals import Vitals
from codeswarm.worker.windows import MOST, windows


class WorkerStage:
    """`codeswarm.agents.base.Stage`, as the worker gives it to one attempt."""

    def __init__(
        self,
        sandbox: Sandbox,
        box: Box,
        environment: Mapping[str, str],
        transcript: Transcript,
        clock: Clock,
        saw: Callable[[str, Mapping[str, Any]], Awaitable[None]],
        vitals: Vitals,
        tables: Tables,
        recorder: Recorder | None = None,
        way_out: WayOut | None = None,
        secrets: Secrets | None = None,
        ask: Callable[[Question], Awaitable[Permission]] | None = None,
        *,
        locks: Path | None = None,
    ) -> None:
        """`way_out`: what the box may reach outside, where it has no network of its own to choose from.

        `secrets`: what is taken out of all that the agent says. `ask`: decides what it may run; None: what it likes.
        `locks`: where all attempts here keep what stands beside a file that they share.
        """
        self._secrets = Secrets() if secrets is None else secrets
        self._chunks: dict[str, Chunks] = {}
        self.turned = asyncio.Event()
        """Set at the end of each of the agent's turns: time for a snapshot."""
        self.vitals = vitals
        self._decide = ask
        self._locks = locks
        self._shared: list[SharedFile] = []
        self._in_use = ExitStack()
        """What nobody may clear up while programs run."""
        self._sandbox = sandbox
        self._box = box
        self._environment = environment
        self._transcript = transcript
        self._clock = clock
        self._saw = saw
        self._tables = tables
        self._recorder = recorder
        self._way_out = way_out
        self.usage = Usage()
        """The newest figures of the conversation."""
        self.windows: dict[str, UsageWindow] = {}
        """Of the subscription that pays, if one does, by name."""
        self._by_key = False
        """Whether a key of ours pays: an agent that tells of a subscription does not make it free."""
        self._metered = asyncio.Condition()
        self._running: list[Running] = []
        self._over = False

    @property
    def home(self) -> Path:
        """The agent's, as the host sees it."""
        return self._box.home

    def reach(self, endpoint: Endpoint) -> Reached:
        self.conceal(endpoint.secret)
        self._by_key = self._by_key or bool(endpoint.header)
        return Reached.directly(endpoint) if self._way_out is None else self._way_out.reach(endpoint)

    def conceal(self, *secrets: str) -> None:
        self._secrets.add(*secrets)

    def share(self, file: Path, secrets: Callable[[], Iterable[str]], *, locks: bool = False) -> Path:
        if all(shared.file != file for shared in self._shared):
            self._shared.append(SharedFile(file, secrets))
        self.look_for_secrets()
        if self._sandbox.inside(self._box).home == self._box.home:  # no walls: it is where it is
            return file
        folder = self._in_use.enter_context(beside(file, self._locks)) if locks and self._locks else None
        known = {mount.inside for mount in self._box.mounts}
        fresh = [mount for mount in mounts(file, folder) if mount.inside not in known]
        self._box = dataclasses.replace(self._box, mounts=(*self._box.mounts, *fresh))
        return LOGIN / file.name

    def look_for_secrets(self) -> None:
        """A program may have renewed a login, this agent's or another's: it can be said and copied from then on."""
        for shared in self._shared:
            if secrets := tuple(shared.news()):
                self._secrets.learn(*secrets)

    def allow(self, *hosts: str) -> None:
        if self._way_out is not None:
            self._way_out.allow(hosts)

    def received(self) -> int | None:
        """How many bytes hosts outside have sent, where that is known."""
        return None if self._way_out is None else self._way_out.received

    async def start(
        self,
        argv: Sequence[str],
        env: Mapping[str, str],
        visible: Sequence[Path] = (),
        *,
        stdin: int | None = None,
        stderr: int | None = None,
    ) -> Running:
        box = dataclasses.replace(self._box, mounts=(*self._box.mounts, *map(Mount, visible)))
        environment = {**self._environment, **env}
        if self._way_out is not None:
            box, argv, environment = through(self._way_out, box, argv, environment)
        running = await start(self._sandbox, box, argv, environment, stdin=stdin, stderr=stderr)
        self._running.append(running)
        if self._over:
            await running.end()
        self.vitals.started(self._clock.monotonic())
        reach("worker.agent_started")
        return running

    async def tree(self, age_s: float) -> Tree | None:
        """What the agent has running, as of no longer ago than `age_s`; None where nothing was started, or none can
        tell.
        """
        table = await self._tables.newest(self._clock.monotonic(), age_s) if self._running else None
        return None if table is None else table.tree(self._running[-1].process.pid)

    async def emit(self, activity: Activity) -> None:
        self.look_for_secrets()
        activity = self._without_secrets(activity)
        self.vitals.heard(activity, self._clock.monotonic(), self._clock.now_ms())
        if activity.type == "usage":
            await self._meter(activity)
        elif activity.type == "rate_limit":
            told = {**self.windows, **{window.name: window for window in windows(activity.data)}}
            self.windows = dict(islice(told.items(), MOST))
        self._transcript.write(activity)
        if self._recorder is not None:
            self._recorder.activity(activity)
        if activity.type == "turn":
            self.turned.set()

    async def _meter(self, activity: Activity) -> None:
        within = activity.data.get("usage")
        self.usage = newest(within if isinstance(within, Mapping) else activity.data, self.usage)
        async with self._metered:
            self._metered.notify_all()

    async def metered(self, enough: Callable[[Usage], bool]) -> None:
        """Wait until the figures say that it is enough."""
        async with self._metered:
            await self._metered.wait_for(lambda: enough(self.usage))

    def used(self, told: Usage) -> Usage:
        """The figures at the end: as the agent's own ending tells them, else the newest."""
        usage = told if told.is_told else self.usage
        return usage.model_copy(update={"subscription": True}) if self.windows and not self._by_key else usage

    def _without_secrets(self, activity: Activity) -> Activity:
        """What was said in pieces is no line that can be kept beside its meaning: the rest of it would be in there."""
        chunks = self._chunks.setdefault(activity.type, Chunks(self._secrets))
        text, in_pieces = chunks.text(activity.text)
        raw = "" if in_pieces else self._secrets.text(activity.raw)
        clean = raw == activity.raw and text in raw  # what stands in a clean line needs no second look
        data = self._secrets.within(activity.data)
        return Activity(activity.type, text if clean else self._secrets.text(text), data, raw)

    async def ask(self, question: Question) -> Permission:
        """Whoever waits for an answer is at nothing that it could be hung in."""
        await self.emit(Activity("question", text=question.command, data=asdict(question), raw=question.raw))
        self.vitals.asked(self._clock.monotonic())
        try:
            return await self._permission(question)
        finally:
            self.vitals.answered(self._clock.monotonic())

    async def _permission(self, question: Question) -> Permission:
        """The policy's word, else a person's, else the time's. Without a policy, behind walls, it is a yes."""
        if self._decide is None:
            return Permission(allowed=True, why="it runs in a sandbox")
        clean = self._secrets.text
        permission = await self._decide(
            dataclasses.replace(question, command=clean(question.command), reason=clean(question.reason), raw="")
        )
        told = {"id": question.id, "allowed": permission.allowed}
        await self.emit(Activity("answer", text=permission.why, data=told))
        return permission

    async def await_event(self, kind: str, match: Mapping[str, Any]) -> None:
        await self._saw(kind, match)
        self.vitals.changed(self._clock.monotonic())

    def exceeded(self) -> tuple[str, ...]:
        """The limits that its processes ran into, in words."""
        return tuple(dict.fromkeys(words for running in self._running for words in running.exceeded()))

    def admit_no_more(self) -> None:
        """The attempt is coming to its end: what its adapter still begins, late or anew, is ended at once."""
        self._over = True

    async def end_all(self) -> tuple[str, ...]:
        """End every process of the attempt, whatever state it is in."""
        left: list[str] = []
        for running in self._running:
            left += await running.end()
        self._in_use.close()
        if self._way_out is not None:
            await self._way_out.close()
        return tuple(left)
