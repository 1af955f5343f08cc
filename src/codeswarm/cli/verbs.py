"""The verbs, and where each of them stands: one is imported when it is used, so that none pays for the others."""

from __future__ import annotations

from collections.abc import Iterator, MutableMapping
from dataclasses import dataclass
from importlib import import_module
from typing import Any

import typer
from typer.core import TyperGroup

from codeswarm.cli.later import refuse_what_comes_later
from codeswarm.cli.unchecked import check_what_is_given
from codeswarm.environment import Environment


@dataclass(frozen=True, slots=True)
class Verb:
    """`where`: `MODULE:NAME` of its function, or of a `Typer` of more verbs. `told`: its line in the list of verbs, the
    beginning of its own help.
    """

    where: str
    told: str


VERBS = {
    "init": Verb("init:init", "Detect base branch, gates, set-up command and agents of this repository."),
    "example": Verb("example:example", "Print a file to begin with: a tickets file, or an agent that is no model."),
    "run": Verb("run:run", "From a goal, a specification or tickets to landed commits, with many agents at once."),
    "plan": Verb("plan:plan", "Make a plan and show it: tickets, waves, the critical path, an estimate."),
    "simulate": Verb(
        "simulate:simulate", "Forecast how long a plan takes, its cost, and what one more agent would buy."
    ),
    "resume": Verb("resume:resume", "Go on with a session that was paused, stopped, suspended or cut off."),
    "status": Verb("status:status", "Show a session: its state, its tickets, what waits for a person."),
    "watch": Verb("watch:watch", "Watch a session live, until it comes to rest."),
    "timeline": Verb("timeline:timeline", "Print what happened, oldest first."),
    "report": Verb("report:report", "Tell what came of a session: why, diff, proof, cost and undo of each ticket."),
    "logs": Verb("logs:logs", "Print an attempt's transcript: the last attempt's, or an earlier one's."),
    "diff": Verb("diff:diff", "Show changes: landed ones of the session, or the work of a ticket."),
    "work": Verb("work:work", "Show what was done on a ticket, and where each piece of it is kept."),
    "pause": Verb("steer:pause", "Give out no new work; agents that run finish what they are at."),
    "stop": Verb("steer:stop", "Stop: no new work, running agents end their phase (or end now)."),
    "cancel": Verb("steer:cancel", "Cancel a session for good."),
    "message": Verb("steer:message", "Say something to a ticket's agent, or to all agents of a session."),
    "delegate": Verb("steer:delegate", "Give a session more work, in words."),
    "attach": Verb("attach:attach", "Take over an agent's conversation and workspace by hand; then hand it back."),
    "approvals": Verb("approvals:approvals", "List what waits for an answer, in every session here."),
    "approve": Verb("approvals:approve", "Say yes; to a plan also in another form, with --edit."),
    "reject": Verb("approvals:reject", "Say no, and why."),
    "save": Verb("save:save", "Run the full gate on what has landed and move your branch to it."),
    "checkpoints": Verb("save:checkpoints", "List saved states, newest last."),
    "session": Verb("session:app", "Sessions here."),
    "ticket": Verb("ticket:app", "Tickets of a session."),
    "triage": Verb("triage:triage", "Rank what could be begun now, by what it holds up."),
    "trust": Verb(
        "trust:trust", "Let this repository's hooks, MCP servers, skills and looser settings count, as they stand now."
    ),
    "config": Verb("config:app", "Settings and where they come from."),
    "ledger": Verb("ledger:app", "Check, mend, copy and export what is remembered."),
    "gc": Verb("gc:gc", "Remove workspaces, HOMEs, set-ups and shared checkouts that are not needed."),
    "du": Verb("du:du", "Show the disk used by the store, transcripts, workspaces and caches of this repository."),
    "uninstall": Verb("uninstall:uninstall", "Remove what Codeswarm keeps for this repository."),
    "bug-report": Verb("bug_report:bug_report", "Put together what helps to find a fault."),
    "doctor": Verb("doctor:doctor", "Check what Codeswarm needs here."),
    "demo": Verb("demo:demo", "Watch recorded agents grow a small library."),
}

GROUPS = {
    "Working": ("init", "example", "run", "resume", "plan", "delegate", "simulate", "demo"),
    "Looking": ("status", "watch", "timeline", "report", "logs", "diff", "work", "session", "checkpoints", "triage"),
    "Steering": ("pause", "stop", "cancel", "message", "attach", "approvals", "approve", "reject", "ticket", "save"),
    "Care": ("doctor", "config", "trust", "ledger", "gc", "du", "bug-report", "uninstall"),
}
"""The headings of the list of verbs, and of the reference, with the verbs below each."""


class _Commands(MutableMapping[str, Any]):
    """What the parser knows of the verbs: their names at once, anything else when it asks."""

    def __init__(self) -> None:
        self._made: dict[str, Any] = {}

    def __getitem__(self, name: str) -> Any:
        if name not in self._made:
            self._made[name] = _make(name, VERBS[name])
        return self._made[name]

    def __setitem__(self, name: str, command: Any) -> None:
        self._made[name] = command

    def __delitem__(self, name: str) -> None:
        raise TypeError("a verb can't be taken away")

    def __iter__(self) -> Iterator[str]:
        return iter(VERBS)

    def __len__(self) -> int:
        return len(VERBS)


def _make(name: str, verb: Verb) -> Any:
    module, _, attribute = verb.where.partition(":")
    found = getattr(import_module(f"codeswarm.cli.{module}"), attribute)
    around = typer.Typer(add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None)
    if isinstance(found, typer.Typer):
        around.add_typer(found, name=name)
    else:
        around.command(name)(found)
    command = typer.main.get_group(around).commands[name]
    for each in (command, *getattr(command, "commands", {}).values()):
        check_what_is_given(each.get_params(typer.Context(each)))
        _let_complete(each)
    return command


def _let_complete(command: Any) -> None:
    """Only where a shell asks what could stand here: anyone else would pay for it at every start."""
    if Environment.read().completing:
        from codeswarm.cli.completion import offer

        offer(command)


class Verbs(TyperGroup):
    """The group of all verbs."""

    def __init__(self, **attributes: Any) -> None:
        super().__init__(**attributes)
        self.commands = _Commands()

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        check_what_is_given(self.get_params(ctx))
        return super().parse_args(ctx, args)

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        refuse_what_comes_later(args[0])
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """The list in the help, from the tables alone. A verb without a group stands at the end."""
        groups = {**GROUPS, "More": tuple(VERBS.keys() - {name for group in GROUPS.values() for name in group})}
        for title, names in groups.items():
            if rows := [(name, VERBS[name].told) for name in names if name in VERBS]:
                with formatter.section(title):
                    formatter.write_dl(rows)
