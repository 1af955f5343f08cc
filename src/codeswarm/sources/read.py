"""One SOURCE as it is typed: a file, `-`, `beads:[DIR]`. What it is shows in its name, else in its first character."""

from __future__ import annotations

import json
import shlex
import sys
from pathlib import Path

from codeswarm.errors import UsageError
from codeswarm.sources import beads
from codeswarm.sources.base import MAX_BYTES, Found
from codeswarm.sources.tickets_file import parse_tickets

MAX_YAML = 16 << 20
NOT_ISSUES = frozenset({"deletions.jsonl", "interactions.jsonl", "routes.jsonl", "molecules.jsonl", "sync_base.jsonl"})
"""What else beads keeps in its folder."""


def read_source(source: str, directory: Path, *, lenient: bool = False) -> Found:
    """What a source holds. `lenient`: a foreign one is read as far as it can be, and what could not be is named.

    Raises: UsageError where it can't be read, TicketsInvalid with all that is wrong with its form.
    """
    if source.startswith("github:"):
        raise UsageError(
            "github: sources are not part of this version",
            "export them to a file",
            "codeswarm example tickets   # what a file looks like",
        )
    if source.startswith("beads:"):
        path = _beads_file(directory, source.removeprefix("beads:"))
        return beads.read(str(path), _bytes(path, str(path)), lenient=lenient)
    name, data = ("standard input", _typed()) if source == "-" else (source, _bytes(directory / source, source))
    if source.endswith(".jsonl") or (not source.endswith((".json", ".yaml", ".yml")) and _is_lines(data)):
        return beads.read(name, data, lenient=lenient)
    if not source.endswith(".json") and len(data) > MAX_YAML:
        raise UsageError(
            f"{name} is larger than {MAX_YAML >> 20} MiB",
            "YAML is read slowly: so much of it takes minutes, and the same as JSON a second",
            "codeswarm example tickets   # what one looks like; the same as JSON is read from a file named .json",
        )
    return Found(parse_tickets(name, _text(name, data)), name)


def _is_lines(data: bytes) -> bool:
    """Whether this is a JSON object a line, and not one document: its first line is whole and is no plan."""
    first = data.lstrip().partition(b"\n")[0]
    if not first.startswith(b"{"):
        return False
    try:
        found = json.loads(first)
    except (ValueError, RecursionError):
        return False
    return isinstance(found, dict) and "id" in found and "tickets" not in found


def _beads_file(directory: Path, wanted: str) -> Path:
    """The issues file of the nearest `.beads` folder, or of the one in the folder that was named."""
    here = (directory / wanted).resolve()
    places = [here] if wanted else [here, *here.parents]
    folders = [folder for place in places for folder in (place / ".beads", place) if folder.name == ".beads"]
    for folder in folders:
        for path in (folder / "issues.jsonl", folder / "beads.jsonl", *sorted(folder.glob("*.jsonl"))):
            if path.is_file() and path.name not in NOT_ISSUES:
                return path
    where = f"{here} and the folders above it" if not wanted else str(here)
    raise UsageError(
        "there is no beads file here",
        f"no .beads/*.jsonl in {where}",
        "bd export -o .beads/issues.jsonl   # or name a tickets file: codeswarm example tickets > tickets.yaml",
    )


def _typed() -> bytes:
    return _bounded(sys.stdin.buffer.read(MAX_BYTES + 1), "standard input")


def _bytes(path: Path, name: str) -> bytes:
    try:
        with path.open("rb") as file:
            return _bounded(file.read(MAX_BYTES + 1), name)
    except OSError as error:
        raise UsageError(f"the tickets file {name} can't be read", str(error), _instead(path, name)) from error


def _instead(path: Path, name: str) -> str:
    """An example is written only to where nothing is."""
    if path.is_dir():
        issues = f"; its issues: beads:{name}" if (path / ".beads").is_dir() else ""
        return f"ls -a {shlex.quote(name)}   # then name one of its files{issues}"
    if path.exists():
        return f"ls -l {shlex.quote(name)}   # who may read it"
    folder = "" if path.parent.is_dir() else f"mkdir -p {shlex.quote(str(Path(name).parent))} && "
    return f"{folder}codeswarm example tickets > {shlex.quote(name)}   # then write yours into it, or name another file"


def _bounded(data: bytes, name: str) -> bytes:
    if len(data) > MAX_BYTES:
        why = "it is read into memory and kept as a whole; a plan of 10,000 tickets takes less than a tenth of that"
        split = "codeswarm ticket add --from FILE   # its tickets a part at a time, once a session has the first"
        raise UsageError(f"{name} is larger than {MAX_BYTES >> 20} MiB", why, split)
    return data


def _text(name: str, data: bytes) -> str:
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UsageError(
            f"the tickets file {name} can't be read", str(error), "codeswarm example tickets   # what one looks like"
        ) from error
