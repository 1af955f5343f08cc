"""`codeswarm report`: the morning page, as text, as one HTML file, or as JSON."""

from __future__ import annotations

import shlex
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from codeswarm.cli.here import Here
from codeswarm.cli.output import console, say, say_json
from codeswarm.clock import SystemClock
from codeswarm.domain.ids import SessionId
from codeswarm.errors import UsageError

if TYPE_CHECKING:
    from codeswarm.report.document import Report
    from codeswarm.report.words import Typing

PLAIN_WIDTH = 80
WIDEST = 110


def report(
    context: typer.Context,
    session: Annotated[
        str | None, typer.Argument(help="Id, unique prefix or name; the latest one if left out.")
    ] = None,
    html: Annotated[
        Path | None, typer.Option("--html", metavar="FILE", help="Write one self-contained page there; - for stdout.")
    ] = None,
) -> None:
    """Tell what came of a session: why, diff, proof, cost and undo of each ticket.

    Example: codeswarm report --html report.html
    """
    here: Here = context.obj
    found = collect(here, session)
    if html is not None:
        _write(here, found, html)
    elif here.json:
        say_json(found.model_dump(mode="json"))
    else:
        _print(found, typing_at(here))


def collect(here: Here, wanted: str | None) -> Report:
    """The report of a session as the ledger stands, live or not: a live router is not kept from its work by it."""

    from codeswarm.engine.receipts import Signer
    from codeswarm.git.store import Store
    from codeswarm.ledger.artifacts import Artifacts
    from codeswarm.report.build import report_of
    from codeswarm.report.evidence import Kept

    id_ = SessionId(here.session(wanted)["id"])
    data = here.home.data
    signer = Signer.open(data.key) if data.key.is_file() else None
    evidence = Kept(Store(data.store), Artifacts(data.artifacts), signer)
    with here.ledger() as ledger:
        return report_of(ledger, id_, evidence, made_ms=SystemClock().now_ms(), live=here.live)


def typing_at(here: Here) -> Typing:
    """Commands with the options that this one was given to find the repository and its data."""
    from codeswarm.report.words import Typing

    at = [] if here.directory == Path.cwd() else ["-C", str(here.directory)]
    data = [] if here.data is None else ["--data", str(here.data.absolute())]
    return Typing(shlex.join(["codeswarm", *at, *data]), shlex.join(["git", *at]))


def _print(found: Report, typing: Typing) -> None:
    from codeswarm.report.text import render

    out = console()
    width = min(out.width, WIDEST) if out.is_terminal else PLAIN_WIDTH
    for line in render(found, width, typing):
        out.print(line)


def _write(here: Here, found: Report, path: Path) -> None:
    """Write the page whole or not at all. Raises: UsageError where it can't be written."""
    from codeswarm.report.html import render

    page = render(found, typing_at(here)).encode()
    if str(path) == "-":
        sys.stdout.buffer.write(page)
        return
    target = here.directory / path
    try:
        with tempfile.NamedTemporaryFile(dir=target.parent, prefix=f".{target.name}.", delete=False) as file:
            _fill(file, page, target)
    except OSError as error:
        raise UsageError(f"{target} can't be written", str(error), "codeswarm report --html report.html") from error
    if here.json:
        say_json({"session": found.session, "file": str(target), "bytes": len(page)})
    else:
        say(f"{target} ({len(page) // 1000 or 1} kB); open it in any browser")


def _fill(file: Any, page: bytes, target: Path) -> None:
    temporary = Path(file.name)
    try:
        file.write(page)
        file.flush()
        temporary.chmod(0o644)
        temporary.replace(target)
    except OSError:
        temporary.unlink(missing_ok=True)
        raise
