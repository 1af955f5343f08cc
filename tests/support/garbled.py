"""Transcripts of coding CLIs with one accident in each: what streams and programs do when they go wrong."""

from __future__ import annotations

import json
import random
from typing import Any

from codeswarm.agents.base import Ending
from codeswarm.domain.results import Report

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
    "x" * 5000,
)
"""Never `False` and never what would spell out a success: that would be another message, not a garbled one."""


def garble(transcript: bytes, dice: random.Random) -> bytes:
    """One accident of those that happen to streams and to programs."""
    lines = transcript.splitlines(keepends=True)
    place = dice.randrange(len(lines))
    spot = dice.randrange(len(transcript))
    kind = dice.randrange(9)
    if kind == 0:
        return transcript[:spot]
    if kind == 1:
        return b"".join(lines[:place] + lines[place + 1 :])
    if kind == 2:
        return b"".join(lines[:place] + [lines[place]] * 3 + lines[place + 1 :])
    if kind == 3:
        dice.shuffle(lines)
        return b"".join(lines)
    if kind == 4:
        noise = dice.choice((b"\x00", b"\xff\xfe", b"\n", b"\r\n", b'{"', b"}" * 50, b"[" * 5000, b"\xed\xa0\x80"))
        return transcript[:spot] + noise + transcript[spot:]
    if kind == 5:
        return transcript[:spot] + transcript[spot + dice.randrange(1, 40) :]
    if kind == 6:
        return transcript.replace(b"\n", b"", 1 + dice.randrange(3))
    if kind == 7:
        return transcript[:spot] + bytes([dice.randrange(256)]) + transcript[spot + 1 :]
    return b"".join([*lines[:place], _garbled_value(lines[place], dice), *lines[place + 1 :]])


def _garbled_value(line: bytes, dice: random.Random) -> bytes:
    """A line in which one value, however deep, is something else."""
    message: Any = json.loads(line)
    spots = []

    def collect(value: Any) -> None:
        for key in value if isinstance(value, dict) else range(len(value)):
            spots.append((value, key))
            if isinstance(value[key], dict | list):
                collect(value[key])

    collect(message)
    holder, key = dice.choice(spots)
    holder[key] = dice.choice(JUNK)
    return json.dumps(message).encode() + b"\n"


def fit_to_be_reported(ending: Ending) -> bool:
    report = Report(failure=ending.failure, usage=ending.usage, summary=ending.summary)
    return Report.model_validate_json(report.model_dump_json()) == report
