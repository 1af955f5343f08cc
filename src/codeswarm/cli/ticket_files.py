"""`ticket import|export`: tickets from elsewhere, and back."""

from __future__ import annotations

import os
import sys
import tempfile
import uuid
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from codeswarm.cli.here import Here
from codeswarm.cli.output import count, progress, say, say_json
from codeswarm.domain.ids import SessionId
from codeswarm.errors import UsageError

if TYPE_CHECKING:
    from codeswarm.domain.session import Session

SessionOption = Annotated[str | None, typer.Option(help="The session; the latest one if left out.")]


def import_(
    context: typer.Context,
    source: Annotated[str, typer.Argument(help="A file (YAML, JSON, beads), beads:[DIR], or - for standard input.")],
    session: Annotated[str | None, typer.Option(help="Add to this session, instead of making a new one.")] = None,
    lenient: Annotated[
        bool, typer.Option("--lenient", help="Leave out what is wrong with a foreign file, and name it.")
    ] = False,
    name: Annotated[str, typer.Option(help="A name for the new session.")] = "",
    goal: Annotated[str, typer.Option(help="What the tickets are for, for the agents to know.")] = "",
    agent: Annotated[list[str] | None, typer.Option(help="KIND[:MODEL]; first choice first.")] = None,
    pipeline: Annotated[str | None, typer.Option(help="contract-first, plan-code-verify, single, or your own.")] = None,
    sandbox: Annotated[str | None, typer.Option(help="auto, bubblewrap or none.")] = None,
    base: Annotated[str | None, typer.Option(help="The branch to begin from and save to.")] = None,
    no_gate: Annotated[bool, typer.Option("--no-gate", help="Land without the project's gates, in your name.")] = False,
) -> None:
    """Take tickets from a file or from beads: into a session, or into a new one that waits in draft.

    Example: codeswarm ticket import beads:
    """
    from codeswarm.sources.read import read_source

    here: Here = context.obj
    found = read_source(source, here.directory, lenient=lenient)
    for note in found.notes:
        progress(note)
    tickets = found.plan.get("tickets")
    told = count(len(tickets) if isinstance(tickets, list) else 0, "ticket")
    if session is not None:
        id_ = here.session(session)["id"]
        here.ask(f"/sessions/{id_}/tickets", {"by": here.by, **found.wire()})
        _tell(here, {"session": id_, "tickets": told, "notes": list(found.notes)}, f"{told} added to session {id_}")
        return
    body = {
        "by": here.by,
        "name": name,
        "goal": goal,
        **found.wire(),
        "base": base,
        "flags": _flags(agent, pipeline, sandbox),
        "no_gate": no_gate,
        "draft": True,
    }
    id_ = here.ask("/sessions", body, key=str(uuid.uuid4()))["session"]
    document = {"session": id_, "tickets": told, "notes": list(found.notes)}
    _tell(here, document, f"session {id_} is a draft of {told}\nbegin: codeswarm resume {id_}")


def _flags(agents: list[str] | None, pipeline: str | None, sandbox: str | None) -> dict[str, dict[str, Any]]:
    from codeswarm.cli.roles import every_role

    flags: dict[str, dict[str, Any]] = {"roles": every_role(agents or [])}
    if pipeline:
        flags["pipeline"] = {"default": pipeline}
    if sandbox:
        flags["sandbox"] = {"kind": sandbox}
    return {section: keys for section, keys in flags.items() if keys}


def _tell(here: Here, document: dict[str, Any], words: str) -> None:
    if here.json:
        say_json(document)
    else:
        say(words)


def export(
    context: typer.Context,
    file: Annotated[str, typer.Argument(help="Where to; - for standard output.")],
    session: SessionOption = None,
    format_: Annotated[
        str | None, typer.Option("--format", help="yaml, json or beads; else as the file's name ends.")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Write over a file that is not what was imported.")] = False,
) -> None:
    """Write a session's tickets to a file, for a later run or back to beads.

    Example: codeswarm ticket export .beads/issues.jsonl
    """
    from codeswarm.sources.export import FORMATS, export as exported, format_of

    here: Here = context.obj
    on_stdout = file == "-"
    chosen = format_ or ("json" if here.json and on_stdout else format_of(file))
    if on_stdout and here.json and chosen != "json":
        raise UsageError(
            f"--json and --format {chosen} don't go together", "--json prints one JSON document", "--format json"
        )
    if chosen not in FORMATS:
        raise UsageError(f"there is no format {chosen!r}", f"known are {', '.join(FORMATS)}", "--format yaml")
    state = state_of(here, here.session(session)["id"])
    originals = _originals(here, state)
    data = exported(state, chosen, list(originals.values()))
    if on_stdout:
        sys.stdout.buffer.write(data)
        return
    path = here.directory / file
    _check_ours(path, data, originals, force=force)
    _write(path, data)
    written = sum(ticket.planning is None for ticket in state.tickets.values())
    document = {"session": state.id, "file": str(path), "format": chosen, "tickets": written}
    _tell(here, document, f"{count(written, 'ticket')} of session {state.id} in {file}")


def state_of(here: Here, session: str) -> Session:
    """A session's state, read from its events."""
    from codeswarm.engine.kernel import replay

    with here.ledger() as ledger:
        return replay(ledger, SessionId(session))


def _originals(here: Here, state: Session) -> dict[str, bytes]:
    """The foreign files that were kept, by digest. Raises: UsageError where one is missing."""
    from codeswarm.ledger.artifacts import Artifacts

    artifacts = Artifacts(here.home.data.artifacts)
    found = {}
    for source in state.sources:
        data = artifacts.get(source.digest)
        if data is None:
            raise UsageError(
                f"what {source.name} was when it was imported is missing",
                "the artifacts have no such file any more",
                "codeswarm ledger verify",
            )
        found[source.digest] = data
    return found


def _check_ours(path: Path, data: bytes, originals: dict[str, bytes], *, force: bool) -> None:
    """Raises: UsageError where something would be lost: the file is neither what was imported nor what is written."""
    if force or not path.exists():
        return
    there = path.read_bytes()
    if there != data and there not in originals.values():
        why = "it is not, or not any more, what was imported: writing it anew would lose what differs"
        raise UsageError(f"{path} is there already", why, "--force")


def _write(path: Path, data: bytes) -> None:
    """All of it or nothing. Raises: UsageError."""
    try:
        with tempfile.NamedTemporaryFile(dir=path.parent, delete=False) as file:
            part = Path(file.name)
            try:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
                part.chmod(path.stat().st_mode & 0o777 if path.exists() else 0o644)
                part.replace(path.resolve())
            except OSError:
                part.unlink()
                raise
    except OSError as error:
        raise UsageError(f"{path} can't be written", str(error), "codeswarm ticket export - > FILE") from error
