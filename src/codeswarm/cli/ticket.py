"""`ticket list|show|hold|release|retry|cancel`; what changes a ticket's text stands in `ticket_edit`."""

from __future__ import annotations

from typing import Annotated

import typer

from codeswarm.cli import ticket_edit, ticket_files
from codeswarm.cli.here import Here
from codeswarm.cli.output import say, say_json, table
from codeswarm.cli.ticket_files import state_of
from codeswarm.cli.work import collect

app = typer.Typer(help="Tickets of a session.", no_args_is_help=True)

TicketArgument = Annotated[str, typer.Argument(metavar="TICKET", help="[SESSION/]ID")]
ReasonOption = Annotated[str, typer.Option(help="Why, for the timeline.")]


@app.command("list")
def list_(
    context: typer.Context,
    session: Annotated[
        str | None, typer.Argument(help="Id, unique prefix or name; the latest one if left out.")
    ] = None,
    state: Annotated[str | None, typer.Option(metavar="STATE", help="Only those in this state.")] = None,
) -> None:
    """List the tickets of a session, in the order of its plan.

    Example: codeswarm ticket list --state failed
    """
    from codeswarm.ledger import views

    here: Here = context.obj
    with here.tables() as tables:
        overview = views.overview(tables, views.find_session(tables, session), () if here.json else views.BRIEF)
    found = [row for row in overview["tickets"] if state in (None, row["status"])]
    if here.json:
        say_json(found)
        return
    rows = (
        (t["id"], t["status"].replace("_", " "), t["phase"], t["wave"] + 1, ", ".join(t["blocked_by"]), t["title"])
        for t in found
    )
    table(("ticket", "state", "phase", "wave", "after", "title"), rows)


@app.command()
def show(context: typer.Context, ticket: TicketArgument) -> None:
    """Show a ticket as it was written, and what was done on it.

    Example: codeswarm ticket show parser
    """
    here: Here = context.obj
    found = collect(here, ticket)
    spec = state_of(here, found["session"]).tickets[found["ticket"]["id"]].spec
    document = {**found, "spec": spec.model_dump(mode="json", exclude_none=True)}
    if here.json:
        say_json(document)
        return
    row = found["ticket"]
    say(f"{row['id']}: {row['title']}")
    say(f"{row['status'].replace('_', ' ')}, phase {row['phase']}, wave {row['wave'] + 1}, priority {row['priority']}")
    if row["reason"]:
        say(f"why: {row['reason']}")
    if spec.description:
        say(spec.description.strip())
    for sentence in spec.acceptance:
        say(f"- {sentence}")
    if spec.blocked_by:
        say(f"after: {', '.join(spec.blocked_by)}")
    if spec.origin is not None:
        say(f"from {spec.origin.kind}: {spec.origin.ref}")
    for attempt in found["attempts"]:
        why = (attempt["message"] or attempt["summary"]).splitlines()
        first = (why or [""])[0][:80]
        say(f"attempt {attempt['epoch']}: {attempt['phase']}, {attempt['agent']}, {attempt['status']} {first}".rstrip())


@app.command()
def hold(context: typer.Context, ticket: TicketArgument, reason: ReasonOption = "") -> None:
    """Keep a ticket from being worked on; a running attempt ends, and its work is kept.

    Example: codeswarm ticket hold parser --reason 'waiting for the format'
    """
    _ask(context.obj, ticket, "hold", reason, "on hold")


@app.command()
def release(context: typer.Context, ticket: TicketArgument) -> None:
    """Let a held ticket go on where it stood.

    Example: codeswarm ticket release parser
    """
    _ask(context.obj, ticket, "release", "", "released")


@app.command()
def retry(context: typer.Context, ticket: TicketArgument) -> None:
    """Give a failed ticket a new set of attempts.

    Example: codeswarm ticket retry parser
    """
    _ask(context.obj, ticket, "retry", "", "ready again")


@app.command()
def cancel(context: typer.Context, ticket: TicketArgument, reason: ReasonOption = "") -> None:
    """Take a ticket out of the plan for good. What depends on it stays blocked.

    Example: codeswarm ticket cancel parser --reason 'not needed'
    """
    _ask(context.obj, ticket, "cancel", reason, "cancelled")


app.command("add")(ticket_edit.add)
app.command("edit")(ticket_edit.edit)
app.command("split")(ticket_edit.split)
app.command("link")(ticket_edit.link)
app.command("unlink")(ticket_edit.unlink)
app.command("import")(ticket_files.import_)
app.command("export")(ticket_files.export)


def _ask(here: Here, ticket: str, command: str, reason: str, done: str) -> None:
    session, row = here.ticket(ticket)
    path = f"/sessions/{session['id']}/tickets/{row['id']}/commands"
    answer = here.ask(path, {"command": command, "by": here.by, "reason": reason})
    if here.json:
        say_json(answer)
        return
    say(f"ticket {row['id']}: {done}")
    if not here.live and command in ("release", "retry"):
        say(f"go on: codeswarm resume {session['id']}")
