"""`codeswarm`: finds the verb, hands it the place it runs in, and maps every error to an exit code, once."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import Annotated

import typer

from codeswarm.cli.again import again, without
from codeswarm.cli.here import Here
from codeswarm.cli.output import next_step, report_error, say
from codeswarm.cli.unforeseen import unforeseen, write_what_can_be_written
from codeswarm.cli.verbs import Verbs
from codeswarm.environment import Environment
from codeswarm.errors import CodeswarmError, UsageError
from codeswarm.garbage import collect_rarely

INTERRUPTED = 130
EXIT_CODES = {
    0: "done; an unsaved session that is otherwise whole counts as done",
    1: "the work failed: a ticket failed, the full gate is red, the session was cancelled; a check found something",
    2: "wrong usage or configuration, and nothing was begun; also a red base, a ledger of a newer version, and what the"
    " state of a session or ticket does not allow",
    3: "a person must decide: an open approval, a ticket on hold, a save that was refused",
    4: "suspended: paused, stopped, its time over, out of budget, meltdown, no worker for what is left;"
    " `codeswarm resume` goes on",
    INTERRUPTED: "interrupted with Ctrl+C",
}
"""What a command may end with. The reference is made of these words."""
EVERYWHERE = {"-C": 1, "--data": 1, "--router": 1, "--token": 1, "--context": 1, "--json": 0}
"""Options that every command takes, before or behind its name, and how many values each has."""

AGAIN = ("--", "env ")
"""How a hint begins that is only a part of what is to be typed again."""

FIRST_PAGE = """\
Codeswarm turns a goal and a git repository into landed, tested commits, by many coding agents at once.

  codeswarm doctor                what is here, and what is missing
  codeswarm init                  find out how this project is built and tested
  codeswarm run 'WHAT YOU WANT'   plan it, build it, test it, land it
  codeswarm report                what came of it: why, diff, proof, cost, undo
  codeswarm save                  move your branch to all that landed

No project at hand: codeswarm demo      All commands: codeswarm --help"""
"""What `codeswarm` alone says; the whole list of commands does not fit on a terminal."""

app = typer.Typer(
    help="Turns tickets and a git repository into landed, tested commits by many agents, and loses nothing on the way.",
    epilog="Begin with: codeswarm doctor. Every command also takes: "
    "-C DIR, --json, --data DIR, --router URL, --token T, --context NAME.",
    no_args_is_help=True,
    add_completion=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    cls=Verbs,
)


def _version(wanted: bool) -> None:
    if wanted:
        from codeswarm.version import VERSION

        say(f"codeswarm {VERSION}")
        raise typer.Exit


@app.callback()
def begin(
    context: typer.Context,
    directory: Annotated[Path | None, typer.Option("-C", metavar="DIR", help="Run as if started there.")] = None,
    json: Annotated[bool, typer.Option("--json", help="One JSON document (or JSON Lines) on standard output.")] = False,
    data: Annotated[Path | None, typer.Option("--data", metavar="DIR", help="The data directory.")] = None,
    router: Annotated[str | None, typer.Option("--router", metavar="URL", help="A shared router.")] = None,
    token: Annotated[str | None, typer.Option("--token", metavar="T", help="For a shared router.")] = None,
    context_name: Annotated[str | None, typer.Option("--context", metavar="NAME", help="A remembered router.")] = None,
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="The version, and nothing else.")
    ] = False,
) -> None:
    if router or token or context_name:
        raise UsageError(
            "shared routers are not part of this version",
            "--router, --token and --context have no effect yet",
            without(sys.argv[1:], "--router", "--token", "--context"),
        )
    context.obj = Here(_absolute(directory or Path()), json, data and _absolute(data), tuple(sys.argv[1:]))


def _absolute(path: Path) -> Path:
    """Raises: UsageError where there is nothing that it could be relative to."""
    try:
        return path.absolute()
    except FileNotFoundError as error:
        left = Environment.read().left_folder
        there = next(place for place in left.parents if place.is_dir()) if left else None
        raise UsageError(
            "the folder that you are in is not there any more",
            f"{left} was moved or removed" if left else str(error),
            f"cd {shlex.quote(str(there))}" if there else "cd",
        ) from error


def hoist(arguments: list[str]) -> list[str]:
    """The options that every command takes, moved to the front: they may stand anywhere before a `--`."""
    front: list[str] = []
    rest: list[str] = []
    words = iter(arguments)
    for word in words:
        name = word.partition("=")[0]
        if word == "--":
            rest += [word, *words]
        elif name not in EVERYWHERE:
            rest.append(word)
        elif EVERYWHERE[name] and "=" not in word:
            front += [word, *([value] if (value := next(words, None)) is not None else [])]
        else:
            front.append(word)
    return front + rest


def main(arguments: list[str] | None = None) -> None:
    """The entry point. Exits with 0 done, 1 failed, 2 wrong usage, 3 a person decides, 4 suspended, 130 Ctrl+C."""
    collect_rarely()
    write_what_can_be_written()
    words = hoist(sys.argv[1:] if arguments is None else arguments)
    asked_by_shell = Environment.read().completing
    try:
        code = app(words, standalone_mode=False, prog_name="codeswarm") if words or asked_by_shell else _first_page()
    except CodeswarmError as error:
        error.hint = again(words, error.hint) if error.hint.startswith(AGAIN) else error.hint
        code = report_error(error, as_json="--json" in words)
    except KeyboardInterrupt:
        code = INTERRUPTED
    except BrokenPipeError:
        code = 0
    except (typer.TyperException, typer.Abort) as error:
        code = _usage(error, as_json="--json" in words)
    except Exception as error:  # noqa: BLE001 - the last line of defence: three lines, whatever it is
        code = report_error(unforeseen(error), as_json="--json" in words)
    sys.exit(code if isinstance(code, int) else 0)


def _first_page() -> int:
    say(FIRST_PAGE)
    next_step("codeswarm doctor")
    return 0


def _usage(error: Exception, *, as_json: bool) -> int:
    """The parser's own complaints about what was typed, in our three lines."""
    if not isinstance(error, typer.TyperException):
        return INTERRUPTED
    context = getattr(error, "ctx", None)
    if type(error).__name__ == "NoArgsIsHelpError":
        say(_message(error))
        return 0
    command = context.command_path if context is not None else "codeswarm"
    problem = UsageError(_message(error), "it does not fit what the command takes", f"{command} --help")
    return report_error(problem, as_json=as_json)


def _message(error: typer.TyperException) -> str:
    tell = getattr(error, "format_message", None)
    return str(tell()) if tell else str(error)
