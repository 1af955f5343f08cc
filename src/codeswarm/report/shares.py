"""How much of the page each ticket gets: a page of a thousand tickets, or of a huge one, is still a page.

Sizes are bytes as they will stand in HTML, where a hostile character takes up to ten times its own room.
"""

from __future__ import annotations

import html
from dataclasses import dataclass

from codeswarm.plain import visible

PAGE = 2_400_000
"""Bytes that all tickets share for what others wrote; what we write around it is as much again at most."""
MOST_TICKETS = 1_000
"""Those beyond are only counted."""
MOST_NOTES = 200
_LARGEST = 120_000
_ELLIPSIS = " …"


@dataclass(frozen=True, slots=True)
class Share:
    """What one ticket may take."""

    patch: int
    text: int
    """Of each longer text: a description, a tail."""
    line: int
    """Of each sentence."""
    items: int
    """Of each list."""

    @classmethod
    def of(cls, tickets: int) -> Share:
        """An equal share for each of so many tickets."""
        whole = min(PAGE // max(tickets, 1), _LARGEST)
        return cls(
            patch=whole // 2,
            text=max(whole // 14, 240),
            line=min(max(whole // 60, 120), 600),
            items=min(max(whole // 800, 3), 40),
        )


def size(text: str) -> int:
    """The bytes that a text takes on the page."""
    return len(html.escape(visible(text)).encode(errors="replace"))


def cut(text: str, most: int) -> str:
    """As much of the beginning of `text` as fits into `most` bytes; it says by an ellipsis that there is more."""
    kept = text[:most]
    while kept and (needed := size(kept)) > most:
        kept = kept[: min(len(kept) * most // needed, len(kept) - 1)]
    return kept if len(kept) == len(text) else kept.rstrip() + _ELLIPSIS


def cut_lines(text: str, most: int) -> tuple[str, bool]:
    """As many whole lines of `text` as fit into `most` bytes, and whether that is all of them."""
    if len(text) <= most and size(text) <= most:
        return text, True
    kept = cut(text, most).removesuffix(_ELLIPSIS)
    return kept[: kept.rfind("\n") + 1], False


def cut_head(text: str, most: int) -> str:
    """As much of the end of `text` as fits into `most` bytes: the end of a log says why."""
    kept = text[-most:]
    while kept and (needed := size(kept)) > most:
        kept = kept[-min(len(kept) * most // needed, len(kept) - 1) :]
    return kept if len(kept) == len(text) else "… " + kept.lstrip()
