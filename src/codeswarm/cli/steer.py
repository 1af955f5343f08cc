"""`pause`, `stop`, `cancel`, `message`: a word to a session or an agent."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from codeswarm.cli.here import Here
from codeswarm.cli.output import say, say_json

SessionArgument = Annotated[str | None, typer.Argument(help="Id, unique prefix or name; the latest one if left out.")]


def pause(context: typer.Context, session: SessionArgument = None) -> None:
    """Give out no new work; agents that run finish what they are at.

    Example: codeswarm pause
    """
    _steer(context.obj, session, {"command": "pause"}, "paused; go on: codeswarm resume {}")


def stop(
    context: typer.Context,
    session: SessionArgument = None,
    now: Annotated[bool, typer.Option("--now", help="End running agents at once; their work is kept.")] = False,
) -> None:
    """Stop: no new work, running agents end their phase (or end now), then the hosting process ends.

    Example: codeswarm stop --now
    """
    _steer(context.obj, session, {"command": "stop", "now": now}, "stopping; go on later: codeswarm resume {}")


def cancel(
    context: typer.Context,
    session: SessionArgument = None,
    reason: Annotated[str, typer.Option(help="Why, for the timeline.")] = "",
) -> None:
    """Cancel a session for good. What was done stays in its refs.

    Example: codeswarm cancel --reason 'wrong approach'
    """
    _steer(context.obj, session, {"command": "cancel", "reason": reason}, "cancelled; its work is kept")


def delegate(
    context: typer.Context,
    text: Annotated[str, typer.Argument(help="What is wanted, in words.")],
    session: Annotated[
        str | None, typer.Option(metavar="SESSION", help="Id, unique prefix or name; the latest one if left out.")
    ] = None,
) -> None:
    """Give a session more work, in words: a planner makes tickets of it, on top of the plan.

    Example: codeswarm delegate 'and document the new flag'
    """
    here: Here = context.obj
    id_ = here.session(session)["id"]
    answer = here.ask(f"/sessions/{id_}/commands", {"command": "delegate_task", "text": text, "by": here.by})
    if here.json:
        say_json(answer)
        return
    say(f"session {id_}: a planner makes tickets of it ({answer['events'][0]['data']['ticket']})")
    if not here.live:
        say(f"go on: codeswarm resume {id_}")


def message(
    context: typer.Context,
    target: Annotated[
        str, typer.Argument(metavar="[SESSION|TICKET]", help="A ticket or a session; or the text itself.")
    ],
    text: Annotated[str | None, typer.Argument(help="What to say.")] = None,
) -> None:
    """Say something to a ticket's agent, or to all agents of a session.

    Example: codeswarm message parser 'keep the old flag working'
    """
    here: Here = context.obj
    session, ticket, words = _addressee(here, target, text)
    body: dict[str, Any] = {"command": "message", "text": words, "ticket": ticket}
    to = f"ticket {ticket}" if ticket else "every ticket"
    _steer(
        here,
        session,
        body,
        f"told to {to}: in the running turn where its agent can hear it, else with the next attempt",
    )


def _addressee(here: Here, target: str, text: str | None) -> tuple[str, str | None, str]:
    """(session, ticket or None, words)."""
    from codeswarm.errors import Refused

    if text is None:
        return here.session(None)["id"], None, target
    try:
        session, ticket = here.ticket(target)
        return session["id"], ticket["id"], text
    except Refused:
        if "/" in target:
            raise
    return here.session(target)["id"], None, text


def _steer(here: Here, session: str | None, body: dict[str, Any], done: str) -> None:
    id_ = here.session(session)["id"]
    answer = here.ask(f"/sessions/{id_}/commands", {**body, "by": here.by})
    if here.json:
        say_json(answer)
    elif answer["events"]:
        say(f"session {id_}: {done.format(id_)}")
    else:
        say(f"session {id_}: nothing to change, it is so already")
