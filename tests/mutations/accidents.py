"""What happens to streams and to programs when they go wrong, on the bytes of a transcript."""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from typing import Any

from codeswarm.agents.base import Ending
from codeswarm.agents.lines import MAX_LINE
from codeswarm.domain.results import Report

FLOOD = b"\0A HUNDRED MEGABYTES\0"
"""Stands for so many bytes without the end of a line; whoever plays the transcript says them."""
JUNK: tuple[Any, ...] = (
    None,
    0,
    1,
    -1,
    "",
    "false",
    "success",
    [],
    {},
    [[[]]],
    10**30,
    1e300,
    "\ud800",
    "\x00",
    "\x1b[2J\x1b]0;mine\x07",
    "x" * 5000,
)
"""Never `False` and never what would spell out a success: that would be another message, not a garbled one."""
NOISE = (
    b"\x00",
    b"\xff\xfe",
    b"\n",
    b"\r\n",
    b'{"',
    b"}" * 50,
    b"[" * 5000,
    b"\xed\xa0\x80",
    b"\xf0\x9f\x90",
    b"\x1b[31m",
    b"1e999",
    b'"a":NaN,',
)
LINES = (
    b"\n",
    b"null\n",
    b"[]\n",
    b"\xff\xfe\x00\n",
    b"Error: something\n",
    b'{"a":' * 200 + b"1" + b"}" * 200 + b"\n",
    b"[" * 20_000 + b"\n",
    b'{"type":"novelty","method":"novelty/begun","params":{}}\n',
    b'{"id":99,"result":{}}\n',
    b'{"type":"usage","input_tokens":-5,"output_tokens":1e999,"cost_usd":"free"}\n',
)
"""Of nobody's language, or of a later version's."""


def garble(transcript: bytes, dice: random.Random, others: Sequence[bytes] = ()) -> bytes:
    """One accident. `others`: lines of another's stream that may get in between."""
    if not transcript:
        return dice.choice(LINES)
    kind, spot = dice.randrange(13), dice.randrange(len(transcript))
    if kind < 5:
        return _in_bytes(transcript, kind, spot, dice)
    lines = transcript.splitlines(keepends=True)
    place = dice.randrange(len(lines))
    if kind == 5:
        del lines[place]
    elif kind == 6:
        lines[place] *= dice.choice((2, 3))
    elif kind == 7:
        dice.shuffle(lines)
    elif kind == 8:
        lines[place] = lines[place].rstrip(b"\n")
    elif kind == 9:
        lines.insert(place, dice.choice(LINES))
    elif kind == 10:
        for line in dice.sample(others, min(len(others), dice.randrange(1, 8))):
            lines.insert(dice.randrange(len(lines) + 1), line)
    else:
        lines[place] = _garbled_value(lines[place], dice)
    return b"".join(lines)


def _in_bytes(transcript: bytes, kind: int, spot: int, dice: random.Random) -> bytes:
    head, tail = transcript[:spot], transcript[spot:]
    if kind == 0:
        return head
    if kind == 1:
        return head + dice.choice(NOISE) + tail
    if kind == 2:
        return head + tail[dice.randrange(1, 40) :]
    if kind == 3:
        return head + bytes([dice.randrange(256)]) + tail[1:]
    return head + _long(dice) + tail


def _long(dice: random.Random) -> bytes:
    """Mostly as much as a line may be, and rarely a hundred times as much."""
    chance = dice.random()
    return FLOOD if chance < 0.002 else b"y" * (MAX_LINE if chance < 0.05 else 1 << 12)


def _garbled_value(line: bytes, dice: random.Random) -> bytes:
    """A line in which one value, however deep, is something else, or stands there a second time."""
    try:
        message: Any = json.loads(line)
    except (ValueError, RecursionError):
        return line[::-1]  # what an earlier accident left is no JSON
    spots: list[tuple[Any, Any]] = []
    _collect(message, spots)
    if not spots:
        return line * 2
    holder, key = dice.choice(spots)
    if isinstance(holder, dict) and dice.random() < 0.2:
        return json.dumps({key: dice.choice(JUNK)}).encode()[:-1] + b"," + json.dumps(message).encode()[1:] + b"\n"
    holder[key] = _deep(holder[key], dice) if dice.random() < 0.1 else dice.choice(JUNK)
    if key == "exit" and holder[key] == 0:
        holder[key] = None  # nought would be a success spelled out
    return json.dumps(message).encode() + b"\n"


def _collect(value: Any, spots: list[tuple[Any, Any]]) -> None:
    if isinstance(value, dict | list):
        for key in value if isinstance(value, dict) else range(len(value)):
            spots.append((value, key))
            _collect(value[key], spots)


def _deep(value: Any, dice: random.Random) -> Any:
    for _ in range(dice.choice((2, 90, 300))):
        value = {"a": value} if dice.random() < 0.5 else [value]
    return value


def fit_to_be_reported(ending: Ending) -> bool:
    """Whether what an adapter makes of it can be written down, sent, and read again the same."""
    report = Report(failure=ending.failure, usage=ending.usage, summary=ending.summary)
    return Report.model_validate_json(report.model_dump_json()) == report
