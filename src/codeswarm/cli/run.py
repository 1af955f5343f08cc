"""`codeswarm run`: the main job. From tickets to landed commits, with this process as the router."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from codeswarm.cli.detach import begin_detached
from codeswarm.cli.detected import check_gate_found, settle_settings
from codeswarm.cli.here import Here, run_async
from codeswarm.cli.host import Conversation, is_terminal
from codeswarm.cli.output import progress, say, say_json
from codeswarm.cli.recorded import recording_folder
from codeswarm.cli.roles import as_typed, chosen_agents, told
from codeswarm.cli.sharing import converse
from codeswarm.cli.specification import headline, read_specification
from codeswarm.cli.until import UntilOption, parse_until, time_left
from codeswarm.clock import SystemClock
from codeswarm.domain.ids import SessionId
from codeswarm.domain.settings import Until
from codeswarm.errors import UsageError
from codeswarm.router_client import RouterClient
from codeswarm.sources.read import read_source

if TYPE_CHECKING:
    from codeswarm.engine.sessions import Resolved

Flags = dict[str, dict[str, Any]]


@dataclass(frozen=True)
class Wish:
    """What was typed."""

    goal: str = ""
    spec: str | None = None
    tickets: str | None = None
    name: str = ""
    base: str | None = None
    flags: Flags = field(default_factory=dict)
    no_gate: bool = False
    allow_red_base: bool = False
    save: bool = False
    wait: bool = False
    target: int | None = None
    record: Path | None = None
    until: Until | None = None
    detach: bool = False


def run(
    context: typer.Context,
    goal: Annotated[str, typer.Argument(help="What is wanted, in words: a planner makes tickets of it.")] = "",
    spec: Annotated[
        str | None, typer.Option(metavar="FILE", help="A file that says what is wanted, or - for standard input.")
    ] = None,
    tickets: Annotated[
        str | None,
        typer.Option(metavar="SOURCE", help="A file (YAML, JSON, beads), beads:[DIR], or - for standard input."),
    ] = None,
    name: Annotated[str, typer.Option(metavar="NAME", help="A name for the session, beside its id.")] = "",
    agent: Annotated[
        list[str] | None,
        typer.Option(metavar="SPEC", help="KIND[:MODEL], e.g. claude:sonnet or 'command:./agent'. First choice first."),
    ] = None,
    role: Annotated[
        list[str] | None, typer.Option(metavar="ROLE=SPEC", help="ROLE=SPEC,SPEC: agents for one role.")
    ] = None,
    workers: Annotated[int | None, typer.Option(help="Agents at once.", min=1, max=256)] = None,
    pipeline: Annotated[
        str | None, typer.Option(metavar="NAME", help="contract-first, plan-code-verify, single, or your own.")
    ] = None,
    target: Annotated[
        int | None,
        typer.Option(help="Begin nothing new once so many tickets have landed; what is under way still lands.", min=1),
    ] = None,
    until: UntilOption = None,
    approve: Annotated[
        str | None, typer.Option(metavar="WHAT", help="What a person approves: none, plan, landing or all.")
    ] = None,
    budget_usd: Annotated[float | None, typer.Option(help="Never spend more than this.")] = None,
    budget_tokens: Annotated[int | None, typer.Option(help="Never use more tokens than this.", min=1)] = None,
    sandbox: Annotated[str | None, typer.Option(metavar="KIND", help="auto, bubblewrap or none.")] = None,
    base: Annotated[str | None, typer.Option(metavar="BRANCH", help="The branch to begin from and save to.")] = None,
    no_gate: Annotated[bool, typer.Option("--no-gate", help="Land without the project's gates, in your name.")] = False,
    allow_red_base: Annotated[
        bool, typer.Option("--allow-red-base", help="Begin although the gate is red; only new failures count.")
    ] = False,
    save: Annotated[bool, typer.Option("--save", help="Save to the base branch at the end.")] = False,
    wait: Annotated[bool, typer.Option("--wait", help="Wait for answers instead of exiting with 3.")] = False,
    record: Annotated[Path | None, typer.Option(metavar="DIR", help="Record every attempt into this folder.")] = None,
    detach: Annotated[
        bool, typer.Option("--detach", help="Leave it running in the background once it has begun.")
    ] = False,
    no_keep_awake: Annotated[
        bool, typer.Option("--no-keep-awake", help="Let the machine fall asleep while agents work.")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would be done, and do nothing.")] = False,
    repo: Annotated[
        Path | None, typer.Option(metavar="DIR", help="The repository, instead of the current folder.")
    ] = None,
) -> None:
    """From a goal, a specification or tickets to landed commits, with many agents at once.

    Example: codeswarm run 'add a --json flag to the list command'

    Exit codes: 0 done, 1 something failed, 2 nothing was begun, 3 a person must decide, 4 suspended.
    """
    here: Here = context.obj
    if repo is not None:
        here = replace(here, directory=here.directory / repo)
    flags = _flags(agent, role, workers, pipeline, approve, budget_usd, budget_tokens, sandbox, no_keep_awake)
    end = None if until is None else parse_until(until, SystemClock().now_ms())
    wish = Wish(
        goal, spec, tickets, name, base, flags, no_gate, allow_red_base, save, wait, target, record, end, detach
    )
    wish = replace(wish, detach=detach)
    plan = asked_for(here, wish)
    if dry_run:
        _show_dry_run(here, wish, plan)
        return
    wish = replace(wish, record=recording_folder(here, record))
    settle_settings(here, base, flags, no_gate=no_gate)
    raise typer.Exit(run_async(_run(here, wish, plan)))


def _flags(
    agents: list[str] | None,
    roles: list[str] | None,
    workers: int | None,
    pipeline: str | None,
    approve: str | None,
    budget_usd: float | None,
    budget_tokens: int | None,
    sandbox: str | None,
    no_keep_awake: bool = False,
) -> Flags:
    """What was typed, as settings by section and key."""
    typed: dict[str, dict[str, Any]] = {
        "roles": chosen_agents(agents or [], roles or []),
        "swarm": {"workers": workers},
        "pipeline": {"default": pipeline},
        "policy": {"approve": [word.strip() for word in approve.split(",")] if approve else None},
        "budget": {"usd": budget_usd, "tokens": budget_tokens},
        "sandbox": {"kind": sandbox},
        "engine": {"keep_awake": False if no_keep_awake else None},
    }
    kept = {
        section: {key: value for key, value in keys.items() if value is not None} for section, keys in typed.items()
    }
    return {section: keys for section, keys in kept.items() if keys}


def asked_for(here: Here, wish: Wish) -> dict[str, Any]:
    """What a planner, or the tickets, are to make: the part of the request that says what is wanted.

    Raises: UsageError, TicketsInvalid.
    """
    if wish.tickets is not None and wish.spec is not None:
        raise UsageError(
            "--tickets and --spec don't go together", "tickets are a plan already", "codeswarm run --tickets FILE"
        )
    if wish.tickets is not None:
        found = read_source(wish.tickets, here.directory)
        for note in found.notes:
            progress(note)
        return found.wire()
    if wish.spec is not None:
        text = read_specification(wish.spec, here.directory)
        return {"ask": text, "goal": wish.goal or headline(text), "source": _source(wish.spec)}
    if not wish.goal.strip():
        raise UsageError(
            "nothing says what is wanted",
            "neither a goal nor tickets were given",
            "codeswarm run 'what is wanted'",
        )
    return {"ask": wish.goal}


def _source(name: str) -> str:
    return "standard input" if name == "-" else name


async def _run(here: Here, wish: Wish, plan: dict[str, Any]) -> int:
    key = str(uuid.uuid4())

    async def begin(client: RouterClient, joined: bool) -> Conversation:
        started = await client.post("/sessions", request_of(here, wish, plan), key=key, timeout_s=300)
        announce(here, wish, started, joined=joined)
        return Conversation(here, client, SessionId(started["session"]), wait=wish.wait)

    if wish.detach:
        return await begin_detached(here, lambda: worker_plan(here, wish), begin, wait=wish.wait)
    return await converse(here, lambda: worker_plan(here, wish), begin)


def worker_plan(here: Here, wish: Wish) -> Any:
    from codeswarm.engine.beginning import begin_from
    from codeswarm.wiring import WorkerPlan

    _, loaded = begin_from(here.home.project, here.environment, wish.base, wish.flags)
    config = loaded.config
    return WorkerPlan(config.swarm.workers, here.directory, record=wish.record, keep_awake=config.engine.keep_awake)


def request_of(here: Here, wish: Wish, plan: dict[str, Any]) -> dict[str, Any]:
    return {
        "by": here.by,
        "goal": wish.goal,
        "name": wish.name,
        "base": wish.base,
        "flags": wish.flags,
        "no_gate": wish.no_gate,
        "allow_red_base": wish.allow_red_base,
        "approve_plan_by_default": is_terminal() and not here.json and not wish.detach,
        "save_at_end": wish.save,
        "target": wish.target,
        "until": wish.until and wish.until.model_dump(),
        **plan,
    }


def announce(
    here: Here, wish: Wish, started: dict[str, Any], *, joined: bool, tell: Callable[[str], None] = say
) -> None:
    base = started["base"]
    unseen = started["unseen"]
    line = f"session {started['session']} on {base['branch']} at {base['commit'][:10]}"
    if unseen:
        shown = ", ".join(unseen[:5]) + (f" and {len(unseen) - 5} more" if len(unseen) > 5 else "")
        line += f"; agents won't see your uncommitted changes in {shown}"
    (progress if here.json else tell)(line)
    if wish.until is not None:
        progress(time_left(wish.until.at_ms, SystemClock().now_ms()))
    for note in started["notes"]:
        progress(note)
    if joined:
        progress("joined the router that is live here")


def _show_dry_run(here: Here, wish: Wish, data: dict[str, Any]) -> None:
    """What would be used, and the waves; nothing is written."""
    from codeswarm.cli.planned import measures

    resolved = _resolve(here, wish, data)
    base, config = resolved.base, resolved.loaded.config
    tickets = resolved.plan.tickets if resolved.plan is not None else ()
    figures = measures(tickets, config.swarm.workers, resolved.settings.default_estimate_s)
    waves, path = figures["waves"], figures["critical_path"]
    roles = told(config.roles) or {"*": ["claude"]}
    document = {
        "base": {"branch": base.branch, "commit": base.commit},
        "unseen": list(here.home.project.unseen()),
        "gates": config.gates.model_dump(include={"fast", "full", "contract"}),
        "roles": roles,
        "workers": config.swarm.workers,
        "sandbox": config.sandbox.kind,
        "pipeline": config.pipeline.default,
        "waves": waves,
        "critical_path": path,
        "until_ms": wish.until and wish.until.at_ms,
        "planner": resolved.plan is None,
        "ignored": list(resolved.loaded.ignored),
    }
    if here.json:
        say_json(document)
        return
    say(f"base {base.branch} at {base.commit[:10]}; gate: {config.gates.fast or config.gates.full or 'none'}")
    say(f"agents {as_typed(roles)}, {config.swarm.workers} at once, sandbox {config.sandbox.kind}")
    for number, wave in enumerate(waves, 1):
        say(f"wave {number}: {', '.join(wave)}")
    say(f"critical path: {' → '.join(path)}" if path else "the plan: made by a planner; see it first: codeswarm plan")


def _resolve(here: Here, wish: Wish, data: dict[str, Any]) -> Resolved:
    """What the run would begin with. Raises: what the run would be refused with, before anything is run."""
    from codeswarm.engine.sessions import Resolver, SessionRequest, name_taken
    from codeswarm.ledger import views

    check_gate_found(here, wish.base, wish.flags, no_gate=wish.no_gate)
    request = SessionRequest.model_validate(request_of(here, wish, data))
    resolved = Resolver(here.home.project, here.environment, here.directory).resolve(request)
    if wish.name and here.home.data.ledger.is_file():
        with here.tables() as tables:
            if taken := views.rows(tables, "sessions", name=wish.name):
                raise name_taken(taken[0]["id"], wish.name)
    return resolved
