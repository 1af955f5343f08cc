"""`session list|show`: all sessions here."""

from __future__ import annotations

from typing import Annotated

import typer

from codeswarm.cli.here import Here
from codeswarm.cli.output import day_and_time, say, say_json, table
from codeswarm.cli.status import status

app = typer.Typer(help="Sessions here.", no_args_is_help=True)


@app.command("list")
def list_(context: typer.Context) -> None:
    """List all sessions, newest last.

    Example: codeswarm session list
    """
    from codeswarm.ledger import views

    here: Here = context.obj
    if not here.home.data.ledger.is_file():
        say_json([]) if here.json else say("there is no session here yet: codeswarm run --tickets FILE")
        return
    with here.tables() as tables:
        found = views.rows(tables, "sessions")
    if here.json:
        say_json(found)
        return
    rows = (
        (
            s["id"],
            s["name"],
            s["status"],
            f"{s['landed']}/{s['tickets']}",
            day_and_time(s["started_ms"]),
            s["goal"][:50],
        )
        for s in found
    )
    table(("session", "name", "state", "landed", "started", "goal"), rows)


@app.command()
def show(
    context: typer.Context,
    session: Annotated[
        str | None, typer.Argument(help="Id, unique prefix or name; the latest one if left out.")
    ] = None,
) -> None:
    """Show one session.

    Example: codeswarm session show k3x9
    """
    status(context, session)
