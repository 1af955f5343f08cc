"""`codeswarm work`: everything that is kept of a ticket: attempts, refs, receipts, landings, left-over files."""

from __future__ import annotations

import time
from typing import Annotated, Any

import typer

from codeswarm.cli.here import Here
from codeswarm.cli.output import day_and_time, say, say_json, table
from codeswarm.cli.words import agent_vital


def work(
    context: typer.Context,
    ticket: Annotated[str, typer.Argument(help="[SESSION/]TICKET, or a session and a ticket.")],
    ticket_: Annotated[
        str | None, typer.Argument(metavar="[TICKET]", help="The ticket, where a session came first.")
    ] = None,
) -> None:
    """Show what was done on a ticket, and where each piece of it is kept.

    Example: codeswarm work parser
    """
    here: Here = context.obj
    found = collect(here, f"{ticket}/{ticket_}" if ticket_ else ticket)
    if here.json:
        say_json(found)
        return
    row = found["ticket"]
    say(f"ticket {row['id']}: {row['title']} — {row['status']}{': ' + row['reason'] if row['reason'] else ''}")
    table(("epoch", "phase", "agent", "state", "started", "why", "kept in"), (_row(a) for a in found["attempts"]))
    for receipt in found["receipts"]:
        what = f"`{receipt['command']}`" if receipt["command"] else receipt["name"]
        by = f" by {receipt['given_by']}" if receipt["given_by"] else ""
        say(f"receipt {receipt['id']}: {what} {receipt['outcome']}{by} on tree {receipt['tree'][:10]}")
    for landing in found["landings"]:
        say(f"landing {landing['landing']}: {landing['state']} {landing['reason']} {landing['new'][:10]}".rstrip())
    for place in found["workspaces"]:
        say(f"workspace {place['path']}: kept, since {place['why']}")


def collect(here: Here, wanted: str) -> dict[str, Any]:
    from codeswarm.engine import refs
    from codeswarm.ledger import views

    session, row = here.ticket(wanted)
    where = {"session": session["id"], "ticket": row["id"]}
    with here.tables() as tables:
        attempts = views.rows(tables, "attempts", **where)
        landings = views.rows(tables, "landings", **where)
        trees = {landing["tree"] for landing in landings}
        receipts = [r for r in views.rows(tables, "receipts", session=session["id"]) if r["tree"] in trees]
    at = {agent["epoch"]: agent for agent in _agents(here, session["id"]) if agent["ticket"] == row["id"]}
    for attempt in attempts:
        attempt["at"] = at.get(attempt["epoch"])
        attempt["ref"] = refs.wip(session["id"], row["id"], attempt["epoch"]) if attempt["snapshot"] else ""
        attempt["transcript_path"] = str(
            here.home.data.artifacts / "transcripts" / session["id"] / row["id"] / f"{attempt['epoch']}.jsonl"
        )
    return {
        "session": session["id"],
        "ticket": row,
        "branch": refs.task(session["id"], row["id"]),
        "store": str(here.home.data.store),
        "attempts": attempts,
        "receipts": receipts,
        "landings": landings,
        "workspaces": _workspaces(here, session["id"], row["id"]),
    }


def _agents(here: Here, session: str) -> list[dict[str, Any]]:
    from codeswarm.cli.status import agents_at_work

    return agents_at_work(here, session) if here.live else []


def _workspaces(here: Here, session: str, ticket: str) -> list[dict[str, str]]:
    from codeswarm.worker.places import ATTEMPTS, Place

    found = []
    for path in sorted((here.home.workspaces / ATTEMPTS).glob(f"{session}.*")):
        facts = Place(path).facts()
        if facts.get("ticket") == ticket:
            left = ", ".join(item["path"] for item in facts.get("left_out") or [])
            why = f"no ref holds {left}" if left else facts.get("salvage_failed") or "it is in use, or its worker died"
            found.append({"path": str(path), "why": why})
    return found


def _row(attempt: dict[str, Any]) -> tuple[object, ...]:
    at = agent_vital(attempt["at"], time.time_ns() // 1_000_000) if attempt["at"] else ""
    why = (attempt["message"] or attempt["failure"] or at).splitlines()
    kept = attempt["ref"].removeprefix("refs/") if attempt["ref"] else attempt["head"][:10]
    started = day_and_time(attempt["leased_ms"])
    return (
        attempt["epoch"],
        attempt["phase"],
        attempt["agent"][:30],
        attempt["status"],
        started,
        (why or [""])[0][:60],
        kept,
    )
