"""Loads the SQL that stands beside this file: named queries, and migrations in the order of their numbers."""

from __future__ import annotations

from functools import cache
from pathlib import Path

HERE = Path(__file__).parent


@cache
def queries(dialect: str) -> dict[str, str]:
    """Name → statement, from `DIALECT/queries.sql`; each begins with a line `-- name: NAME`."""
    text = (HERE / dialect / "queries.sql").read_text(encoding="utf-8")
    found: dict[str, str] = {}
    for block in text.split("-- name: ")[1:]:
        name, _, statement = block.partition("\n")
        found[name.strip()] = statement.strip()
    return found


@cache
def migrations(dialect: str) -> list[tuple[int, str]]:
    """(number, script) in order, from `DIALECT/migrations/NNNN_what.sql`."""
    folder = HERE / dialect / "migrations"
    scripts = sorted((entry.name, entry) for entry in folder.iterdir() if entry.name.endswith(".sql"))
    return [(int(name.partition("_")[0]), entry.read_text(encoding="utf-8")) for name, entry in scripts]
