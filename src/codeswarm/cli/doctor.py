"""`codeswarm doctor`: what is here and works; each line ok, or the command that mends it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict

import typer

from codeswarm.cli.agents_here import agents_here, first_run
from codeswarm.cli.checks import Finding, checks
from codeswarm.cli.here import Here
from codeswarm.cli.output import console, next_step, say_json


def doctor(context: typer.Context) -> None:
    """Check what Codeswarm needs here: git, walls, agents, the repository, the settings, the ledger.

    Example: codeswarm doctor

    Exit codes: 0 all that is needed is here, 2 something is not.
    """
    here: Here = context.obj
    found = list(checks(here))
    broken = [finding for finding in found if not finding.ok and finding.needed]
    if here.json:
        say_json({"ok": not broken, "checks": [asdict(finding) for finding in found]})
    else:
        _tell(found)
        next_step(*_next(here, found, broken))
    raise typer.Exit(2 if broken else 0)


def _tell(found: Sequence[Finding]) -> None:
    out = console()
    for finding in found:
        style = None if finding.ok else "red"
        out.print(f"{finding.mark:4}{finding.what}: {finding.detail}", style=style, markup=False)
        if finding.fix and not finding.ok:
            out.print(f"      {finding.fix}", markup=False)


def _next(here: Here, found: Sequence[Finding], broken: Sequence[Finding]) -> list[str]:
    """What to do now: mend what nothing works without, then settings, then work. Before a commit git wants a name."""
    unnamed = [finding.fix for finding in found if finding.what == "name"]
    if broken:
        return [*unnamed, broken[0].fix or "mend what is marked with no", "codeswarm doctor"]
    gate = next((finding for finding in found if finding.what == "gate"), None)
    if gate is None or "detected from" in gate.detail:
        return [*unnamed, "codeswarm init"]
    return first_run(agents_here(here))
