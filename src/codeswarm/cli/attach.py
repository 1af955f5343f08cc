"""`attach`: take over an agent's conversation and workspace by hand, and give them back."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
import sys
import termios
import tty
from collections.abc import Iterator
from typing import Annotated, Any

import typer

from codeswarm.cli.here import Here, run_async
from codeswarm.cli.output import progress, say, say_json
from codeswarm.domain.rejection import wrong_state
from codeswarm.errors import Refused, UsageError
from codeswarm.frames import DATA, DONE, ENDED, HELLO, SIZE, VERDICT, call, read_json, receive, send, send_json

CHUNK = 1 << 16
WAYS = {"hand back": "hand_back", "complete": "complete", "discard": "discard"}
ENDS = ("AttemptSucceeded", "AttemptFailed", "AttemptTimedOut", "AttemptLost", "AttemptCancelled", "AttemptGating")
TOLD = {
    "hand_back": "handed back: the agent goes on",
    "complete": "complete: the work goes to its gate",
    "discard": "discarded: the attempt ends, its work is kept in refs, and the next one begins anew",
}


def attach(
    context: typer.Context,
    ticket: Annotated[str, typer.Argument(metavar="TICKET", help="[SESSION/]ID of a ticket that an agent works on.")],
    command: Annotated[
        list[str] | None, typer.Argument(metavar="[-- COMMAND…]", help="Run this in there, not the agent's program.")
    ] = None,
    hand_back: Annotated[bool, typer.Option("--hand-back", help="At the end the agent goes on.")] = False,
    complete: Annotated[bool, typer.Option("--complete", help="At the end the work goes to its gate.")] = False,
    discard: Annotated[bool, typer.Option("--discard", help="At the end the attempt is ended.")] = False,
    note: Annotated[str, typer.Option(help="A word to the agent, and for the timeline.")] = "",
) -> None:
    """Take over an agent's conversation and workspace by hand; then hand it back.

    Or complete it, or discard it. The agent is interrupted, and its own program goes on with the conversation on your
    terminal, inside the same walls. A COMMAND that fails hands back, whatever was asked for.

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
    if not here.live:
        what, why = f"no agent is at work on {ticket}: nobody hosts the session", "there is nothing to take over"
        raise Refused(wrong_state(what, f"codeswarm resume {session['id']}", why))
    left = run_async(_Visit(here, session["id"], row["id"], command, chosen[0] if chosen else "", note).run())
    if here.json:
        say_json(left)
    else:
        say(f"{session['id']}/{row['id']} {TOLD[left['how']]}")
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

    async def run(self) -> dict[str, Any]:
        """Ask to be let in, be in, leave. Raises: Refused, UsageError."""
        async with self._here.client() as client:
            path = f"/sessions/{self._session}/tickets/{self._ticket}"
            found = await client.post(f"{path}/commands", {"command": "attach", "by": self._here.by})
            if found["events"]:
                asked = found["events"][0]
                progress(f"interrupting attempt {asked['data']['epoch']} …")
                epoch = await self._let_in(client, asked)
            else:
                attempts = (await client.get(path))["attempts"]
                epoch = max(attempt["epoch"] for attempt in attempts)
        reader, writer = await self._call(epoch)
        try:
            return await self._inside(reader, writer)
        finally:
            writer.close()

    async def _let_in(self, client: Any, asked: dict[str, Any]) -> int:
        """Wait until the door is open; the attempt's epoch. Raises: Refused where the attempt ends before."""
        epoch: int = asked["data"]["epoch"]
        async with client.events(self._session, asked["seq"]) as events:
            async for record in events:
                data = record["data"]
                if data.get("ticket") != self._ticket or data.get("epoch") != epoch:
                    continue
                if record["kind"] == "PersonAttached":
                    return epoch
                if record["kind"] in ENDS:
                    break
        what = f"attempt {epoch} of {self._ticket} ended before its agent could be interrupted"
        raise Refused(wrong_state(what, f"codeswarm work {self._session}/{self._ticket}", "it was done just now"))

    async def _call(self, epoch: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        from codeswarm.worker.places import Places
        from codeswarm.worker.visits import DOOR

        door = Places(self._here.home.workspaces).attempt(self._session, self._ticket, epoch).meta / DOOR
        try:
            return await asyncio.open_unix_connection(sock=call(door))
        except OSError as error:
            what = f"attempt {epoch} of {self._ticket} can't be entered from here"
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
        how = "hand_back" if code and self._how else self._how or await asyncio.to_thread(_choose)
        send_json(writer, VERDICT, how=how, note=self._note)
        frame = await receive(reader)
        if frame is None:
            raise self._cut_off()
        if frame[0] != DONE:
            raise self._not_started(frame[1])
        return {"session": self._session, "ticket": self._ticket, "how": how, "code": code}

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


def _choose() -> str:
    from codeswarm.cli.host import choose

    names = tuple(WAYS)
    return WAYS[choose(" / ".join(names), names, "hand back")]


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

    tty.setraw(fd)
    loop.add_reader(fd, typed)
    loop.add_signal_handler(signal.SIGWINCH, lambda: send_json(writer, SIZE, **_size()))
    try:
        yield
    finally:
        loop.remove_signal_handler(signal.SIGWINCH)
        loop.remove_reader(fd)
        with contextlib.suppress(termios.error):
            termios.tcsetattr(fd, termios.TCSADRAIN, before)
