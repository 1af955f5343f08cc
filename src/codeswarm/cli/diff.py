"""`codeswarm diff`: what a ticket, or the whole session, changes."""

from __future__ import annotations

from typing import Annotated

import typer

from codeswarm.cli.here import Here
from codeswarm.cli.output import progress, say_json, say_patch


def diff(
    context: typer.Context,
    ticket: Annotated[str | None, typer.Argument(help="[SESSION/]TICKET; the whole session if left out.")] = None,
    stat: Annotated[bool, typer.Option("--stat", help="Only which files, and how much.")] = False,
    session: Annotated[
        str | None, typer.Option(metavar="SESSION", help="Which session, where no ticket is given.")
    ] = None,
) -> None:
    """Show changes: landed ones of the session, or the work of a ticket wherever it stands.

    Example: codeswarm diff parser --stat
    """
    here: Here = context.obj
    if ticket is None:
        row = here.session(session)
        _show(here, row["id"], row["base"], row["tip"], stat=stat)
    else:
        _show(here, here.ticket(ticket)[0]["id"], *_ticket_range(here, ticket), stat=stat)


def show_diff(here: Here, session: str, *, stat: bool) -> None:
    """The whole of what landed in a session."""
    row = here.session(session)
    _show(here, row["id"], row["base"], row["tip"], stat=stat)


def _ticket_range(here: Here, ticket: str) -> tuple[str, str]:
    """(old, new) of a ticket's change: its landing, else its work against what it would land on."""
    from codeswarm.domain.rejection import wrong_state
    from codeswarm.engine.rescue import check_held
    from codeswarm.errors import Refused
    from codeswarm.git.store import Store

    session, row = here.ticket(ticket)
    with here.tables() as tables:
        landings = [
            r for r in tables.table("landings", session=session["id"], ticket=row["id"]) if r["state"] == "landed"
        ]
        attempts = tables.table("attempts", session=session["id"], ticket=row["id"])
    if landings:
        return landings[-1]["old"], landings[-1]["new"]
    newest = row["work"] or next((a["snapshot"] for a in reversed(attempts) if a["snapshot"]), "")
    if not newest:
        raise Refused(
            wrong_state(
                f"ticket {row['id']} has no work yet",
                f"codeswarm logs {session['id']}/{row['id']}",
                "no attempt has left anything",
            )
        )
    store = Store(here.home.data.store)
    check_held(store, here.home.project, session["id"], session["tip"], newest)
    merge_base = store.git.line("merge-base", session["tip"], newest, ok=(0, 1)) or session["base"]
    return merge_base, newest


def _show(here: Here, session: str, old: str, new: str, *, stat: bool) -> None:
    from codeswarm.engine.rescue import check_held
    from codeswarm.git.store import Store

    store = Store(here.home.data.store)
    check_held(store, here.home.project, session, old, new)
    patch = store.patch(old, new, stat=stat)
    if here.json:
        say_json({"old": old, "new": new, "diff": patch.decode(errors="replace")})
    elif patch:
        say_patch(patch)
    else:
        progress("no changes")
