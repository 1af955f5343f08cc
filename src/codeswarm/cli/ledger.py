"""`ledger verify|rebuild|migrate|export|backup|restore`: the care of what is remembered."""

from __future__ import annotations

import os
import shlex
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from codeswarm.cli.here import Here
from codeswarm.cli.output import say, say_json
from codeswarm.domain.rejection import unknown
from codeswarm.errors import Refused, UsageError

FINE, DAMAGED, TOO_NEW = 0, 1, 2

app = typer.Typer(help="Check, mend, copy and export what is remembered.", no_args_is_help=True)


@app.command()
def verify(
    context: typer.Context,
    quick: Annotated[bool, typer.Option("--quick", help="Leave out reading every git object.")] = False,
) -> None:
    """Replay the whole ledger and hold it against its tables, receipts, files, commits and refs. Changes nothing.

    Exit code 0: all is well; 1: something is wrong, and each line says what to do; 2: a newer program wrote it.

    Example: codeswarm ledger verify

    Exit codes: 0 all is well, 1 something is not, 2 a newer version wrote it.
    """
    from codeswarm.engine.verify import verify_all
    from codeswarm.ledger.care import Code

    here = _with_ledger(context)
    found = verify_all(here.home.data, live=here.live, deep=not quick)
    if here.json:
        say_json({"ok": not found, "problems": [asdict(problem) for problem in found]})
    else:
        _tell(here, found)
    newer = {problem.code for problem in found} == {Code.NEWER}
    raise typer.Exit(TOO_NEW if newer else DAMAGED if found else FINE)


def _tell(here: Here, found: list[Any]) -> None:
    for problem in found:
        say(f"{problem.where}: {problem.what}")
        say(f"  {problem.next_step}")
    if found:
        say(f"{len(found)} {'thing is' if len(found) == 1 else 'things are'} wrong with {here.home.data.root}")
        return
    with here.ledger() as ledger:
        seq, hash_ = ledger.head()
    say(f"all is well: {seq} events, replayed and held against tables, receipts, files, commits and refs")
    say(f"the last one's hash is {hash_}")


@app.command()
def rebuild(context: typer.Context) -> None:
    """Write the tables anew from the log. Only while no session is live; refuses where the log itself is damaged.

    Example: codeswarm ledger rebuild
    """
    from codeswarm.home import router_lock
    from codeswarm.ledger.rebuild import rebuild as rebuild_tables

    here = _with_ledger(context)
    with router_lock(here.home.data):
        mended = rebuild_tables(here.home.data.ledger)
    if here.json:
        say_json({"mended": mended})
    elif not mended:
        say("every table was as the log says")
    for name, rows in () if here.json else mended.items():
        say(f"{name}: {rows} {'row was' if rows == 1 else 'rows were'} wrong and {'is' if rows == 1 else 'are'} mended")


@app.command()
def migrate(context: typer.Context) -> None:
    """Bring a ledger that an older version wrote to this version's schema. `run` and `resume` do it by themselves.

    Example: codeswarm ledger migrate
    """
    from codeswarm.home import router_lock
    from codeswarm.ledger.connection import migrate_file

    here = _with_ledger(context)
    with router_lock(here.home.data):
        before, after = migrate_file(here.home.data.ledger)
    if here.json:
        say_json({"before": before, "after": after})
    else:
        say(f"schema {after}, as it was" if before == after else f"from schema {before} to schema {after}")


def _elsewhere(path: Path) -> str:
    if not path.parent.is_dir():
        return f"mkdir -p {shlex.quote(str(path.parent))}   # then the same again"
    return f"--output {shlex.quote(str(path.with_name(f'{path.stem}-2{path.suffix}')))}"


@app.command()
def export(
    context: typer.Context,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="FILE", help="A new file; else standard output.")
    ] = None,
) -> None:
    """Write every event as a line of JSON, oldest first, with the hash that chains it to the one before.

    Example: codeswarm ledger export -o events.jsonl
    """
    from codeswarm.ledger.export import export as lines

    here = _with_ledger(context)
    if output is None:
        for line in lines(here.home.data.ledger):
            sys.stdout.write(line)
        return
    path = here.directory / output
    try:
        file = os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8")
    except OSError as error:
        raise UsageError(f"{path} can't be written", str(error), _elsewhere(path)) from error
    with file:
        written = sum(file.write(line) > 0 for line in lines(here.home.data.ledger))
    say_json({"path": str(path), "events": written}) if here.json else say(f"{written} events in {path}")


@app.command()
def backup(
    context: typer.Context,
    target: Annotated[Path, typer.Argument(help="The new file.")],
) -> None:
    """Copy the ledger while it is in use. Transcripts and commits are copied beside it by any tool, after it.

    Example: codeswarm ledger backup ../codeswarm-ledger.sqlite3
    """
    from codeswarm.ledger.backup import backup as copy

    here = _with_ledger(context)
    made = copy(here.home.data.ledger, here.directory / target)
    if here.json:
        say_json({"path": str(made.path), "events": made.seq, "hash": made.hash, "bytes": made.size_bytes})
        return
    say(f"{made.path}: {made.seq} events, {made.size_bytes >> 10} KiB; the last one's hash is {made.hash}")
    say(f"to have everything, copy {here.home.data.store} and {here.home.data.artifacts} too")


@app.command()
def restore(
    context: typer.Context,
    backup: Annotated[Path, typer.Argument(help="What `codeswarm ledger backup` made.")],
) -> None:
    """Put a backup at the ledger's place; what stood there is kept beside it. Only while no session is live.

    Example: codeswarm ledger restore ../codeswarm-ledger.sqlite3
    """
    from codeswarm.home import router_lock
    from codeswarm.ledger.restore import restore as put_back

    here: Here = context.obj
    with router_lock(here.home.data):
        done = put_back(here.directory / backup, here.home.data.ledger)
    if here.json:
        say_json({"events": done.seq, "hash": done.hash, "kept": done.kept and str(done.kept)})
        return
    say(f"restored: {done.seq} events; the last one's hash is {done.hash}")
    if done.kept is not None:
        say(f"the ledger from before is kept as {done.kept}")
    say("next: codeswarm ledger verify")


def _with_ledger(context: typer.Context) -> Here:
    """Raises: Refused where there is nothing to care for."""
    here: Here = context.obj
    if not here.home.data.ledger.is_file():
        raise Refused(
            unknown(
                "there is no session here yet, so there is no ledger",
                "codeswarm run 'WHAT YOU WANT'",
                "nothing was begun in this repository",
            )
        )
    return here
