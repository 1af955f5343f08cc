"""When to try again: exponential backoff with a jitter that the history fixes."""

from __future__ import annotations

from hashlib import blake2b

from codeswarm.domain.results import FailureClass
from codeswarm.domain.settings import Bounds

AT_ONCE = frozenset(
    {
        FailureClass.NOTHING_CHANGED,
        FailureClass.GATE_RED,
        FailureClass.SETUP_BROKEN,
        FailureClass.CONTRACT_PASSES,
        FailureClass.CONFLICT_MARKERS,
        FailureClass.BAD_RESULT,
        FailureClass.OVER_BUDGET,
        FailureClass.CANCELLED,
    }
)
"""The agent ended in good order and waiting would not help; everything else backs off."""


LONGEST_WAIT_MS = 8 * 24 * 3600 * 1000
"""However far away the other side says that it will be back. The longest usage window known is a week."""


def backoff_ms(bounds: Bounds, seed: int, subject: str, epoch: int, tries: int) -> int:
    """Milliseconds before try number `tries` + 1 (`tries` ≥ 1).

    base · 2^(tries−1), at most `backoff_max_s`, and then up to `backoff_jitter` of that on top; the jitter is a
    hash of (seed, subject, epoch), so that the same history waits the same time.
    """
    return _growing_ms(bounds.backoff_base_s, bounds.backoff_max_s, bounds, seed, subject, epoch, tries)


def parked_ms(bounds: Bounds, seed: int, subject: str, times: int) -> int:
    """Milliseconds for which an agent is left alone the `times`-th time in a row, where nobody says for how long."""
    return _growing_ms(bounds.park_base_s, bounds.park_max_s, bounds, seed, subject, times, times)


def _growing_ms(base_s: float, max_s: float, bounds: Bounds, seed: int, subject: str, epoch: int, tries: int) -> int:
    delay_s = min(base_s * 2.0 ** min(tries - 1, 60), max_s)
    return int(delay_s * 1000 * (1 + bounds.backoff_jitter * _unit(seed, subject, epoch)))


def retry_at_ms(
    bounds: Bounds, seed: int, subject: str, epoch: int, tries: int, now_ms: int, failure: FailureClass
) -> int:
    if failure in AT_ONCE:
        return now_ms
    return now_ms + backoff_ms(bounds, seed, subject, epoch, tries)


def _unit(seed: int, subject: str, epoch: int) -> float:
    """A number in [0, 1) fixed by its arguments."""
    digest = blake2b(f"{seed}:{subject}:{epoch}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") / 2**64
