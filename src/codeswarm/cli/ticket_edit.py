"""`ticket add|edit|split|link|unlink`: changing a plan while it is being built."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Any

import typer

from codeswarm.cli.here import Here
from codeswarm.cli.output import progress, say, say_json
from codeswarm.cli.ticket_files import SessionOption, state_of
from codeswarm.domain.ids import name_problem
from codeswarm.domain.rejection import Refusal
from codeswarm.errors import Refused, UsageError, to_mend

if TYPE_CHECKING:
    from codeswarm.cli.editor import Paper

TITLE = "--title 'WHAT IS WANTED'"
INVALID = Refused.STATUS[Refusal.INVALID]
HIDDEN = ("hold", "origin")
"""Keys that no editor shows: they are not edited."""

TicketArgument = Annotated[str, typer.Argument(metavar="TICKET", help="[SESSION/]ID")]
FromOption = Annotated[str | None, typer.Option("--from", metavar="FILE", help="A YAML or JSON file, or -.")]
EditOption = Annotated[bool, typer.Option("--edit", help="Open it in $EDITOR first, also what --from or --into names.")]
TitleOption = Annotated[str | None, typer.Option(help="Becomes the subject of the commit.")]
DescriptionOption = Annotated[str | None, typer.Option(help="What is wanted.")]
AcceptanceOption = Annotated[list[str] | None, typer.Option(help="A sentence that must be true in the end; again …")]
BlockedByOption = Annotated[list[str] | None, typer.Option(help="A ticket that must land before; again for more.")]
FileOption = Annotated[list[str] | None, typer.Option("--file", help="A glob of files it will touch; again …")]
LabelOption = Annotated[list[str] | None, typer.Option(help="A label of yours; again for more.")]
PriorityOption = Annotated[int | None, typer.Option(help="0 is the highest, 4 the lowest.", min=0, max=4)]
EstimateOption = Annotated[float | None, typer.Option(help="Seconds of work, for the critical path.")]
GateOption = Annotated[str | None, typer.Option(help="A command that must pass, too.")]
PipelineOption = Annotated[str | None, typer.Option(help="Its phases, instead of the default ones.")]


def add(
    context: typer.Context,
    title: TitleOption = None,
    id_: Annotated[str | None, typer.Option("--id", help="Its id; else made of the title.")] = None,
    description: DescriptionOption = None,
    acceptance: AcceptanceOption = None,
    blocked_by: BlockedByOption = None,
    file: FileOption = None,
    label: LabelOption = None,
    priority: PriorityOption = None,
    estimate: EstimateOption = None,
    gate: GateOption = None,
    pipeline: PipelineOption = None,
    from_: FromOption = None,
    session: SessionOption = None,
) -> None:
    """Add a ticket to a session, live or not; --from adds all tickets of a file.

    Example: codeswarm ticket add --title 'Describe the flag' --blocked-by parser
    """
    here: Here = context.obj
    row = here.session(session)
    typed = _typed(title, description, acceptance, blocked_by, file, label, priority, estimate, gate, pipeline)
    if from_ is not None:
        tickets = _rows(_read(here, from_))
    elif title is not None:
        tickets = [{"id": _id(title, id_, state_of(here, row["id"]).tickets), **typed}]
    else:
        raise UsageError("a ticket needs a title", "neither --title nor --from was typed", TITLE)
    body = {"by": here.by, "plan": {"tickets": tickets}, "source": from_ or "the ticket"}
    answer = here.ask(f"/sessions/{row['id']}/tickets", body)
    ids = ", ".join(str(ticket.get("id")) for ticket in tickets if isinstance(ticket, dict))
    _tell(here, answer, f"added to session {row['id']}: {ids}")


def edit(
    context: typer.Context,
    ticket: TicketArgument,
    title: TitleOption = None,
    description: DescriptionOption = None,
    acceptance: AcceptanceOption = None,
    blocked_by: BlockedByOption = None,
    file: FileOption = None,
    label: LabelOption = None,
    priority: PriorityOption = None,
    estimate: EstimateOption = None,
    gate: GateOption = None,
    pipeline: PipelineOption = None,
    from_: FromOption = None,
    edit: EditOption = False,
) -> None:
    """Change a ticket from its next attempt on: what is typed, what a file says, or what you make of it in $EDITOR.

    Example: codeswarm ticket edit parser --priority 0
    """
    here: Here = context.obj
    changes = _typed(title, description, acceptance, blocked_by, file, label, priority, estimate, gate, pipeline)
    if edit or not (changes or from_):
        with _edited(here, ticket, changes, from_) as changes:
            _change(here, ticket, changes)
        return
    with _to_be_mended(from_):
        _change(here, ticket, changes | (_read(here, from_) if from_ is not None else {}))


def _change(here: Here, ticket: str, changes: dict[str, Any]) -> None:
    changes = {key: value for key, value in changes.items() if key != "id"}
    answer = _ask(here, ticket, "edit", changes=changes)
    if not answer["events"]:
        _tell(here, answer, f"ticket {ticket}: nothing has changed")
        return
    _tell(here, answer, f"ticket {ticket}: changed from its next attempt on")


def split(
    context: typer.Context,
    ticket: TicketArgument,
    into: Annotated[str | None, typer.Option(metavar="FILE", help="The parts, as a tickets file; or -.")] = None,
    edit: EditOption = False,
) -> None:
    """Put several tickets in the place of one: what waited for it waits for all of them, and it is cancelled.

    What a part leaves out (what it waits for, priority, labels, files …) it has from the whole. What waited for the
    whole and needs only some parts is named in those: blocks: [ID].

    Example: codeswarm ticket split parser --into parts.yaml
    """
    here: Here = context.obj
    if edit or into is None:
        with _parts(here, ticket, into) as parts:
            _split(here, ticket, parts)
    else:
        with _to_be_mended(into):
            _split(here, ticket, _rows(_read(here, into)))


def _split(here: Here, ticket: str, parts: list[Any]) -> None:
    answer = _ask(here, ticket, "split", parts=parts)
    whole = f"{answer['session']}/{ticket.rpartition('/')[2]}"
    ids = ", ".join(str(part.get("id")) for part in parts if isinstance(part, dict))
    _tell(here, answer, f"ticket {ticket}: split into {ids}; what was done on it is kept: codeswarm work {whole}")


@contextmanager
def _to_be_mended(file: str | None) -> Iterator[None]:
    """What is wrong with a ticket that stands in a file is mended there."""
    from codeswarm.router_client import RouterRefused

    try:
        yield
    except RouterRefused as error:
        if file is not None and error.http_status == INVALID:
            error.hint = to_mend(file)
        raise


def link(context: typer.Context, ticket: TicketArgument, blocked_by: BlockedByOption = None) -> None:
    """Let a ticket wait for others, too.

    Example: codeswarm ticket link docs --blocked-by parser
    """
    _relink(context.obj, ticket, "link", blocked_by, "waits for {} now")


def unlink(context: typer.Context, ticket: TicketArgument, blocked_by: BlockedByOption = None) -> None:
    """Let a ticket wait for others no more.

    Example: codeswarm ticket unlink docs --blocked-by parser
    """
    _relink(context.obj, ticket, "unlink", blocked_by, "does not wait for {} any more")


def _relink(here: Here, ticket: str, verb: str, blocked_by: list[str] | None, told: str) -> None:
    if not blocked_by:
        raise UsageError(
            f"{verb} needs a ticket to wait for",
            "none was named with --blocked-by",
            f"codeswarm ticket {verb} {ticket} --blocked-by ID",
        )
    answer = _ask(here, ticket, verb, blocked_by=blocked_by)
    _tell(here, answer, f"ticket {ticket}: {told.format(', '.join(blocked_by))}")


def _ask(here: Here, ticket: str, verb: str, **body: Any) -> dict[str, Any]:
    session, row = here.ticket(ticket)
    path = f"/sessions/{session['id']}/tickets/{row['id']}/commands"
    return here.ask(path, {"command": verb, "by": here.by, **body})


def _tell(here: Here, answer: dict[str, Any], words: str) -> None:
    if here.json:
        say_json(answer)
        return
    say(words)
    if not here.live:
        progress(f"go on: codeswarm resume {answer['session']}")


# ── what is typed, read or edited ──


def _typed(
    title: str | None,
    description: str | None,
    acceptance: list[str] | None,
    blocked_by: list[str] | None,
    files: list[str] | None,
    labels: list[str] | None,
    priority: int | None,
    estimate: float | None,
    gate: str | None,
    pipeline: str | None,
) -> dict[str, Any]:
    """The keys of a ticket that were typed. An empty text takes a list or a text away."""
    keys: dict[str, Any] = {
        "title": title,
        "description": description,
        "acceptance": acceptance,
        "blocked_by": blocked_by,
        "files": files,
        "labels": labels,
        "priority": priority,
        "estimate_s": estimate,
        "gate": gate,
        "pipeline": pipeline,
    }
    given = {key: value for key, value in keys.items() if value is not None and value != []}
    return {key: _emptied(key, value) for key, value in given.items()}


def _emptied(key: str, value: Any) -> Any:
    if value == [""]:
        return []
    return None if value == "" and key in ("gate", "pipeline") else value


def _read(here: Here, name: str) -> dict[str, Any]:
    from codeswarm.sources.read import read_source

    return read_source(name, here.directory).plan


def _rows(data: dict[str, Any]) -> list[Any]:
    """The tickets of a file that may also be one ticket alone."""
    tickets = data.get("tickets", [data])
    return tickets if isinstance(tickets, list) else [tickets]


@contextmanager
def _edited(here: Here, ticket: str, typed: dict[str, Any], from_: str | None) -> Iterator[dict[str, Any]]:
    """What the person changes of a ticket in their editor; a key that is gone is taken away."""
    from codeswarm.cli.editor import edited
    from codeswarm.sources.tickets_file import parse_tickets, write_yaml

    before = _shown(here, ticket)
    paper = _paper(here, "ticket", write_yaml({**before, **typed}), from_, "--from")
    with edited(here, paper) as text:
        after = parse_tickets(paper.path.name, text)
        if after.get("id", before["id"]) != before["id"]:
            raise UsageError("the id of a ticket can't be edited", "landed commits bear it", paper.again)
        after["id"] = before["id"]
        yield {key: after.get(key) for key in {**before, **after} if after.get(key) != before.get(key)}


@contextmanager
def _parts(here: Here, ticket: str, into: str | None) -> Iterator[list[Any]]:
    """The parts that the person makes of a ticket in their editor, which begins with the whole."""
    from codeswarm.cli.editor import edited
    from codeswarm.sources.tickets_file import parse_tickets, write_yaml

    whole = _shown(here, ticket)
    blocks = {"blocks": found} if (found := _waiting_for(here, ticket)) else {}
    template = write_yaml({"tickets": [{**whole, "id": f"{whole['id']}-{number}", **blocks} for number in (1, 2)]})
    paper = _paper(here, "parts", template, into, "--into")
    with edited(here, paper) as text:
        if text == template:
            raise UsageError("nothing was changed: the ticket stays whole", "the parts are what it is", paper.command)
        yield _rows(parse_tickets(paper.path.name, text))


def _waiting_for(here: Here, ticket: str) -> list[str]:
    from codeswarm.domain.revising import OVER

    session, row = here.ticket(ticket)
    state = state_of(here, session["id"])
    return [str(id_) for id_ in state.dependents[row["id"]] if state.tickets[id_].status not in OVER]


def _paper(here: Here, name: str, text: str, file: str | None, option: str) -> Paper:
    from codeswarm.cli.editor import command_of, lay_out, named

    command = command_of(here, option)
    if file == "-":
        raise UsageError("standard input can't be edited", f"{option} - and --edit don't go together", command)
    if file is not None:
        return named(here, file, command, option)
    return lay_out(here, name, text, command, option)


def _shown(here: Here, ticket: str) -> dict[str, Any]:
    """A ticket as it is edited."""
    from codeswarm.domain.planning.steps import without_planners
    from codeswarm.sources.export import spec_data

    session, row = here.ticket(ticket)
    state = state_of(here, session["id"])
    data = spec_data(without_planners(state, state.tickets[row["id"]].spec))
    return {key: value for key, value in data.items() if key not in HIDDEN}


def _id(title: str, wanted: str | None, taken: Any) -> str:
    """The id of a ticket that is typed. Raises: UsageError where there is no title, or what is wanted can't be one."""
    if not title.strip():
        raise UsageError("a ticket needs a title", "the one that was typed is empty", TITLE)
    if wanted is None:
        return _id_from(title, taken)
    if problem := name_problem(wanted):
        raise UsageError(f"{wanted!r} can't be a ticket's id", f"it {problem}", f"--id {_id_from(wanted, taken)}")
    return wanted


def _id_from(title: str, taken: Any) -> str:
    """An id made of a title, which no other ticket bears."""
    words = re.sub(r"[^a-z0-9]+", "-", title.lower()).strip("-")[:40].strip("-") or "ticket"
    return next(id_ for n in range(1, len(taken) + 2) if (id_ := words if n == 1 else f"{words}-{n}") not in taken)
