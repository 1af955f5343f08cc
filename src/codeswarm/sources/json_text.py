"""Changing members of a JSON object in its text: all that is not changed stays byte for byte as it was.

Order of keys, spelling of numbers, escapes and white space are none of our business and survive.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

HALF = "half a character (a lone surrogate), which can't be written down"
NO_NUMBER = "is no number that anything could last or count"
BEYOND = 2**53
"""From here on not every reader of JSON takes a number for the same one."""
_HALF = re.compile("[\ud800-\udfff]")
_DECODER = json.JSONDecoder()
_ESCAPES = {ord(char): f"\\u{ord(char):04x}" for char in "<>&\u2028\u2029"}
"""As Go writes them, in whose files these members stand."""


def halves(found: object) -> Iterator[str]:
    """Where half a character (a lone surrogate) stands: valid JSON and YAML, but nothing can be written down with it.

    Without recursion and each piece once: a file may nest deep, and YAML may say a thing in many places.
    """
    left: list[tuple[str, object]] = [("", found)]
    seen: set[int] = set()
    while left:
        where, value = left.pop()
        if isinstance(value, str) and not _is_whole(value):
            yield where
        elif isinstance(value, dict | list) and id(value) not in seen:
            seen.add(id(value))
            if isinstance(value, dict):
                yield from (f"a key of {where or 'it'}" for key in value if isinstance(key, str) and not _is_whole(key))
                left += [(f"{where}.{_HALF.sub('?', str(key))}".lstrip("."), one) for key, one in value.items()]
            else:
                left += [(f"{where}[{place}]", one) for place, one in enumerate(value)]


def no_numbers(found: object) -> Iterator[str]:
    """Where a number stands that JSON has no word for (`nan`, `inf`), or that no number of ours can be."""
    left: list[tuple[str, object]] = [("", found)]
    seen: set[int] = set()
    while left:
        where, value = left.pop()
        if isinstance(value, int | float) and not abs(value) < BEYOND:
            yield where
        elif isinstance(value, dict | list) and id(value) not in seen:
            seen.add(id(value))
            pairs = value.items() if isinstance(value, dict) else enumerate(value)
            left += [(f"{where}.{key}".lstrip("."), one) for key, one in pairs]


def _is_whole(text: str) -> bool:
    return text.isascii() or not _HALF.search(text)


def why_unreadable(error: Exception) -> str:
    """In our words where Python speaks of itself."""
    if isinstance(error, RecursionError):
        return "it nests too deep"
    if "int_max_str_digits" in str(error):
        return "it holds a number of thousands of digits"
    return " ".join(str(error).split())[:300]


def dump(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).translate(_ESCAPES)


def with_members(text: str, changes: Mapping[str, Any]) -> str:
    """The object in `text` with other values for some keys; new keys come last.

    Of a key that stands twice the last one counts, as for every reader.
    """
    spans, end = _spans(text)
    fresh = {key: value for key, value in changes.items() if key not in spans}
    comma = "," if spans else ""
    added = ",".join(f"{dump(key)}:{dump(value)}" for key, value in fresh.items())
    pieces = [((end, end), comma + added)] if added else []
    pieces += [(spans[key], dump(value)) for key, value in changes.items() if key in spans]
    for (start, stop), piece in sorted(pieces, reverse=True):
        text = text[:start] + piece + text[stop:]
    return text


def _spans(text: str) -> tuple[dict[str, tuple[int, int]], int]:
    """Where the value of each key stands, and where the last value ends (in an empty object: behind its brace)."""
    spans: dict[str, tuple[int, int]] = {}
    at = end = _skip(text, 0) + 1
    at = _skip(text, at)
    while text[at] != "}":
        key, at = _DECODER.raw_decode(text, at)
        start = _skip(text, _skip(text, at) + 1)
        _, end = _DECODER.raw_decode(text, start)
        spans[key] = (start, end)
        at = _skip(text, end)
        if text[at] == ",":
            at = _skip(text, at + 1)
    return spans, end


def _skip(text: str, at: int) -> int:
    while text[at] in " \t\r\n":
        at += 1
    return at
