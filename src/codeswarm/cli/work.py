"""`codeswarm work`: everything that is kept of a ticket: attempts, refs, receipts, landings, left-over files."""

from __future__ import annotations

import shlex
import time
from pathlib import Path
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
    record: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Write its attempts as recordings, for --agent replay:DIR.")
    ] = None,
) -> None:
    """Show what was done on a ticket, and where each piece of it is kept.

    Example: codeswarm work parser
    """
    here: Here = context.obj
    found = collect(here, f"{ticket}/{ticket_}" if ticket_ else ticket)
    if record is not None:
        found["recordings"] = _record(here, found, record)
    if here.json:
        say_json(found)
        return
    row = found["ticket"]
    say(f"ticket {row['id']}: {row['title']} — {row['status']}{': ' + row['reason'] if row['reason'] else ''}")
    table(("epoch", "phase", "agent", "state", "started", "why", "kept in"), (_row(a) for a in found["attempts"]))
    for attempt in found["attempts"]:
        say(f"attempt {attempt['epoch']}: {_kept(row['id'], attempt)}")
    for receipt in found["receipts"]:
        what = f"`{receipt['command']}`" if receipt["command"] else receipt["name"]
        by = f" by {receipt['given_by']}" if receipt["given_by"] else ""
        say(f"receipt {receipt['id']}: {what} {receipt['outcome']}{by} on tree {receipt['tree'][:10]}")
    for landing in found["landings"]:
        say(f"landing {landing['landing']}: {landing['state']} {landing['reason']} {landing['new'][:10]}".rstrip())
    for path in found.get("recordings", ()):
        say(f"recorded: {path}")
    for place in found["workspaces"]:
        say(f"workspace {place['path']}: kept, since {place['why']}")


def collect(here: Here, wanted: str) -> dict[str, Any]:
    from codeswarm.engine import refs
    from codeswarm.ledger import views
    from codeswarm.ledger.artifacts import Artifacts
    from codeswarm.report.recordings import kept_attempts

    session, row = here.ticket(wanted)
    where = {"session": session["id"], "ticket": row["id"]}
    with here.tables() as tables:
        attempts = views.rows(tables, "attempts", **where)
        landings = views.rows(tables, "landings", **where)
        trees = {landing["tree"] for landing in landings}
        receipts = [r for r in views.rows(tables, "receipts", session=session["id"]) if r["tree"] in trees]
    at = {agent["epoch"]: agent for agent in _agents(here, session["id"]) if agent["ticket"] == row["id"]}
    with here.ledger() as ledger:
        told = {attempt.epoch: attempt.told for attempt in kept_attempts(ledger.history(session["id"]), row["id"])}
    artifacts = Artifacts(here.home.data.artifacts)
    for attempt in attempts:
        attempt["told"] = told.get(attempt["epoch"], "")
        attempt["told_path"] = str(artifacts.path(attempt["told"])) if attempt["told"] else ""
        attempt["at"] = at.get(attempt["epoch"])
        attempt["ref"] = refs.wip(session["id"], row["id"], attempt["epoch"]) if attempt["snapshot"] else ""
        attempt["transcript_path"] = str(artifacts.transcript_path(session["id"], row["id"], attempt["epoch"]))
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


def _kept(ticket: str, attempt: dict[str, Any]) -> str:
    """What is kept of an attempt beside its files: what it was told, said and used."""
    told = f"told: zless {shlex.quote(attempt['told_path'])}" if attempt["told"] else "what it was told is not kept"
    said = f"said: codeswarm logs {ticket} --attempt {attempt['epoch']} ({attempt['transcript_size'] or 0} bytes)"
    tokens = [attempt[key] for key in ("input_tokens", "output_tokens") if attempt[key] is not None]
    cost = "unknown" if attempt["cost_usd"] is None else f"{attempt['cost_usd']:.2f} USD"
    return f"{told}; {said}; tokens: {sum(tokens) if tokens else 'unknown'}; cost: {cost}"


def _record(here: Here, found: dict[str, Any], folder: Path) -> list[str]:
    from codeswarm.git.store import Store
    from codeswarm.ledger.artifacts import Artifacts
    from codeswarm.report.recordings import kept_attempts, write_recording

    data = here.home.data
    with here.ledger() as ledger:
        attempts = kept_attempts(ledger.history(found["session"]), found["ticket"]["id"])
    written = [write_recording(each, Store(data.store), Artifacts(data.artifacts), folder) for each in attempts]
    return [str(path) for path in written if path is not None]


def _workspaces(here: Here, session: str, ticket: str) -> list[dict[str, str]]:
    from codeswarm.worker.places import ATTEMPTS, Place

    found = []
    for path in sorted((here.home.workspaces / ATTEMPTS).glob(f"{session}.*")):
        facts = Place(path).facts()
        if facts.get("ticket") == ticket:
            left = ", ".join(f"{item['path']} ({item['reason']})" for item in facts.get("left_out") or [])
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
