"""`codeswarm trust`: let a repository's own settings for agents, and its looser settings, count as they stand."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from codeswarm.cli.here import Here
from codeswarm.cli.output import say, say_json

if TYPE_CHECKING:
    from codeswarm.config import Loaded
    from codeswarm.engine.trust import Asked


def trust(
    context: typer.Context,
    show: Annotated[bool, typer.Option("--show", help="Only show what there is, and whether you trust it.")] = False,
    revoke: Annotated[bool, typer.Option("--revoke", help="Trust it no more.")] = False,
    base: Annotated[
        str | None, typer.Option("--base", help="The branch; default: the one that is checked out.")
    ] = None,
) -> None:
    """Let this repository's hooks, MCP servers, skills and looser settings count, as they stand now.

    Example: codeswarm trust --show
    """
    from datetime import UTC, datetime

    from codeswarm.engine.beginning import begin_from
    from codeswarm.engine.trust import asked_of, trusted_by
    from codeswarm.errors import UsageError

    here: Here = context.obj
    if show and revoke:
        raise UsageError("--show and --revoke exclude each other", "one looks, one changes", "codeswarm trust --show")
    project = here.home.project
    begin, _ = begin_from(project, here.environment, base)
    asked = asked_of(project, here.environment, begin.commit)
    if revoke:
        trusted_by(here.environment).remove(asked.digests)
    elif not show:
        now = datetime.now(UTC).isoformat(timespec="seconds")
        note = {"repository": str(project.git_dir), "branch": begin.branch, "by": here.by, "at": now}
        trusted_by(here.environment).add(asked.digests, note)
    _, loaded = begin_from(project, here.environment, begin.branch)
    _tell(here, asked_of(project, here.environment, begin.commit), loaded, begin.branch)


def _tell(here: Here, asked: Asked, loaded: Loaded, branch: str) -> None:
    if here.json:
        rows = {"branch": branch, "files": asked.files, "ignored": loaded.ignored}
        say_json({**rows, "trusts_agents": asked.trusts_agents, "trusts_settings": asked.trusts_settings})
        return
    if not asked.digests:
        say(f"{branch} holds nothing that needs trust")
        return
    for file in asked.files:
        say(f"{'trusted' if asked.trusts_agents else 'not trusted'}  {file}")
    if asked.settings:
        say(f"{'trusted' if asked.trusts_settings else 'not trusted'}  codeswarm.toml, where it loosens anything")
        for what in loaded.ignored if not asked.trusts_settings else ():
            say(f"             {what}")
    say("It holds for what stands there now: whatever changes is asked about anew.")
