"""`codeswarm logs`: what agents said and did."""

from __future__ import annotations

import json
import time
from typing import Annotated, Any, BinaryIO

import typer

from codeswarm.cli.here import Here
from codeswarm.cli.output import clock_time, say, say_json_line

POLL_S = 0.5


def logs(
    context: typer.Context,
    ticket: Annotated[str | None, typer.Argument(help="[SESSION/]TICKET; the last one worked on if left out.")] = None,
    follow: Annotated[bool, typer.Option("-f", "--follow", help="Go on while the attempt runs.")] = False,
    attempt: Annotated[int | None, typer.Option(help="The epoch of an earlier attempt.")] = None,
) -> None:
    """Print an attempt's transcript: the last attempt's, or an earlier one's.

    Example: codeswarm logs parser -f
    """
    here: Here = context.obj
    row = _attempt(here, ticket, attempt)
    offset = _print_from(here, row, 0)
    while follow and _is_live(here, row):
        time.sleep(POLL_S)
        offset = _print_from(here, row, offset)


def _attempt(here: Here, ticket: str | None, epoch: int | None) -> dict[str, Any]:
    from codeswarm.domain.rejection import unknown
    from codeswarm.errors import Refused
    from codeswarm.ledger import views

    if ticket is None:
        session = here.session(None)
        where = {"session": session["id"]}
    else:
        session, row = here.ticket(ticket)
        where = {"session": session["id"], "ticket": row["id"]}
    with here.tables() as tables:
        rows = views.rows(tables, "attempts", **where)
    chosen = [row for row in rows if epoch in (None, row["epoch"])]
    if not chosen:
        raise Refused(
            unknown("there is no such attempt yet", f"codeswarm status {session['id']}", "nobody has begun it")
        )
    return chosen[-1]


def _open(here: Here, row: dict[str, Any]) -> BinaryIO | None:
    from codeswarm.ledger.artifacts import Artifacts

    return Artifacts(here.home.data.artifacts).open_transcript(row["session"], row["ticket"], row["epoch"])


def _is_live(here: Here, row: dict[str, Any]) -> bool:
    with here.tables() as tables:
        rows = tables.table("attempts", session=row["session"], ticket=row["ticket"], epoch=row["epoch"])
    return bool(rows) and rows[0]["status"] in ("leased", "running", "gating")


def _print_from(here: Here, row: dict[str, Any], offset: int) -> int:
    """Print whole lines from an offset on; where the next ones begin."""
    file = _open(here, row)
    if file is None:
        return offset
    with file:
        file.seek(offset)
        for line in file:
            if not line.endswith(b"\n"):
                break
            offset += len(line)
            _print_line(here, line)
    return offset


def _print_line(here: Here, line: bytes) -> None:
    try:
        found = json.loads(line)
    except ValueError:
        return
    if here.json:
        say_json_line(found)
        return
    kind = "" if found["type"] == "output" else f"{found['type'].replace('_', ' ')}: "
    if found["text"] or kind:
        say(f"{clock_time(found['at_ms'])}  {kind}{found['text']}")
