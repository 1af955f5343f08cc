"""`config show|check`: every setting, its value, and where that came from."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from codeswarm.cli.here import Here
from codeswarm.cli.output import say, say_json, table

app = typer.Typer(help="Settings and where they come from.", no_args_is_help=True)


@app.command()
def show(
    context: typer.Context,
    all_: Annotated[bool, typer.Option("--all", help="Also what stands at its default.")] = False,
) -> None:
    """Print each setting in force with its source.

    Example: codeswarm config show --all
    """
    here: Here = context.obj
    loaded = _load(here)
    rows = [
        {"key": f"{section}.{key}", "value": value, "from": loaded.origins.get(f"{section}.{key}", "default")}
        for section, values in loaded.config.model_dump(mode="json", by_alias=True).items()
        for key, value in (values.items() if isinstance(values, dict) else [("", values)])
    ]
    shown = [row for row in rows if all_ or row["from"] != "default"]
    if here.json:
        say_json({"settings": shown, "ignored": list(loaded.ignored)})
        return
    if not shown:
        say("everything stands at its default; codeswarm config show --all prints it")
    table(("setting", "value", "from"), ((row["key"].rstrip("."), row["value"], row["from"]) for row in shown))
    for what in loaded.ignored:
        say(f"ignored: {what}")
    for key in loaded.without_effect:
        say(f"no effect in this version: {key}")


@app.command()
def check(context: typer.Context) -> None:
    """Read all settings and tell what is wrong with them; exit 2 where something is.

    Example: codeswarm config check

    Exit codes: 0 every file can be used, 2 one has mistakes.
    """
    here: Here = context.obj
    loaded = _load(here)
    if here.json:
        say_json({"ok": True, "ignored": list(loaded.ignored)})
        return
    say("the settings can be used")
    for what in loaded.ignored:
        say(f"ignored: {what}")
    for key in loaded.without_effect:
        say(f"no effect in this version: {key}")


def _load(here: Here) -> Any:
    """As a run would read them now: the repository's file at the tip of its base branch."""
    from codeswarm.engine.beginning import begin_from

    return begin_from(here.home.project, here.environment)[1]
