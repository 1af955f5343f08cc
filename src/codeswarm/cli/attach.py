"""`attach`: take over an agent's conversation and workspace by hand, and give them back.

Of a ticket at rest it is the last agent's. Where nobody hosts its session, this process does for as long as that takes.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
import sys
import termios
import tty
from collections.abc import AsyncIterator, Iterator
from typing import Annotated, Any

import typer

from codeswarm.cli.here import Here, run_async
from codeswarm.cli.host import INTERRUPTED, choose, joined_or_hosting
from codeswarm.cli.output import progress, say, say_json
from codeswarm.domain.rejection import wrong_state
from codeswarm.errors import CodeswarmError, Refused, RouterUnreachable, UsageError
from codeswarm.frames import DATA, DONE, ENDED, HELLO, SIZE, VERDICT, call, read_json, receive, send, send_json

CHUNK = 1 << 16
WAYS = {"hand back": "hand_back", "complete": "complete", "discard": "discard"}
LEAVE = {"leave": "leave"}
ENDS = ("AttemptSucceeded", "AttemptFailed", "AttemptTimedOut", "AttemptLost", "AttemptCancelled")
TOLD = {
    "hand_back": "handed back: the agent goes on",
    "complete": "complete: the work goes to its gate",
    "discard": "discarded: the attempt ends, its work is kept in refs, and the next one begins anew",
}
TOLD_AT_REST = {
    "hand_back": "handed back: an agent goes on with your work",
    "complete": "complete: the work goes to its gate",
    "discard": "discarded: the ticket rests as before, and what you did is kept in refs",
    "leave": "left: the ticket rests as before; `codeswarm attach` goes on with what you did",
}
TO_ITS_END_S = 30.0
"""So long we wait until what somebody did who was cut off is home; else whoever comes next brings it there."""
LET_IN_S = 60.0
"""So long a worker that lets us in is waited for."""


def attach(
    context: typer.Context,
    ticket: Annotated[str, typer.Argument(metavar="TICKET", help="[SESSION/]ID of a ticket.")],
    command: Annotated[
        list[str] | None, typer.Argument(metavar="[-- COMMAND…]", help="Run this in there, not the agent's program.")
    ] = None,
    hand_back: Annotated[bool, typer.Option("--hand-back", help="At the end the agent goes on.")] = False,
    complete: Annotated[bool, typer.Option("--complete", help="At the end the work goes to its gate.")] = False,
    discard: Annotated[bool, typer.Option("--discard", help="At the end the attempt is ended.")] = False,
    note: Annotated[str, typer.Option(help="A word to the agent, and for the timeline.")] = "",
) -> None:
    """Take over an agent's conversation and workspace by hand; then hand it back.

    Or complete it, or discard it. An agent at work is interrupted; of a ticket at rest (on hold, failed, waiting) it is
    what the last one left. Its own program goes on with the conversation on your terminal, inside the same walls. After
    a COMMAND that fails a ticket rests as before, and an agent at work goes on, whatever was asked for.

    Example: codeswarm attach parser
    """
    here: Here = context.obj
    chosen = [how for how, said in zip(WAYS.values(), (hand_back, complete, discard), strict=True) if said]
    if len(chosen) > 1:
        raise UsageError(
            "an attempt ends in one way", f"{' and '.join(chosen)} were asked for", "codeswarm attach --help"
        )
    if not chosen and not _on_terminal():
        again = f"codeswarm attach {ticket} --complete -- make fmt   # or --hand-back, or --discard"
        raise UsageError("there is no terminal to ask on", "somebody must say what becomes of the attempt", again)
    session, row = here.ticket(ticket)
    visit = _Visit(here, session["id"], row["id"], command, chosen[0] if chosen else "", note)
    try:
        left = run_async(visit.run())
    except asyncio.CancelledError:  # told to end, or the terminal is gone: what was done is brought home
        raise typer.Exit(INTERRUPTED) from None
    if here.json:
        say_json(left)
    else:
        say(f"{session['id']}/{row['id']} {(TOLD_AT_REST if left['at_rest'] else TOLD)[left['how']]}")
    raise typer.Exit(1 if left["code"] else 0)


def _on_terminal() -> bool:
    return sys.stdin.isatty() and sys.stdout.isatty()


class _Visit:
    def __init__(self, here: Here, session: str, ticket: str, command: list[str] | None, how: str, note: str) -> None:
        self._here = here
        self._session = session
        self._ticket = ticket
        self._command = command
        self._how = how
        self._note = note
        self._terminal = _on_terminal() and not here.json
        self._epoch = 0
        self._leased = self._leaving = False
        self._at_rest = False

    @property
    def _name(self) -> str:
        return f"{self._session}/{self._ticket}"

    async def run(self) -> dict[str, Any]:
        """Ask to be let in, be in, leave. Raises: Refused, UsageError."""
        async with joined_or_hosting(self._here, self._plan) as (client, hosted):
            if hosted is None:
                return await self._visit(client)
            with self._ending_in_order():
                left = await self._host(client, hosted.engine.desk)
        progress(f"next: codeswarm resume {self._session}")
        return left

    async def _host(self, client: Any, desk: Any) -> dict[str, Any]:
        """Be in there, and stay until all that was done is brought home, and judged where that was said."""
        try:
            left = await self._visit(client)
        except BaseException:  # whatever it was: nobody is in there any more
            self._leaving = True
            desk.cancel_all("whoever was in there has gone", self._session)
            with contextlib.suppress(TimeoutError, CodeswarmError):
                await asyncio.wait_for(self._see_it_end(client), TO_ITS_END_S)
            raise
        await self._see_it_end(client)
        return left

    @contextlib.contextmanager
    def _ending_in_order(self) -> Iterator[None]:
        """Who hosts, and is told to end or loses the terminal, leaves first: their worker brings everything home."""
        loop, task = asyncio.get_running_loop(), asyncio.current_task()
        assert task is not None

        def end() -> None:
            if not self._leaving:
                self._leaving = True
                task.cancel()

        numbers = (signal.SIGHUP, signal.SIGTERM)
        for number in numbers:
            loop.add_signal_handler(number, end)
        try:
            yield
        finally:
            for number in numbers:
                loop.remove_signal_handler(number)

    def _plan(self) -> Any:
        from codeswarm.wiring import WorkerPlan

        return WorkerPlan(1, self._here.directory, only_visits=True)

    async def _visit(self, client: Any) -> dict[str, Any]:
        path = f"/sessions/{self._session}/tickets/{self._ticket}"
        found = await client.post(f"{path}/commands", {"command": "attach", "by": self._here.by})
        asked = found["events"][0] if found["events"] else None
        attempts = (await client.get(path))["attempts"]
        self._epoch = asked["data"]["epoch"] if asked else max(attempt["epoch"] for attempt in attempts)
        if asked is not None:
            at_rest = asked["data"]["at_rest"]
            progress("opening what the last attempt left …" if at_rest else f"interrupting attempt {self._epoch} …")
        await self._let_in(client, asked["seq"] if asked else 0)
        reader, writer = await self._call()
        try:
            return await self._inside(reader, writer)
        finally:
            writer.close()

    async def _let_in(self, client: Any, since: int) -> None:
        """Wait until the door is open. Raises: Refused where the attempt ends before, or nobody begins it."""
        try:
            async with asyncio.timeout(LET_IN_S) as patience, self._events(client, since) as events:
                async for record in events:
                    if record["kind"] == "AttemptLeased":
                        patience.reschedule(None)
                        self._leased, self._at_rest = True, bool(record["data"]["visitor"])
                    elif record["kind"] == "AttachRequested" and not record["data"]["at_rest"]:
                        patience.reschedule(None)
                    elif record["kind"] == "PersonAttached":
                        self._tell_where(record["data"]["to"])
                        return
                    elif record["kind"] in ENDS:
                        raise self._over(record)
        except TimeoutError:
            what = f"no worker here lets you in to {self._ticket}"
            why = "none has the labels that it requires, or all are busy with other visits"
            raise Refused(wrong_state(what, f"codeswarm status {self._session}", why)) from None
        raise RouterUnreachable(
            "the router has gone", "it ended before it let you in", f"codeswarm attach {self._name}"
        )

    @contextlib.asynccontextmanager
    async def _events(self, client: Any, since: int) -> AsyncIterator[AsyncIterator[dict[str, Any]]]:
        """What happens in our attempt."""
        async with client.events(self._session, since) as events:
            yield (
                record
                async for record in events
                if record["data"].get("ticket") == self._ticket and record["data"].get("epoch") == self._epoch
            )

    def _tell_where(self, to: str) -> None:
        if to == "shell" and self._command is None and not self._how:
            progress("there is no conversation that you could go on with: this is a shell in its workspace")

    def _over(self, record: dict[str, Any]) -> Refused:
        data = record["data"]
        failure = (data.get("failure") or {}).get("message") or data.get("reason") or "it was done just now"
        what = f"attempt {self._epoch} of {self._ticket} ended before you could come in"
        return Refused(wrong_state(what, f"codeswarm work {self._name}", failure))

    async def _see_it_end(self, client: Any) -> None:
        """Wait for the end of the attempt."""
        from codeswarm.cli.words import describe

        if not self._leased:
            return
        async with self._events(client, 0) as events:
            async for record in events:
                if record["kind"] in ENDS:
                    progress(describe(record["kind"], record["data"]))
                    return

    async def _call(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        from codeswarm.worker.places import Places
        from codeswarm.worker.visits import DOOR

        door = Places(self._here.home.workspaces).attempt(self._session, self._ticket, self._epoch).meta / DOOR
        try:
            return await asyncio.open_unix_connection(sock=call(door))
        except OSError as error:
            what = f"attempt {self._epoch} of {self._ticket} can't be entered from here"
            why = f"its worker is on another machine, or has gone ({error.strerror})"
            raise UsageError(what, why, f"codeswarm message {self._session}/{self._ticket} 'WHAT TO SAY'") from error

    # ── inside ──

    async def _inside(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> dict[str, Any]:
        code = 0
        tty_wanted = self._terminal and (self._command is not None or not self._how)
        send_json(writer, HELLO, argv=self._command, tty=tty_wanted, term=_term(), **_size())
        if tty_wanted or self._command is not None:
            with _raw(writer) if tty_wanted else contextlib.nullcontext():
                code = await self._watch(reader)
        how = "" if code and self._how else self._how or await asyncio.to_thread(_choose, self._at_rest)
        send_json(writer, VERDICT, how=how, note=self._note)
        frame = await receive(reader)
        if frame is None:
            raise self._cut_off()
        if frame[0] != DONE:
            raise self._not_started(frame[1])
        how = str(read_json(frame[1]).get("how") or how)
        return {"session": self._session, "ticket": self._ticket, "how": how, "code": code, "at_rest": self._at_rest}

    async def _watch(self, reader: asyncio.StreamReader) -> int:
        """Show what the program says, to its end; its exit code. Raises: UsageError where it is cut off."""
        while (frame := await receive(reader)) is not None:
            kind, data = frame
            if kind == DATA:
                out = sys.stderr if self._here.json else sys.stdout
                out.buffer.write(data)
                out.buffer.flush()
            elif kind == ENDED:
                said = read_json(data)
                if said.get("problem"):
                    raise self._not_started(data)
                return int(said.get("code") or 0)
        raise self._cut_off()

    def _not_started(self, said: bytes) -> UsageError:
        problem = str(read_json(said).get("problem") or "")
        return UsageError(
            "nothing could be started in there", problem, f"codeswarm attach {self._session}/{self._ticket}"
        )

    def _cut_off(self) -> UsageError:
        return UsageError(
            "the worker has gone while you were in there",
            "what was done in the workspace is brought home by the next attempt",
            f"codeswarm work {self._session}/{self._ticket}",
        )


def _choose(at_rest: bool) -> str:
    ways = WAYS | LEAVE if at_rest else WAYS
    careful = "leave" if at_rest else "hand back"
    names = (*(name for name in ways if name != careful), careful)  # the last one, where nobody can say any more
    return ways[choose(" / ".join(ways), names, "hand back")]


def _term() -> str:
    from codeswarm.environment import Environment

    return Environment.read().variables.get("TERM", "xterm")


def _size() -> dict[str, int]:
    size = shutil.get_terminal_size()
    return {"rows": size.lines, "columns": size.columns}


@contextlib.contextmanager
def _raw(writer: asyncio.StreamWriter) -> Iterator[None]:
    """Our terminal passes on every key, Ctrl+C too, and is put back as it was."""
    loop, fd = asyncio.get_running_loop(), sys.stdin.fileno()
    before = termios.tcgetattr(fd)

    def typed() -> None:
        try:
            data = os.read(fd, CHUNK)
        except OSError:
            data = b""
        if data:
            send(writer, DATA, data)
        else:
            loop.remove_reader(fd)
            writer.close()  # the terminal is gone: whoever is inside is told so by that

    tty.setraw(fd, termios.TCSADRAIN)  # what was typed already counts
    loop.add_reader(fd, typed)
    loop.add_signal_handler(signal.SIGWINCH, lambda: send_json(writer, SIZE, **_size()))
    try:
        yield
    finally:
        loop.remove_signal_handler(signal.SIGWINCH)
        loop.remove_reader(fd)
        with contextlib.suppress(termios.error):
            termios.tcsetattr(fd, termios.TCSADRAIN, before)
