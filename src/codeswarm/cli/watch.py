"""`codeswarm watch`: the board or the lines of a session that someone else hosts."""

from __future__ import annotations

import asyncio
from typing import Annotated

import typer

from codeswarm.cli.follow import Follower, rest_of
from codeswarm.cli.here import Here, run_async
from codeswarm.cli.host import make_show
from codeswarm.cli.output import progress
from codeswarm.domain.ids import SessionId


def watch(
    context: typer.Context,
    session: Annotated[
        str | None, typer.Argument(help="Id, unique prefix or name; the latest one if left out.")
    ] = None,
) -> None:
    """Watch a session live, until it comes to rest. Ctrl+C only stops watching.

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
    show = make_show(here)
    follower = Follower(session, show, known)
    try:
        if here.live:
            async with here.client() as client, client.events(session, 0) as events:
                rest = await follower.until_rest(events)
        else:
            await asyncio.to_thread(_replay, here, follower)
            rest = rest_of(follower.session)
    finally:
        show.close()
    if rest is None:
        progress(f"nobody hosts session {session} just now; go on: codeswarm resume {session}")
        return 4
    progress(rest.reason)
    return rest.exit_code


def _replay(here: Here, follower: Follower) -> None:
    from codeswarm.ledger import views

    with here.ledger() as ledger:
        for record in ledger.history(follower.session.id):
            follower.take(views.wire(record))
