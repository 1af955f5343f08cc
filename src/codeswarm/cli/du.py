"""`codeswarm du`: how much disk is used here, by what, and by which session."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import typer

from codeswarm.cli.here import Here
from codeswarm.cli.output import say, say_json, table
from codeswarm.errors import Refused


@dataclass(frozen=True, slots=True)
class Part:
    """One kind of thing on the disk. `session` is empty where sessions share it."""

    what: str
    session: str
    bytes: int
    path: str


def du(context: typer.Context) -> None:
    """Show the disk used by the store, transcripts, workspaces and caches of this repository.

    Each kind by itself, and by session where one session has it alone.

    Example: codeswarm du
    """
    here: Here = context.obj
    parts = [*_data(here), *_cache(here)]
    total = sum(part.bytes for part in parts)
    if here.json:
        say_json({"bytes": total, "parts": [asdict(part) for part in parts]})
        return
    _tell(here, parts, total)


def _data(here: Here) -> Iterator[Part]:
    data = here.home.data
    for what, path in (("store (git)", data.store), ("gate logs, transcripts of the past", data.artifacts / "objects")):
        yield _part(what, "", path)
    files = [path for path in data.root.glob("ledger.sqlite3*") if path.is_file()]
    yield Part("ledger", "", sum(path.stat().st_size for path in files), str(data.ledger))
    yield _part("logs of workers", "", data.logs)
    for folder in _folders(data.artifacts / "transcripts"):
        yield _part("transcripts", folder.name, folder)


def _cache(here: Here) -> Iterator[Part]:
    from codeswarm.worker.places import ATTEMPTS, HOMES, LOWER, SETUP

    root = here.home.workspaces
    names = ((ATTEMPTS, "workspaces"), (HOMES, "HOMEs of tickets"), (LOWER, "shared checkouts"))
    for folder, what in names:
        for each in _folders(root / folder):
            yield _part(what, each.name.partition(".")[0], each)
    yield _part("kept set-ups", "", root / SETUP)


def _folders(root: Path) -> list[Path]:
    return sorted(path for path in root.iterdir() if path.is_dir()) if root.is_dir() else []


def _part(what: str, session: str, path: Path) -> Part:
    from codeswarm.worker.cleaning import size_of

    return Part(what, session, size_of(path) if path.is_dir() else 0, str(path))


# ── telling ──────────────────────────────────────────────────────────────────────────────────────────────────


def _tell(here: Here, parts: list[Part], total: int) -> None:
    sums: dict[tuple[str, str], int] = {}
    for part in parts:
        key = (part.session, part.what)
        sums[key] = sums.get(key, 0) + part.bytes
    known = _sessions(here)
    shared = [(what, "", size) for (session, what), size in sums.items() if not session]
    own = [
        (what, known.get(session, f"{session} (unknown)"), size) for (session, what), size in sums.items() if session
    ]
    rows = sorted([*shared, *own], key=lambda row: (row[1], -row[2]))
    table(("what", "session", "MiB"), ((what, session, f"{size / (1 << 20):.1f}") for what, session, size in rows))
    say(f"{total / (1 << 20):.1f} MiB in all, below")
    for place in (here.home.data.root, here.home.workspaces):
        say(f"  {place}")
    say("what nobody needs any more: codeswarm gc --dry-run")


def _sessions(here: Here) -> dict[str, str]:
    """Session → how it is shown: its id, its name, its state."""
    with contextlib.suppress(Refused), here.tables() as tables:
        return {row["id"]: f"{row['name'] or row['id']} ({row['status']})" for row in tables.table("sessions")}
    return {}
