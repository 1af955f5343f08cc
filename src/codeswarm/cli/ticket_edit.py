"""`ticket add|edit|split|link|unlink`: changing a plan while it is being built."""

from __future__ import annotations

import re
from typing import Annotated, Any

import typer

from codeswarm.cli.here import Here
from codeswarm.cli.output import progress, say, say_json
from codeswarm.cli.ticket_files import SessionOption, state_of
from codeswarm.errors import UsageError

HIDDEN = ("hold", "origin")
"""Keys that no editor shows: they are not edited."""

TicketArgument = Annotated[str, typer.Argument(metavar="TICKET", help="[SESSION/]ID")]
FromOption = Annotated[str | None, typer.Option("--from", metavar="FILE", help="A YAML or JSON file, or -.")]
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
        tickets = [{"id": id_ or _id_from(title, state_of(here, row["id"]).tickets), **typed}]
    else:
        raise UsageError("a ticket needs a title", "", "codeswarm ticket add --title '…'; or: --from FILE")
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
) -> None:
    """Change a ticket from its next attempt on: what is typed, what a file says, or what you make of it in $EDITOR.

    Example: codeswarm ticket edit parser --priority 0
    """
    here: Here = context.obj
    changes = _typed(title, description, acceptance, blocked_by, file, label, priority, estimate, gate, pipeline)
    if from_ is not None:
        changes |= _read(here, from_)
    elif not changes:
        changes = _edited(here, ticket)
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
) -> None:
    """Put several tickets in the place of one: what waited for it waits for all of them, and it is cancelled.

    What a part leaves out (what it waits for, priority, labels, files …) it has from the whole.

    Example: codeswarm ticket split parser --into parts.yaml
    """
    here: Here = context.obj
    parts = _rows(_read(here, into)) if into is not None else _parts(here, ticket)
    answer = _ask(here, ticket, "split", parts=parts)
    ids = ", ".join(str(part.get("id")) for part in parts if isinstance(part, dict))
    _tell(here, answer, f"ticket {ticket}: split into {ids}; what was done on it is kept: codeswarm work {ticket}")


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
        raise UsageError(f"{verb} needs a ticket to wait for", "", f"codeswarm ticket {verb} {ticket} --blocked-by ID")
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


def _edited(here: Here, ticket: str) -> dict[str, Any]:
    """What the person changed of a ticket in their editor; a key that is gone is taken away."""
    from codeswarm.cli.editor import edit as in_editor
    from codeswarm.domain.planning.steps import without_planners
    from codeswarm.sources.export import spec_data
    from codeswarm.sources.tickets_file import parse_tickets, write_yaml

    session, row = here.ticket(ticket)
    state = state_of(here, session["id"])
    before = spec_data(without_planners(state, state.tickets[row["id"]].spec))
    before = {key: value for key, value in before.items() if key not in HIDDEN}
    after = parse_tickets(row["id"], in_editor(here, write_yaml(before), f"{row['id']}.yaml"))
    if after.get("id") != before["id"]:
        raise UsageError("the id of a ticket can't be edited", "", f"codeswarm ticket split {ticket} --into FILE")
    return {key: after.get(key) for key in {**before, **after} if after.get(key) != before.get(key)}


def _parts(here: Here, ticket: str) -> list[Any]:
    """The parts that the person makes of a ticket in their editor, which begins with the whole."""
    from codeswarm.cli.editor import edit as in_editor
    from codeswarm.domain.planning.steps import without_planners
    from codeswarm.sources.export import spec_data
    from codeswarm.sources.tickets_file import parse_tickets, write_yaml

    session, row = here.ticket(ticket)
    state = state_of(here, session["id"])
    whole = spec_data(without_planners(state, state.tickets[row["id"]].spec))
    whole = {key: value for key, value in whole.items() if key not in HIDDEN}
    template = write_yaml({"tickets": [{**whole, "id": f"{row['id']}-1"}, {**whole, "id": f"{row['id']}-2"}]})
    text = in_editor(here, template, f"{row['id']}.yaml")
    if text == template:
        raise UsageError("nothing was changed: the ticket stays whole", "", f"codeswarm ticket split {ticket}")
    return _rows(parse_tickets(row["id"], text))


def _id_from(title: str, taken: Any) -> str:
    """An id made of a title, which no other ticket bears."""
    words = re.sub(r"[^a-z0-9]+", "-", title.lower()).strip("-")[:40].strip("-") or "ticket"
    return next(id_ for n in range(1, len(taken) + 2) if (id_ := words if n == 1 else f"{words}-{n}") not in taken)
