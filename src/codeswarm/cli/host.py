"""Hosting a session: being its router until it comes to rest, showing it, asking the person, obeying Ctrl+C.

Ctrl+C once: no new work, running agents end their phase. Twice: they end now. Nothing is lost either way. `d`, or the
end of the terminal: the person leaves, and the session goes on.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Any

from codeswarm.cli.board import Board
from codeswarm.cli.departure import Departure
from codeswarm.cli.editor import Paper, lay_out, open_editor
from codeswarm.cli.follow import Follower, Rest, Show, Wire
from codeswarm.cli.here import Here
from codeswarm.cli.keys import Keys
from codeswarm.cli.lines import JsonLines, Lines
from codeswarm.cli.output import console, progress, report_error
from codeswarm.cli.planned import MOST_TICKETS, as_yaml
from codeswarm.cli.vitals import vitals_on
from codeswarm.domain.ids import SessionId
from codeswarm.domain.policy import asked_about
from codeswarm.domain.session import Session
from codeswarm.errors import CodeswarmError, RouterUnreachable, Suspended
from codeswarm.router_client import RouterClient
from codeswarm.sources.tickets_file import parse_tickets

INTERRUPTED = 130
KEYS = "d leaves it running · Ctrl+C stops it"
UNAVAILABLE = 503
BEGIN_S = 30.0
BEGIN_PAUSE_S = 0.05
"""How long a router that holds the lock, but does not answer, is waited for, and how often it is asked."""


def is_terminal() -> bool:
    return sys.stdin.isatty() and sys.stdout.isatty()


def make_show(here: Here, heard: Callable[[str], None] | None = None, hint: str = "") -> Show:
    """`heard`: told of each key that is pressed while a board is up; `hint`: what the keys do."""
    if here.json:
        return JsonLines()
    if not is_terminal():
        return Lines()
    return Board(keys=Keys(heard), hint=hint) if heard is not None else Board()


@dataclass
class Interrupts:
    """How often Ctrl+C was pressed, and what that does."""

    count: int = 0

    @property
    def exit_code(self) -> int | None:
        return INTERRUPTED if self.count else None


class Conversation:
    """One person following one session through a router's API, live or hosted by this very process."""

    def __init__(
        self,
        here: Here,
        client: RouterClient,
        session: SessionId,
        *,
        wait: bool,
        known: int = 0,
        show: Show | None = None,
    ) -> None:
        self._here = here
        self._client = client
        self._id = session
        self._wait = wait
        self._departure: Departure | None = None
        self._show = make_show(here, self._key, KEYS) if show is None else show
        self._asked: set[str] = set()
        self._following: asyncio.Task[Any] | None = None
        self._unwritten: CodeswarmError | None = None
        """Why the router could not write a stop down that must not wait."""
        self.interrupts = Interrupts()
        self.follower = Follower(session, self._show, known)

    @property
    def waits(self) -> bool:
        """Whether answers of people are waited for."""
        return self._wait

    def move_to(self, client: RouterClient) -> None:
        """Go on at another router: the one that we had is gone."""
        self._client = client

    async def follow(self, departure: Departure) -> Rest | None:
        """Until the session rests, or the router or the person is gone (None). Goes on where an earlier call ended."""
        loop, self._following, self._departure = asyncio.get_running_loop(), asyncio.current_task(), departure
        handlers = {
            signal.SIGINT: self._interrupt,
            signal.SIGTERM: self.end_now,
            signal.SIGTSTP: self._lie_down,
        }
        for number, handler in handlers.items():
            loop.add_signal_handler(number, handler)
        try:
            if self.interrupts.count:
                await self._stop(self.interrupts.count > 1)  # what was asked of a router that is gone by now
            with departure.heeded_by(self._following_ends):
                async with (
                    self._client.events(self._id, self.follower.last) as events,
                    vitals_on(self._show, self._client, self._id),
                ):
                    return await self.follower.until_rest(self._asking(events), self._goes_on)
        except asyncio.CancelledError:
            if self._following is None or (self._unwritten is None and not departure.wanted):
                raise
            self._following.uncancel()
            if self._unwritten is None:
                return None
            raise self._cut_off(self._unwritten) from None
        finally:
            for number in handlers:
                loop.remove_signal_handler(number)
            self._show.close()

    async def let_agents_rest(self) -> None:
        """Agents that only wait for a person are ended in good order before their router goes away."""
        if not self.follower.session.in_progress:
            return
        body = {"command": "stop", "by": self._here.by, "now": True, "reason": "a person is waited for"}
        await self._client.post(f"/sessions/{self._id}/commands", body)
        async with self._client.events(self._id, self.follower.last) as events:
            await self.follower.until_rest(events)

    def _following_ends(self) -> None:
        if self._following is not None:
            self._following.cancel()

    def _key(self, pressed: str) -> None:
        if self._departure is not None:
            self._departure.key(pressed)

    def _lie_down(self) -> None:
        """Ctrl+Z: the terminal is the shell's again before we stop. What comes afterwards draws the board anew."""
        self._show.close()
        os.kill(os.getpid(), signal.SIGSTOP)

    async def _asking(self, events: AsyncIterator[Wire]) -> AsyncIterator[Wire]:
        async for record in events:
            yield record
            await self._ask_for_open(self.follower.session)

    def _goes_on(self, session: Session, rest: Rest) -> bool:
        """Whether to stay although the session rests: someone else may answer."""
        asked = rest.reason == "approvals" and self._can_ask()
        return rest.exit_code == 3 and (self._wait or asked)

    def _can_ask(self) -> bool:
        return is_terminal() and not self._here.json

    # ── Ctrl+C ──

    def _interrupt(self) -> None:
        self.interrupts.count += 1
        now = self.interrupts.count > 1
        self._show.close()
        if now:
            progress("ending the agents now; their work is kept")
        else:
            progress("stopping: no new work, running agents end their phase; Ctrl+C again ends them now")
        self._stopping = asyncio.ensure_future(self._stop(now))

    def end_now(self) -> None:
        """Told to end: as if Ctrl+C had been pressed twice."""
        self.interrupts.count = max(self.interrupts.count, 1)
        self._interrupt()

    async def _stop(self, now: bool) -> None:
        body = {"command": "stop", "by": self._here.by, "now": now, "reason": "Ctrl+C"}
        try:
            await self._client.post(f"/sessions/{self._id}/commands", body)
        except CodeswarmError as error:
            if error.http_status != UNAVAILABLE:
                return  # it is over already, or its router is: then there is nothing to stop
            progress(f"the stop can't be written down: {error.what}; Ctrl+C again ends this process all the same")
            if now and self._following is not None:
                self._unwritten = error
                self._following.cancel()

    def _cut_off(self, problem: CodeswarmError) -> Suspended:
        return Suspended(
            f"session {self._id} was cut off without a word of it in the ledger",
            f"{problem.what}; what was written before is safe, and the agents' files are where they were",
            f"codeswarm resume {self._id}   # once there is room again: codeswarm du shows what takes it",
        )

    # ── approvals ──

    async def _ask_for_open(self, session: Session) -> None:
        """Ask inline for what is open and was not asked yet; other work goes on meanwhile."""
        if not self._can_ask():
            return
        for id_ in list(session.open_approvals):
            if id_ not in self._asked:
                self._asked.add(id_)
                await self._ask(session, str(id_))

    async def _ask(self, session: Session, approval_id: str) -> None:
        approval = session.approvals[next(id_ for id_ in session.approvals if id_ == approval_id)]
        self._show.close()
        await asyncio.to_thread(self._tell, session, approval)
        choices = (
            ("approve", "edit", "reject", "later") if approval.subject == "plan" else ("approve", "reject", "later")
        )
        answer = await asyncio.to_thread(choose, " / ".join(choices), choices)
        if answer == "edit":
            await self._edit(session, approval)
            return
        if answer == "later":
            name = f"{session.id}/{approval_id}"
            progress(f"later: codeswarm approve {name}; or: codeswarm reject {name} --why '…'")
            return
        note = (await asyncio.to_thread(_line, "why: ")).strip() if answer == "reject" else ""
        body = {"answer": answer, "by": self._here.by, "note": note}
        with contextlib.suppress(CodeswarmError):
            await self._client.post(f"/sessions/{self._id}/approvals/{approval_id}", body)

    async def _edit(self, session: Session, approval: Any) -> None:
        """The plan in the person's editor, again and again until it can be taken; left as it is, it is approved so."""
        text = as_yaml(session.goal, asked_about(session, approval).tickets)
        command = f"codeswarm approve {session.id}/{approval.id} --edit"
        paper: Paper | None = None
        while True:
            try:
                if paper is None or not paper.path.exists():
                    paper = lay_out(self._here, "plan", text, command)
                await asyncio.to_thread(open_editor, self._here, paper)
                plan = parse_tickets("plan.yaml", paper.read())
                body = {"answer": "approve", "by": self._here.by, "plan": plan}
                await self._client.post(f"/sessions/{self._id}/approvals/{approval.id}", body)
            except CodeswarmError as error:
                if paper is not None:
                    paper.keep(error)
                report_error(error, as_json=False)
                again = await asyncio.to_thread(choose, "edit again / later", ("edit again", "later"))
                if again == "edit again":
                    continue
                progress(f"later: {paper.again if paper is not None and paper.path.exists() else command}")
            else:
                paper.drop()
            return

    def _tell(self, session: Session, approval: Any) -> None:
        out = console()
        out.print(f"approval {approval.id} ({approval.ticket or approval.subject}): {approval.why}", markup=False)
        if approval.command:
            shown = approval.command.replace("\n", "\n    ")
            out.print(f"  in {approval.cwd or 'its workspace'}:\n    {shown}", markup=False)
            return
        reasons = "".join(f"\n  - {reason}" for reason in approval.reasons)
        out.print(f"risk {approval.risk} of 100{':' if reasons else ''}{reasons}", markup=False)
        if approval.subject == "plan":
            tickets = asked_about(session, approval).tickets
            for spec in tickets[:MOST_TICKETS]:
                after = f" (after {', '.join(spec.blocked_by)})" if spec.blocked_by else ""
                out.print(f"  {spec.id}: {spec.title}{after}", markup=False)
            if len(tickets) > MOST_TICKETS:
                out.print(f"  and {len(tickets) - MOST_TICKETS} more: codeswarm ticket list {session.id}", markup=False)
        elif approval.ticket is not None:
            out.print(f"  see it: codeswarm diff {session.id}/{approval.ticket}", markup=False)


def choose(question: str, choices: tuple[str, ...], enter: str = "") -> str:
    """One of `choices`, by any unambiguous beginning; `enter` (else the last one) where nothing is typed, as is shown.

    Where the input has ended it is the last one, which is the careful one.
    """
    enter = enter or choices[-1]
    while True:
        line = _line(f"{question} [{enter}]? ")
        answer = line.strip().lower()
        if not answer:
            return enter if line else choices[-1]
        found = [choice for choice in choices if choice.startswith(answer)]
        if len(found) == 1:
            return found[0]


def ask(question: str) -> str:
    """What a person types, without the blanks around it; nothing where the input has ended."""
    return _line(f"{question}: ").strip()


def _line(question: str) -> str:
    """A line with its end; nothing where the input has ended."""
    try:
        return input(question) + "\n"
    except (EOFError, OSError):  # the input has ended, or the terminal is gone
        return ""


@contextlib.asynccontextmanager
async def joined_or_hosting(here: Here, make_plan: Callable[[], Any]) -> AsyncIterator[tuple[RouterClient, Any]]:
    """A client of the router here: of the one that is live, else of the one that this process becomes.

    The second value is the router that we host, None where we only joined.
    """
    from codeswarm.home import RouterLive
    from codeswarm.wiring import router

    while not await answers(here):
        try:
            hosting = router(here.home, make_plan(), here.environment, tell_of_room, note=progress)
            async with hosting as hosted, here.client() as client:
                yield client, hosted
                return
        except RouterLive:
            continue  # another process became the router here just now: it is joined
    async with here.client() as client:
        yield client, None


def tell_of_room(problem: CodeswarmError | None) -> None:
    """What the router that we are tells at once: that nothing can be written, and that it can be again."""
    if problem is not None:
        report_error(problem, as_json=False)
    else:
        progress("there is room on the disk again; it goes on")


async def answers(here: Here) -> bool:
    """Whether a router is live here. One that only begins is waited for, and so is the end of one that ends.

    Raises: RouterUnreachable where it does not answer for a long time.
    """
    deadline = asyncio.get_running_loop().time() + BEGIN_S
    while here.live:
        async with here.client() as client:
            try:
                await client.get("/approvals")
            except RouterUnreachable:
                if asyncio.get_running_loop().time() > deadline:
                    raise
            else:
                return True
        await asyncio.sleep(BEGIN_PAUSE_S)
    return False
