"""Harms: what is done to a data directory, and how `verify` must name it. A module of harms registers them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from codeswarm.ledger.care import Code
from tests.crash.damage import Patient

Deed = Callable[[Patient], str]
"""Does the harm, and answers the words that a problem must name."""


@dataclass(frozen=True, slots=True)
class Harm:
    sentence: str
    code: Code
    deed: Deed
    killed: bool = False
    """Done to what a killed router left, its newest events still in the WAL."""


HARMS: list[Harm] = []


def harm(sentence: str, code: Code, *, killed: bool = False) -> Callable[[Deed], Deed]:
    def add(deed: Deed) -> Deed:
        HARMS.append(Harm(sentence, code, deed, killed))
        return deed

    return add
