"""`codeswarm plan`: only the plan. A planner makes it, nothing is built."""

from __future__ import annotations

import uuid
from pathlib import Path
from typing import Annotated, Any

import typer

from codeswarm.cli.ending import finish
from codeswarm.cli.follow import Rest
from codeswarm.cli.here import Here, run_async
from codeswarm.cli.host import Conversation
from codeswarm.cli.lines import Lines, Silent
from codeswarm.cli.output import progress, say, say_json
from codeswarm.cli.roles import chosen_agents
from codeswarm.cli.run import Wish, announce, asked_for, request_of, worker_plan
from codeswarm.cli.sharing import converse
from codeswarm.domain.ids import SessionId
from codeswarm.domain.session import Session
from codeswarm.errors import UsageError
from codeswarm.router_client import RouterClient


def plan(
    context: typer.Context,
    goal: Annotated[str, typer.Argument(help="What is wanted, in words.")] = "",
    spec: Annotated[
        str | None, typer.Option(metavar="FILE", help="A file that says what is wanted, or - for standard input.")
    ] = None,
    out: Annotated[Path | None, typer.Option(metavar="FILE", help="Write the plan there, as a tickets file.")] = None,
    agent: Annotated[list[str] | None, typer.Option(metavar="SPEC", help="KIND[:MODEL] of the planner.")] = None,
    workers: Annotated[int | None, typer.Option(help="Agents at once, for the estimate.", min=1, max=256)] = None,
    base: Annotated[str | None, typer.Option(metavar="BRANCH", help="The branch that the plan is for.")] = None,
    sandbox: Annotated[str | None, typer.Option(metavar="KIND", help="auto, bubblewrap or none.")] = None,
    budget_usd: Annotated[float | None, typer.Option(help="Never spend more than this.")] = None,
) -> None:
    """Make a plan and show it: tickets, waves, the critical path, an estimate. Nothing is built.

    Example: codeswarm plan 'add CSV export' --out plan.yaml
    """
    here: Here = context.obj
    if out is not None and not (here.directory / out).parent.is_dir():
        raise UsageError(f"{out} can't be written", "its folder is not there", "codeswarm plan GOAL --out plan.yaml")
    flags: dict[str, dict[str, Any]] = {
        "roles": chosen_agents(agent or [], []),
        "swarm": {} if workers is None else {"workers": workers},
        "sandbox": {} if sandbox is None else {"kind": sandbox},
        "budget": {} if budget_usd is None else {"usd": budget_usd},
    }
    wish = Wish(goal=goal, spec=spec, base=base, flags={name: keys for name, keys in flags.items() if keys})
    raise typer.Exit(run_async(_plan(here, wish, asked_for(here, wish), out)))


async def _plan(here: Here, wish: Wish, asked: dict[str, Any], out: Path | None) -> int:
    key = str(uuid.uuid4())

    async def begin(client: RouterClient, joined: bool) -> Conversation:
        request = {**request_of(here, wish, asked), "plan_only": True, "approve_plan_by_default": False}
        started = await client.post("/sessions", request, key=key, timeout_s=300)
        announce(here, wish, started, joined=joined, tell=progress)
        show = Silent() if here.json else Lines(tell=progress)
        return Conversation(here, client, SessionId(started["session"]), wait=False, show=show)

    async def conclude(here: Here, client: RouterClient, conversation: Conversation, rest: Rest | None) -> int:
        session = conversation.follower.session
        if rest is None or (session.plan is None and not here.json):
            return await finish(here, client, conversation, rest)
        if session.plan is None:
            say_json({"session": session.id, "status": session.status, "reason": rest.reason})
            return rest.exit_code
        _show(here, session, out)
        return rest.exit_code

    return await converse(here, lambda: worker_plan(here, wish), begin, conclude)


def _show(here: Here, session: Session, out: Path | None) -> None:
    from codeswarm.cli.planned import as_document, as_yaml, measures, plan_lines

    assert session.plan is not None
    tickets, settings = session.plan.tickets, session.settings
    figures = measures(tickets, settings.workers, settings.default_estimate_s)
    if out is not None:
        (here.directory / out).write_text(as_yaml(session.goal, tickets), encoding="utf-8")
    if here.json:
        say_json({**as_document(session.goal, tickets), **figures})
        return
    for line in plan_lines(tickets, figures):
        say(line)
    if out is not None:
        say(f"written to {out}; build it: codeswarm run --tickets {out}")
    else:
        say("keep and build one: codeswarm plan … --out plan.yaml   codeswarm run --tickets plan.yaml")
