"""`codeswarm simulate`: what a plan will take, foretold by the same decisions that would run it."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from codeswarm.cli.here import Here
from codeswarm.cli.output import count, duration, next_step, progress, say, say_json
from codeswarm.errors import NotARepository, RepositoryUnfit, UsageError

if TYPE_CHECKING:
    from codeswarm.domain.pipeline import Pipeline
    from codeswarm.domain.ticket import TicketSpec
    from codeswarm.simulator.forecast import Forecast, Wish

MOST_NAMED = 5
MOST_USD = 1e6
NO_PRICE = "say what an hour of one agent costs: --usd-per-hour 3"


def simulate(
    context: typer.Context,
    tickets: Annotated[str, typer.Argument(metavar="TICKETS", help="A tickets file, beads:[DIR] or -.")],
    workers: Annotated[int, typer.Option(help="Agents at once.", min=1, max=256)] = 4,
    seed: Annotated[int, typer.Option(help="Another one gives other failures and durations.")] = 0,
    fail_rate: Annotated[
        float, typer.Option(metavar="P", help="The share of attempts that fail.", min=0.0, max=0.9)
    ] = 0.0,
    pipeline: Annotated[
        str | None, typer.Option(metavar="NAME", help="For tickets that name none; else as the settings say.")
    ] = None,
    usd_per_hour: Annotated[
        float | None, typer.Option(metavar="USD", help="What an hour of one agent costs.", min=0.0)
    ] = None,
) -> None:
    """Forecast how long a plan takes, its cost, and what one more agent would buy.

    The decisions are those of a real run, with the pipelines of the repository; agents take as long as tickets are
    estimated at (600 s without an estimate).

    Example: codeswarm simulate tickets.yaml --workers 4 --fail-rate 0.1
    """
    from codeswarm.simulator.forecast import forecast

    here: Here = context.obj
    if usd_per_hour is not None and usd_per_hour > MOST_USD:
        raise UsageError(f"--usd-per-hour {usd_per_hour:g} is no price", "no agent costs that", "--usd-per-hour 3")
    wish = _wish(here, tickets, workers, seed, fail_rate, pipeline)
    found = forecast(wish)
    cost = None if usd_per_hour is None else round(found.busy_s / 3600 * usd_per_hour, 2)
    if here.json:
        say_json(_document(wish, found, cost))
        return
    _tell(tickets, wish, found, cost)


def _wish(here: Here, source: str, workers: int, seed: int, fail_rate: float, pipeline: str | None) -> Wish:
    """Raises: UsageError, TicketsInvalid."""
    from codeswarm.domain.plan import read_plan
    from codeswarm.engine.pipelines import check_known
    from codeswarm.errors import TicketsInvalid
    from codeswarm.simulator.forecast import Wish
    from codeswarm.sources.read import read_source

    found = read_source(source, here.directory)
    for note in found.notes:
        progress(note)
    pipelines, default = _pipelines(here, found.plan.get("tickets"))
    check_known(pipeline or default, pipelines)
    plan = read_plan(found.plan, pipelines)
    if isinstance(plan, list):
        raise TicketsInvalid(found.name, [str(problem) for problem in plan])
    return Wish(plan.tickets, workers, seed, fail_rate, pipelines, pipeline or default)


def _pipelines(here: Here, rows: object) -> tuple[dict[str, Pipeline], str]:
    """Those of the repository, and its default. Where there is none, what tickets name counts as one of one phase."""
    from codeswarm.domain.pipeline import DEFAULT_PIPELINE, SHIPPED
    from codeswarm.engine.beginning import begin_from
    from codeswarm.engine.pipelines import pipelines_of

    try:
        config = begin_from(here.home.project, here.environment)[1].config
    except (NotARepository, RepositoryUnfit):
        named = {row["pipeline"] for row in rows if _names_pipeline(row)} if isinstance(rows, list) else set()
        return {**dict.fromkeys(named, SHIPPED["single"]), **SHIPPED}, DEFAULT_PIPELINE
    return pipelines_of(config), config.pipeline.default


def _names_pipeline(row: object) -> bool:
    return isinstance(row, dict) and isinstance(row.get("pipeline"), str)


def _held(wish: Wish) -> list[TicketSpec]:
    return [spec for spec in wish.tickets if spec.hold is not None]


def _lacking(wish: Wish) -> list[TicketSpec]:
    """What no worker can take: those of `run` have no labels in this version."""
    return [spec for spec in wish.tickets if spec.requires]


def _document(wish: Wish, found: Forecast, cost: float | None) -> dict[str, Any]:
    told = {key: round(value, 3) if isinstance(value, float) else value for key, value in asdict(found).items()}
    more = told.pop("one_more_worker_s")
    return {
        **told,
        "cost_usd": cost,
        "cost_why": NO_PRICE if cost is None else f"{found.busy_s / 3600:.2f} hours of agents",
        "tickets": len(wish.tickets),
        "taken_as_released": [spec.id for spec in _held(wish)],
        "taken_as_startable": {spec.id: list(spec.requires) for spec in _lacking(wish)},
        "pipeline": wish.default_pipeline,
        "estimated": sum(spec.estimate_s is not None for spec in wish.tickets),
        "workers": wish.workers,
        "seed": wish.seed,
        "fail_rate": wish.fail_rate,
        "one_more_worker": {
            "workers": wish.workers + 1,
            "makespan_s": more,
            "saves_s": round(found.makespan_s - found.one_more_worker_s, 3),
        },
    }


def _tell(source: str, wish: Wish, found: Forecast, cost: float | None) -> None:
    from codeswarm.simulator.forecast import RUNS

    saved = found.makespan_s - found.one_more_worker_s
    path = " → ".join(found.critical_path[:8]) + (" → …" if len(found.critical_path) > 8 else "")
    bound = f"at least {duration(found.lower_bound_s)}: the critical path, or all work shared out"
    rows = [
        ("takes", duration(found.makespan_s), bound),
        ("mostly", duration(found.makespan_p50_s), f"9 of 10 below {duration(found.makespan_p90_s)}, if estimates err"),
        ("work", duration(found.work_s), f"{found.utilisation:.0%} of the time of {count(wish.workers, 'worker')}"),
        ("critical path", duration(found.critical_path_s), path),
        ("conflicts", found.conflicts_expected, "pairs in work at once that may touch the same file"),
        ("cost", "unknown" if cost is None else f"{cost:.2f} USD", NO_PRICE if cost is None else "by the hour"),
        ("one more worker", f"saves {duration(saved)}", f"more than {found.enough_workers} save nothing to speak of"),
    ]
    if found.failures_expected:
        rows.insert(3, ("failures", found.failures_expected, "attempts that are done again"))
    for what, value, why in rows:
        say(f"{what:16} {value!s:15} {why}")
    if found.runs < RUNS:
        say(f"a plan of {len(wish.tickets)} tickets: the range is of {count(found.runs, 'play')}, not of {RUNS}")
    unknown = sum(spec.estimate_s is None for spec in wish.tickets)
    if unknown:
        say(f"{count(unknown, 'ticket')} of {len(wish.tickets)} without estimate_s, taken for 10 min each")
    run = f"codeswarm run --tickets {shlex.quote(source)} --workers {wish.workers}"
    held, lacking = _held(wish), _lacking(wish)
    if held:
        say(f"not as a run would be: {count(len(held), 'ticket')} on hold, taken as released: {_named(held)}")
    if lacking:
        needs = ", ".join(sorted({label for spec in lacking for label in spec.requires}))
        what = (
            f"{count(len(lacking), 'ticket')} that no worker here can take (requires: {needs}), taken as if one could"
        )
        say(f"not as a run would be: {what}: {_named(lacking)}")
        next_step(
            f"${{EDITOR:-vi}} {shlex.quote(source)}   # take `requires` out; such workers are of a later version", run
        )
        return
    next_step(run, *([f"codeswarm ticket release {held[0].id}"] if held else []))


def _named(specs: Sequence[TicketSpec]) -> str:
    return ", ".join(spec.id for spec in specs[:MOST_NAMED]) + (" …" if len(specs) > MOST_NAMED else "")
