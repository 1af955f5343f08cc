"""`codeswarm simulate`: what a plan will take, foretold by the same decisions that would run it."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from codeswarm.cli.here import Here
from codeswarm.cli.output import count, duration, progress, say, say_json

if TYPE_CHECKING:
    from codeswarm.simulator.forecast import Forecast, Wish

NO_PRICE = "say what an hour of one agent costs: --usd-per-hour 3"


def simulate(
    context: typer.Context,
    tickets: Annotated[str, typer.Argument(metavar="TICKETS", help="A tickets file, beads:[DIR] or -.")],
    workers: Annotated[int, typer.Option(help="Agents at once.", min=1, max=256)] = 4,
    seed: Annotated[int, typer.Option(help="Another one gives other failures and durations.")] = 0,
    fail_rate: Annotated[
        float, typer.Option(metavar="P", help="The share of attempts that fail.", min=0.0, max=0.9)
    ] = 0.0,
    pipeline: Annotated[str, typer.Option(help="For tickets that name none.")] = "contract-first",
    usd_per_hour: Annotated[
        float | None, typer.Option(metavar="USD", help="What an hour of one agent costs.", min=0.0)
    ] = None,
) -> None:
    """Forecast how long a plan takes, its cost, and what one more agent would buy.

    The decisions are those of a real run; agents take as long as tickets are estimated at (600 s without an estimate).

    Example: codeswarm simulate tickets.yaml --workers 4 --fail-rate 0.1
    """
    from codeswarm.simulator.forecast import forecast

    here: Here = context.obj
    wish = _wish(here, tickets, workers, seed, fail_rate, pipeline)
    found = forecast(wish)
    cost = None if usd_per_hour is None else round(found.busy_s / 3600 * usd_per_hour, 2)
    if here.json:
        say_json(_document(wish, found, cost))
        return
    _tell(tickets, wish, found, cost)


def _wish(here: Here, source: str, workers: int, seed: int, fail_rate: float, pipeline: str) -> Wish:
    """Raises: UsageError, TicketsInvalid."""
    from codeswarm.domain.pipeline import SHIPPED
    from codeswarm.domain.plan import read_plan
    from codeswarm.errors import TicketsInvalid, UsageError
    from codeswarm.simulator.forecast import Wish
    from codeswarm.sources.read import read_source

    if pipeline not in SHIPPED:
        known = ", ".join(SHIPPED)
        raise UsageError(f"there is no pipeline {pipeline!r}", f"known are {known}", "codeswarm simulate --help")
    found = read_source(source, here.directory)
    for note in found.notes:
        progress(note)
    rows = found.plan.get("tickets")
    named = {row["pipeline"] for row in rows if _names_pipeline(row)} if isinstance(rows, list) else set()
    # A pipeline of the repository's own has phases that are not known here: such a ticket counts as one of one phase.
    pipelines = {**dict.fromkeys(named, SHIPPED["single"]), **SHIPPED}
    plan = read_plan(found.plan, pipelines)
    if isinstance(plan, list):
        raise TicketsInvalid(found.name, [str(problem) for problem in plan])
    return Wish(plan.tickets, workers, seed, fail_rate, pipelines, pipeline)


def _names_pipeline(row: object) -> bool:
    return isinstance(row, dict) and isinstance(row.get("pipeline"), str)


def _document(wish: Wish, found: Forecast, cost: float | None) -> dict[str, Any]:
    told = {key: round(value, 3) if isinstance(value, float) else value for key, value in asdict(found).items()}
    more = told.pop("one_more_worker_s")
    return {
        **told,
        "cost_usd": cost,
        "cost_why": NO_PRICE if cost is None else f"{found.busy_s / 3600:.2f} hours of agents",
        "tickets": len(wish.tickets),
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
    unknown = sum(spec.estimate_s is None for spec in wish.tickets)
    if unknown:
        say(f"{count(unknown, 'ticket')} of {len(wish.tickets)} without estimate_s, taken for 10 min each")
    say(f"next: codeswarm run --tickets {source} --workers {wish.workers}")
