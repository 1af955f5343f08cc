"""How much of the page each ticket gets: a page of a thousand tickets, or of a huge one, is still a page.

Sizes are bytes as they will stand in HTML, where a hostile character takes up to ten times its own room.
"""

from __future__ import annotations

import html
from collections.abc import Iterable
from dataclasses import dataclass

from codeswarm.plain import visible

PAGE = 1_600_000
"""Bytes that all tickets share for what others wrote; what we write around it is as much again at most."""
MOST_TICKETS = 1_000
"""Those beyond are only counted."""
MOST_NOTES = 200
TAGS = 32
"""Bytes of the tags around one line of a patch, or one sentence of a list."""
ROW = 260
"""Bytes of the tags around one row of a table."""
_LARGEST = 120_000
_LEAST = 24
"""With less room than this left a text is not begun."""
_ELLIPSIS = " …"


@dataclass(slots=True)
class Share:
    """What one ticket may take, and what it has left: what is told first is told best."""

    left: int
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
            left=whole,
            text=max(whole // 14, 240),
            line=min(max(whole // 60, 120), 600),
            items=min(max(whole // 800, 3), 40),
        )

    def take(self, amount: int) -> bool:
        """Take room for something; whether there was any."""
        self.left -= amount
        return self.left >= 0

    def cut(self, text: str, most: int) -> str:
        """As much of the beginning of a text as may be and as there is room for."""
        return self._kept(cut(text, self._room(most)) if self._room(most) or not text else _ELLIPSIS.strip())

    def cut_head(self, text: str, most: int) -> str:
        """The same, of its end."""
        return self._kept(cut_head(text, self._room(most)) if self._room(most) or not text else _ELLIPSIS.strip())

    def _room(self, most: int) -> int:
        room = min(most, self.left)
        return room if room >= _LEAST else 0

    def _kept(self, text: str) -> str:
        self.left -= size(text)
        return text

    def few(self, sentences: Iterable[str]) -> tuple[str, ...]:
        """As many sentences as may be and as there is room for, each cut; the last one tells of the rest."""
        found = list(sentences)
        shown: list[str] = []
        for sentence in found[: self.items]:
            if not self.take(TAGS):
                break
            shown.append(self.cut(sentence, self.line))
        more = len(found) - len(shown)
        return (*shown, f"and {more} more") if more else tuple(shown)


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
    """As many whole lines of a patch as fit into `most` bytes with their tags, and whether that is all of them."""
    left, end = most, 0
    while end < len(text):
        stop = text.find("\n", end) + 1 or len(text)
        left -= size(text[end : min(stop, end + most)]) + TAGS
        if left < 0:
            return text[:end], False
        end = stop
    return text, True


def cut_head(text: str, most: int) -> str:
    """As much of the end of `text` as fits into `most` bytes: the end of a log says why."""
    kept = text[max(len(text) - most, 0) :]
    while kept and (needed := size(kept)) > most:
        kept = kept[max(len(kept) - len(kept) * most // needed, 1) :]
    return kept if len(kept) == len(text) else "… " + kept.lstrip()
