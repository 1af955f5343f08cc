"""`save`, `checkpoints`: the person's branch moves to what has landed; and the list of when it did."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from codeswarm.cli.diff import show_diff
from codeswarm.cli.follow import Follower
from codeswarm.cli.here import Here, run_async
from codeswarm.cli.host import joined_or_hosting
from codeswarm.cli.lines import Silent
from codeswarm.cli.output import count, day_and_time, next_step, say, say_json, table
from codeswarm.domain.ids import SessionId

__all__ = ["checkpoints", "save", "show_diff"]


def save(
    context: typer.Context,
    session: Annotated[
        str | None, typer.Argument(help="Id, unique prefix or name; the latest one if left out.")
    ] = None,
    to: Annotated[
        str,
        typer.Option(
            metavar="HOW",
            help="ff: the branch moves forward; branch: only another one does. Left out: as `policy.save_to` says.",
        ),
    ] = "",
    into: Annotated[
        str, typer.Option(metavar="BRANCH", help="The branch to move; the session's base if left out.")
    ] = "",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only tell what would move.")] = False,
) -> None:
    """Run the full gate on what has landed and move your branch to it, forward only.

    Example: codeswarm save

    Exit codes: 0 saved, 3 refused: nothing moved, and it says what is in the way.
    """
    here: Here = context.obj
    row = here.session(session)
    if dry_run:
        _dry_run(here, row, to, into)
        return
    body = {"command": "save_checkpoint", "by": here.by, "to": to, "into": into}
    raise typer.Exit(run_async(_save(here, SessionId(row["id"]), body)))


def _dry_run(here: Here, row: dict[str, Any], to: str, into: str) -> None:
    from codeswarm.domain.saving import requested
    from codeswarm.engine.kernel import replay

    with here.ledger() as ledger:
        branch = requested(replay(ledger, SessionId(row["id"])), here.by, to, into).into
    document = {"branch": branch, "new": row["tip"], "session": row["id"], "landed": row["landed"]}
    if here.json:
        say_json(document)
    else:
        say(
            f"{branch} would move to {row['tip'][:10]} ({count(row['landed'], 'landed ticket')} of session {row['id']})"
        )


async def _save(here: Here, session: SessionId, body: dict[str, Any]) -> int:
    """Ask for the save and follow it to its end; one worker is enough for its gate."""

    def plan() -> Any:
        from codeswarm.wiring import WorkerPlan

        return WorkerPlan(1, here.directory)

    async with joined_or_hosting(here, plan) as (client, _):
        answer = await client.post(f"/sessions/{session}/commands", body)
        first = answer["events"][0]["seq"]
        follower = Follower(session, Silent())
        async with client.events(session, 0) as events:
            async for record in events:
                follower.take(record)
                if record["seq"] > first and record["kind"] in ("CheckpointSaved", "SaveRefused"):
                    return _tell(here, record)
    return 1


def _tell(here: Here, record: dict[str, Any]) -> int:
    data = record["data"]
    saved = record["kind"] == "CheckpointSaved"
    if here.json:
        say_json({"saved": saved, **data})
    elif saved:
        how = data["how"].replace("_", " ")
        say(f"saved: {data['into']} is at {data['new'][:10]} ({how}), tag {data['checkpoint']}")
        next_step(f"git log --oneline {data['into']}")
    else:
        say(f"not saved: {data['detail']}")
        for file in data["files"]:
            say(f"  in the way: {file}")
        for command in data["commands"]:
            say(f"  run: {command}")
    return 0 if saved else 3


def checkpoints(
    context: typer.Context,
    session: Annotated[str | None, typer.Argument(help="Only those of one session.")] = None,
) -> None:
    """List saved states, newest last.

    Example: codeswarm checkpoints
    """
    from codeswarm.ledger import views

    here: Here = context.obj
    with here.tables() as tables:
        where = {"session": views.find_session(tables, session)["id"]} if session else {}
        found = views.rows(tables, "checkpoints", **where)
    if here.json:
        say_json(found)
    elif not found:
        say("nothing was saved yet: codeswarm save")
    else:
        rows = (
            (c["checkpoint"], c["state"], c["branch"], c["new"][:10], day_and_time(c["at_ms"]), c["session"])
            for c in found
        )
        table(("checkpoint", "state", "branch", "commit", "when", "session"), rows)
