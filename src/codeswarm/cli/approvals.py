"""`approvals`, `approve`, `reject`: what waits for a person, and the answer."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from codeswarm.cli.here import Here
from codeswarm.cli.output import day_and_time, say, say_json, table
from codeswarm.domain.rejection import unknown
from codeswarm.errors import Refused, UsageError

IdArgument = Annotated[str | None, typer.Argument(metavar="[ID]", help="[SESSION/]ID; the only open one if left out.")]


def approvals(context: typer.Context) -> None:
    """List what waits for an answer, in every session here.

    Example: codeswarm approvals
    """
    here: Here = context.obj
    found = _open(here)
    if here.json:
        say_json(found)
    elif not found:
        say("nothing waits for a person")
    else:
        rows = (
            (f"{a['session']}/{a['id']}", a["ticket"] or a["subject"], a["why"], day_and_time(a["expires_ms"]))
            for a in found
        )
        table(("approval", "about", "why", "expires"), rows)


def approve(
    context: typer.Context,
    approval: IdArgument = None,
    note: Annotated[str, typer.Option(help="A remark for the record.")] = "",
) -> None:
    """Say yes.

    Example: codeswarm approve a1
    """
    _answer(context.obj, approval, {"answer": "approve", "note": note})


def reject(
    context: typer.Context,
    approval: IdArgument = None,
    why: Annotated[str, typer.Option(help="The reason; whoever made it gets to read it.")] = "",
) -> None:
    """Say no, and why.

    Example: codeswarm reject a1 --why 'the migration needs a way back'
    """
    if not why.strip():
        raise UsageError(
            "a rejection needs a reason", "the agent works on with it", "codeswarm reject ID --why 'REASON'"
        )
    _answer(context.obj, approval, {"answer": "reject", "note": why})


def _open(here: Here) -> list[dict[str, Any]]:
    from codeswarm.ledger import views

    with here.tables() as tables:
        over = {row["id"] for row in views.rows(tables, "sessions") if row["status"] in views.OVER}
        return [row for row in views.rows(tables, "approvals", state="open") if row["session"] not in over]


def _answer(here: Here, wanted: str | None, body: dict[str, Any]) -> None:
    from codeswarm.ledger import views

    found = _choose(here, wanted)
    path = f"/sessions/{found['session']}/approvals/{found['id']}"
    answer = here.ask(path, {**body, "by": here.by})
    if here.json:
        say_json(answer)
    else:
        done = "approved" if body["answer"] == "approve" else "rejected"
        say(f"{found['id']} ({found['ticket'] or found['subject']}) {done}")
        if not here.live and here.session(found["session"])["status"] not in views.OVER:
            say(f"go on: codeswarm resume {found['session']}")


def _choose(here: Here, wanted: str | None) -> dict[str, Any]:
    """The open approval that is meant. Raises: Refused, UsageError where several fit."""
    candidates = _open(here)
    if wanted is not None:
        session, slash, id_ = wanted.rpartition("/")
        session_id = here.session(session if slash else None)["id"]
        exact = [row for row in candidates if row["id"] == id_ and row["session"] == session_id]
        candidates = exact or ([] if slash else [row for row in candidates if row["id"] == id_])
    if not candidates:
        what = f"there is no open approval {wanted!r}" if wanted else "nothing waits for a person"
        raise Refused(unknown(what, "codeswarm approvals"))
    if len(candidates) > 1:
        ids = ", ".join(f"{row['session']}/{row['id']}" for row in candidates)
        raise UsageError("more than one approval is open", ids, "codeswarm approve SESSION/ID")
    return candidates[0]
