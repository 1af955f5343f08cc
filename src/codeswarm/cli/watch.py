"""`codeswarm watch`: the board or the lines of a session that someone else hosts."""

from __future__ import annotations

import asyncio
from typing import Annotated

import typer

from codeswarm.cli.follow import Follower, Rest, Show, rest_of
from codeswarm.cli.here import Here, run_async
from codeswarm.cli.host import answers, make_show
from codeswarm.cli.output import progress
from codeswarm.cli.vitals import vitals_on
from codeswarm.domain.ids import SessionId
from codeswarm.errors import RouterUnreachable

LEAVE = ("d", "q")


def watch(
    context: typer.Context,
    session: Annotated[
        str | None, typer.Argument(help="Id, unique prefix or name; the latest one if left out.")
    ] = None,
) -> None:
    """Watch a session live, until it comes to rest. Ctrl+C and d only stop watching.

    Example: codeswarm watch

    Exit codes: that of the run when the session comes to rest; 0 after Ctrl+C.
    """
    here: Here = context.obj
    row = here.session(session)
    try:
        raise typer.Exit(run_async(_watch(here, SessionId(row["id"]), row["version"])))
    except KeyboardInterrupt:
        raise typer.Exit(0) from None


async def _watch(here: Here, session: SessionId, known: int) -> int:
    watching = asyncio.current_task()
    assert watching is not None

    def heard(key: str) -> None:
        if key.lower() in LEAVE:
            watching.cancel()

    show = make_show(here, heard, "d stops watching")
    try:
        return await _until_rest(here, session, known, show)
    except asyncio.CancelledError:
        if not watching.uncancel():
            return 0  # a key was pressed; Ctrl+C ends the whole run
        raise


async def _until_rest(here: Here, session: SessionId, known: int, show: Show) -> int:
    follower = Follower(session, show, known)
    try:
        rest = await _live(here, follower, show)
        if rest is None:
            await asyncio.to_thread(_replay, here, follower)
            rest = rest_of(follower.session)
    finally:
        show.close()
    if rest is None:
        progress(f"nobody hosts session {session} just now; go on: codeswarm resume {session}")
        return 4
    progress(rest.reason)
    return rest.exit_code


async def _live(here: Here, follower: Follower, show: Show) -> Rest | None:
    """Follow it at the router here, and at the one that comes after that; None: there is none any more."""
    while await answers(here):
        try:
            async with (
                here.client() as client,
                client.events(follower.session.id, follower.last) as events,
                vitals_on(show, client, follower.session.id),
            ):
                if (rest := await follower.until_rest(events)) is not None:
                    return rest
        except RouterUnreachable:
            continue  # it went away just now; the next one is waited for
    return None


def _replay(here: Here, follower: Follower) -> None:
    from codeswarm.ledger import views

    with here.ledger() as ledger:
        for record in ledger.history(follower.session.id):
            follower.take(views.wire(record))
