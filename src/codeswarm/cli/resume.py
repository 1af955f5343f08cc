"""`codeswarm resume`: undoes pause, stop, suspension and crash, and goes on where the ledger stands."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from codeswarm.cli.detach import begin_detached
from codeswarm.cli.here import Here, run_async
from codeswarm.cli.host import Conversation
from codeswarm.cli.output import progress
from codeswarm.cli.recorded import recording_folder
from codeswarm.cli.roles import every_role, role_budgets
from codeswarm.cli.sharing import converse
from codeswarm.cli.until import UntilOption, parse_until
from codeswarm.clock import SystemClock
from codeswarm.domain.ids import SessionId
from codeswarm.errors import UsageError
from codeswarm.router_client import RouterClient


def resume(
    context: typer.Context,
    session: Annotated[
        str | None, typer.Argument(help="Id, unique prefix or name; the latest one if left out.")
    ] = None,
    budget_usd: Annotated[float | None, typer.Option(help="A new cap.")] = None,
    budget_tokens: Annotated[int | None, typer.Option(help="A new cap.", min=1)] = None,
    role_usd: Annotated[list[str] | None, typer.Option(metavar="ROLE=USD", help="A new cap of a role.")] = None,
    role_tokens: Annotated[list[str] | None, typer.Option(metavar="ROLE=N", help="A new cap of a role.")] = None,
    target: Annotated[int | None, typer.Option(help="A new number of landings to end after.", min=1)] = None,
    workers: Annotated[int | None, typer.Option(help="Agents at once.", min=1, max=256)] = None,
    agent: Annotated[list[str] | None, typer.Option(metavar="SPEC", help="Other agents from here on.")] = None,
    unpark: Annotated[
        bool, typer.Option("--unpark", help="Try agents again now whose quota is not back yet, too.")
    ] = False,
    until: UntilOption = None,
    wait: Annotated[bool, typer.Option("--wait", help="Wait for answers instead of exiting with 3.")] = False,
    record: Annotated[Path | None, typer.Option(metavar="DIR", help="Record every attempt into this folder.")] = None,
    detach: Annotated[
        bool, typer.Option("--detach", help="Leave it running in the background once it goes on.")
    ] = False,
    no_keep_awake: Annotated[
        bool, typer.Option("--no-keep-awake", help="Let the machine fall asleep while agents work.")
    ] = False,
) -> None:
    """Go on with a session that was paused, stopped, suspended or cut off.

    A draft, as `ticket import` makes one, begins. Agents that wait for you to mend them are tried again.

    Example: codeswarm resume

    Exit codes: 0 done, 1 something failed, 3 a person must decide, 4 suspended again.
    """
    here: Here = context.obj
    row = here.session(session)
    if row["status"] in ("finalized", "cancelled"):
        raise UsageError(
            f"session {row['id']} is {row['status']}",
            "nothing in it can change any more",
            f"codeswarm run 'WHAT YOU WANT'   # a new one; or look: codeswarm status {row['id']}",
        )
    roles = every_role(agent or [])
    record = recording_folder(here, record)
    body = {
        "command": "resume",
        "by": here.by,
        "budget_usd": budget_usd,
        "budget_tokens": budget_tokens,
        "role_budgets": role_budgets(role_usd or [], role_tokens or []),
        "target": target,
        "roles": roles,
        "unpark": unpark,
        "until": until and parse_until(until, SystemClock().now_ms()).model_dump(),
    }
    raise typer.Exit(
        run_async(
            _resume(here, SessionId(row["id"]), body, workers, wait, record, detach=detach, no_keep_awake=no_keep_awake)
        )
    )


async def _resume(
    here: Here,
    session: SessionId,
    body: dict[str, Any],
    workers: int | None,
    wait: bool,
    record: Path | None,
    *,
    detach: bool,
    no_keep_awake: bool,
) -> int:
    def plan() -> Any:
        from codeswarm.config import load
        from codeswarm.wiring import WorkerPlan

        slots = workers or _configured_workers(here, session)
        awake = not no_keep_awake and load(here.environment).config.engine.keep_awake
        return WorkerPlan(slots, here.directory, record=record, keep_awake=awake)

    async def begin(client: RouterClient, joined: bool) -> Conversation:
        await client.post(f"/sessions/{session}/commands", body)
        progress(f"session {session} goes on" + ("; joined the router that is live here" if joined else ""))
        return Conversation(here, client, session, wait=wait, known=here.session(session)["version"])

    if detach:
        return await begin_detached(here, plan, begin, sessions=(session,), wait=wait)
    return await converse(here, plan, begin)


def _configured_workers(here: Here, session: SessionId) -> int:
    """As many as the session was started with."""
    from codeswarm.config import load

    with here.ledger() as ledger:
        first = next(iter(ledger.history(session)), None)
    settings = getattr(first.event, "settings", None) if first else None
    return settings.workers if settings is not None else load(here.environment).config.swarm.workers
