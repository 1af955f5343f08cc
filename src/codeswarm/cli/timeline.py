"""`codeswarm timeline`: every fact of a session, in order."""

from __future__ import annotations

from typing import Annotated

import typer

from codeswarm.cli.here import Here, run_async
from codeswarm.cli.lines import JsonLines, event_line
from codeswarm.cli.output import say
from codeswarm.domain.ids import SessionId
from codeswarm.domain.session import Session


def timeline(
    context: typer.Context,
    session: Annotated[
        str | None, typer.Argument(help="Id, unique prefix or name; the latest one if left out.")
    ] = None,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on with what happens from now on.")] = False,
    after: Annotated[int, typer.Option(help="Begin behind this sequence number.", min=0)] = 0,
    ticket: Annotated[str | None, typer.Option(metavar="ID", help="Only what is about this ticket.")] = None,
) -> None:
    """Print what happened, oldest first. JSON Lines with --json.

    Example: codeswarm timeline --follow
    """
    here: Here = context.obj
    id_ = SessionId(here.session(session)["id"])
    last = _print_recorded(here, id_, after, ticket)
    if follow and here.live:
        try:
            run_async(_follow(here, id_, last, ticket))
        except KeyboardInterrupt:
            raise typer.Exit(0) from None


def _print_recorded(here: Here, session: SessionId, after: int, ticket: str | None) -> int:
    from codeswarm.ledger import views

    with here.ledger() as ledger:
        while page := ledger.after(after, 500, session):
            for record in page:
                _print(here, views.wire(record), ticket)
            after = page[-1].seq
    return after


async def _follow(here: Here, session: SessionId, after: int, ticket: str | None) -> None:
    async with here.client() as client, client.events(session, after) as events:
        async for record in events:
            _print(here, record, ticket)


def _print(here: Here, record: dict[str, object], ticket: str | None) -> None:
    data = record["data"]
    assert isinstance(data, dict)
    if ticket is not None and data.get("ticket") != ticket:
        return
    if here.json:
        JsonLines().event(record, Session(SessionId("")))
    else:
        say(event_line(record))
