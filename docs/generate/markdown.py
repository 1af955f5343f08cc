"""Plain Markdown, as forges and MyST both read it."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable

NOTICE = "<!-- Made from the code by `make docs-reference`: change the descriptions there, not here. -->"
WIDTH = 120


def document(title: str, *parts: str) -> str:
    return "\n\n".join([f"# {title}", NOTICE, *(part.rstrip() for part in parts if part)]) + "\n"


def paragraph(text: str) -> str:
    """Folded to a width that people read in an editor."""
    return textwrap.fill(" ".join(text.split()), WIDTH, break_long_words=False, break_on_hyphens=False)


def table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    titles = list(head)
    rule = "|" + "---|" * len(titles)
    return "\n".join([_row(titles), rule, *map(_row, rows)])


def _row(cells: Iterable[str]) -> str:
    return "| " + " | ".join(map(_cell, cells)) + " |"


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


def code(text: str) -> str:
    return f"`{text}`"


def capital(text: str) -> str:
    """Begins with a capital letter, unless it begins with a piece of code."""
    text = text.strip()
    return text[:1].upper() + text[1:]


def sentence(text: str) -> str:
    """Ends with a full stop, unless it lists values."""
    text = text.strip()
    return text if " · " in text or text.endswith((".", "!", "?", "…")) else f"{text}."
