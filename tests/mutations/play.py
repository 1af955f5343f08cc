"""One mutated transcript by its number: which it is, what must hold of its ending, and how it is played again."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from codeswarm.agents.base import Ending
from tests.mutations.accidents import FLOOD, fit_to_be_reported, garble
from tests.mutations.adapters import Adapter, codes_of

SHARES = {
    "claude": 20_000,
    "codex": 15_000,
    "gemini": 14_000,
    "acp, claude": 8_000,
    "acp, codex": 8_000,
    "api": 18_000,
    "command": 7_000,
    "replay": 10_000,
}
"""A hundred thousand in all."""
PATIENCE_S = 60
"""Nothing is waited for in a transcript, so an adapter that takes as long waits for what never comes."""


class Broken(AssertionError):
    """A promise that did not hold, with the command that shows it again."""


@dataclass(frozen=True)
class Case:
    transcript: bytes
    code: int
    fails: bool
    """It is one of a turn that failed, and nothing in it says otherwise."""


def case_of(adapter: Adapter, seed: int, number: int) -> Case:
    dice = random.Random(f"{seed}/{adapter.name}/{number}")
    fails = dice.random() < 0.65
    code = dice.choice(codes_of(adapter, fails=fails))
    if not fails:
        transcript = adapter.success
    else:
        transcript = adapter.failures[dice.choice(sorted(adapter.failures))]
        if not adapter.by_code and dice.random() < 0.1:
            return Case(woven(adapter, transcript, dice), code, fails)
    others = [line for line in adapter.success.splitlines(keepends=True)[adapter.begins : -1] if b'"id":3' not in line]
    for _ in range(dice.choice((1, 1, 2, 3, 8))):
        transcript = garble(transcript, dice, others)
    return Case(transcript, code, fails)


def woven(adapter: Adapter, failure: bytes, dice: random.Random) -> bytes:
    """A turn that failed and one that went well in one stream, whole and line by line: two ends, one of them bad."""
    bad, good = (one.splitlines(keepends=True) for one in (failure, adapter.success))
    begun, bad, good = bad[: adapter.begins], bad[adapter.begins :], good[adapter.begins :]
    while bad or good:
        begun.append((bad if bad and (not good or dice.random() < 0.5) else good).pop(0))
    return b"".join(begun)


async def judged(adapter: Adapter, case: Case) -> str:
    """How it ended. Raises: Broken."""
    async with asyncio.timeout(PATIENCE_S):
        ending = await adapter.play(case.transcript, case.code)
    if ending.failure is None and case.fails:
        raise Broken("a failure became a success")
    if ending.failure is None and not adapter.may_succeed(case.transcript, case.code):
        raise Broken("a success without a good end that is whole")
    if not fit_to_be_reported(ending):
        raise Broken("what came of it can't be reported")
    return _named(ending, case)


def _named(ending: Ending, case: Case) -> str:
    told = "success" if ending.failure is None else str(ending.failure.failure_class)
    return told + (", flooded" if FLOOD in case.transcript else "")


async def play(adapter: Adapter, seed: int, numbers: Iterable[int]) -> Counter[str]:
    """How they ended, counted. Raises: Broken, with what plays that one again."""
    found: Counter[str] = Counter()
    for number in numbers:
        try:
            found[await judged(adapter, case_of(adapter, seed, number))] += 1
        except Exception as error:
            again = f'python -m tests.mutations "{adapter.name}" --seed {seed} --only {number}'
            raise Broken(f"{adapter.name}: {type(error).__name__}: {error}\nagain: {again}") from error
    return found
