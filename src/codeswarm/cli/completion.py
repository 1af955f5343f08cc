"""What the shell offers behind a word: sessions, tickets, agents, pipelines, sandboxes; by the name of the argument.

It answers from the ledger's tables alone, in the moment between two keys, and stays silent where anything is wrong.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from codeswarm.errors import CodeswarmError

Find = Callable[[Any], Iterable[str]]


def offer(command: Any) -> None:
    """Let a command's arguments and options be completed."""
    for parameter in command.params:
        find = _FINDERS.get(parameter.name)
        if find is not None:
            parameter._custom_shell_complete = _completer(find)  # what typer sets for `autocompletion=` on one of them


def _completer(find: Find) -> Callable[..., list[str]]:
    def complete(context: Any, parameter: Any, incomplete: str) -> list[str]:
        try:
            return [word for word in find(_here(context)) if word.startswith(incomplete)]
        except (CodeswarmError, OSError):
            return []

    return complete


def _here(context: Any) -> Any:
    """Where the command would run. The group's own function does not run while a word is completed."""
    from codeswarm.cli.here import Here

    given = context.find_root().params
    data = given.get("data")
    return Here(Path(given.get("directory") or ".").absolute(), data=Path(data) if data else None)


def _sessions(here: Any) -> Iterator[str]:
    with here.tables() as tables:
        for row in tables.table("sessions"):
            yield from (row["id"], *((row["name"],) if row["name"] else ()))


def _tickets(here: Any) -> Iterator[str]:
    from codeswarm.ledger import views

    with here.tables() as tables:
        latest = views.find_session(tables, None)
        yield from (row["id"] for row in tables.table("tickets", session=latest["id"]))


def _approvals(here: Any) -> Iterator[str]:
    with here.tables() as tables:
        yield from (row["id"] for row in tables.table("approvals", state="open"))


def _agents(here: Any) -> Iterator[str]:
    from codeswarm.agents.factory import KINDS

    yield from (kind if kind == "claude" else f"{kind}:" for kind in KINDS)


def _pipelines(here: Any) -> Iterator[str]:
    from codeswarm.domain.pipeline import SHIPPED
    from codeswarm.engine.beginning import begin_from

    own = begin_from(here.home.project, here.environment)[1].config.pipelines
    yield from dict.fromkeys((*SHIPPED, *own))


def _sandboxes(here: Any) -> Iterable[str]:
    from codeswarm.sandbox.factory import KINDS

    return KINDS


def _branches(here: Any) -> Iterable[str]:
    names = here.home.project.git.line("for-each-ref", "--format=%(refname:lstrip=2)", "--count=200", "refs/heads")
    return [str(name) for name in names.splitlines()]


_FINDERS: dict[str, Find] = {
    "session": _sessions,
    "ticket": _tickets,
    "approval": _approvals,
    "agent": _agents,
    "pipeline": _pipelines,
    "sandbox": _sandboxes,
    "base": _branches,
    "into": _branches,
}
"""Name of an argument or option → the words that it may be."""
