"""`approvals`, `approve`, `reject`: what waits for a person, and the answer."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated, Any

import typer

from codeswarm.cli.here import Here
from codeswarm.cli.output import day_and_time, say, say_json, table
from codeswarm.domain.ids import SessionId
from codeswarm.domain.rejection import known_names, unknown
from codeswarm.errors import Refused, UsageError

SHOWN = 300
"""Characters of a command that stand in the list; a longer one is printed below it."""
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
            (
                f"{a['session']}/{a['id']}",
                a["ticket"] or a["subject"],
                a["risk"],
                "; ".join([a["why"], *a["reasons"]]),
                day_and_time(a["expires_ms"]),
            )
            for a in found
        )
        table(("approval", "about", "risk", "why", "expires"), rows)
        for asked in found:
            if "\n" in asked["command"] or len(asked["command"]) > SHOWN:
                say(f"\n{asked['session']}/{asked['id']} in {asked['cwd'] or 'its workspace'}:\n{asked['command']}")


def approve(
    context: typer.Context,
    approval: IdArgument = None,
    note: Annotated[str, typer.Option(help="A remark for the record.")] = "",
    edit: Annotated[
        bool, typer.Option("--edit", help="Change a plan in $EDITOR first; what you save is built.")
    ] = False,
    from_: Annotated[
        str | None,
        typer.Option("--from", metavar="FILE", help="Take the plan of a file; with --edit that file is opened."),
    ] = None,
) -> None:
    """Say yes; to a plan also in another form, with --edit or --from.

    Example: codeswarm approve a1 --edit
    """
    here: Here = context.obj
    body: dict[str, Any] = {"answer": "approve", "note": note}
    found = _choose(here, approval)
    if not edit and from_ is None:
        _answer(here, found, body)
        return
    with _plan(here, found, edit, from_) as plan:
        _answer(here, found, {**body, "plan": plan})


def reject(
    context: typer.Context,
    approval: IdArgument = None,
    why: Annotated[str, typer.Option(help="The reason; whoever made it gets to read it.")] = "",
) -> None:
    """Say no, and why.

    Example: codeswarm reject a1 --why 'the migration needs a way back'
    """
    if not why.strip():
        raise UsageError("a rejection needs a reason", "the agent works on with it", "--why 'WHAT IS WRONG'")
    here: Here = context.obj
    _answer(here, _choose(here, approval), {"answer": "reject", "note": why})


@contextmanager
def _plan(here: Here, approval: dict[str, Any], edit: bool, from_: str | None) -> Iterator[dict[str, Any]]:
    """The plan in the form that the person gives it: by their editor, by a file, or both. Raises: UsageError."""
    from codeswarm.cli.editor import command_of, edited, lay_out, named
    from codeswarm.cli.planned import as_yaml
    from codeswarm.sources.read import read_source
    from codeswarm.sources.tickets_file import parse_tickets

    if approval["subject"] != "plan":
        raise UsageError(
            f"approval {approval['id']} is for a {approval['subject']}",
            "only a plan can be edited",
            "codeswarm approvals",
        )
    command = command_of(here)
    if from_ == "-":
        if edit:
            raise UsageError("standard input can't be edited", "--from - and --edit don't go together", command)
        yield read_source(from_, here.directory).plan
        return
    if from_ is not None:
        paper = named(here, from_, command)
    else:
        session = here.session(approval["session"])
        tickets = proposed_plan(here, approval["session"], int(approval["evidence"]))
        paper = lay_out(here, "plan", as_yaml(session["goal"], tickets), command)
    with edited(here, paper, opened=edit) as text:
        yield parse_tickets(from_ or paper.path.name, text)


def proposed_plan(here: Here, session: str, number: int) -> tuple[Any, ...]:
    """The tickets of one of a session's plans, as they were proposed."""
    from codeswarm.domain.events import PlanProposed

    with here.ledger() as ledger:
        plans = [
            record.event for record in ledger.history(SessionId(session)) if isinstance(record.event, PlanProposed)
        ]
    return next(plan.tickets for plan in plans if plan.plan == number)


def _open(here: Here) -> list[dict[str, Any]]:
    from codeswarm.ledger import views

    with here.tables() as tables:
        over = {row["id"] for row in views.rows(tables, "sessions") if row["status"] in views.OVER}
        return [row for row in views.rows(tables, "approvals", state="open") if row["session"] not in over]


def _of_session(here: Here, session: str) -> list[dict[str, Any]]:
    """Open or not: who answers what is closed is told why it is."""
    from codeswarm.ledger import views

    with here.tables() as tables:
        return views.rows(tables, "approvals", session=session)


def _answer(here: Here, found: dict[str, Any], body: dict[str, Any]) -> None:
    from codeswarm.ledger import views

    path = f"/sessions/{found['session']}/approvals/{found['id']}"
    answer = here.ask(path, {**body, "by": here.by})
    if here.json:
        say_json(answer)
    else:
        done = "approved" if body["answer"] == "approve" else "rejected"
        say(f"{found['id']} ({found['ticket'] or found['subject']}) {done}{_heard(here, found)}")
        if not here.live and here.session(found["session"])["status"] not in views.OVER:
            say(f"go on: codeswarm resume {found['session']}")


def _heard(here: Here, found: dict[str, Any]) -> str:
    """What becomes of an answer whose asker is not there just now."""
    from codeswarm.ledger import views

    if not found["command"]:
        return ""
    with here.tables() as tables:
        ticket = views.find_ticket(tables, found["session"], found["ticket"])
    waits = ticket["status"] == "in_progress"
    return "" if waits else "; its agent is not at work now, and finds the answer when it goes on and asks again"


def _choose(here: Here, wanted: str | None) -> dict[str, Any]:
    """The open approval that is meant. Raises: Refused, UsageError where several fit."""
    candidates = _open(here)
    if wanted is not None:
        session, slash, id_ = wanted.rpartition("/")
        session_id = here.session(session if slash else None)["id"]
        exact = [row for row in _of_session(here, session_id) if row["id"] == id_]
        candidates = exact or ([] if slash else [row for row in candidates if row["id"] == id_])
    if not candidates:
        what = f"there is no open approval {wanted!r}" if wanted else "nothing waits for a person"
        why = (
            known_names(wanted, (row["id"] for row in _open(here)))
            if wanted
            else "everything that was asked is answered"
        )
        raise Refused(unknown(what, "codeswarm approvals", why))
    if len(candidates) > 1:
        ids = ", ".join(f"{row['session']}/{row['id']}" for row in candidates)
        raise UsageError("more than one approval is open", ids, "codeswarm approvals")
    return candidates[0]
