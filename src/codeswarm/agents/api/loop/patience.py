"""Trying again: a few times, after a while, and only where that can help. What lasts longer is for the cascade."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from codeswarm.agents.api.loop.answer import Trouble
from codeswarm.agents.api.loop.talk import tell

PAUSES_S = (1.0, 4.0)
"""Before the second try and before the third; there is no fourth."""
PAUSE_MAX_S = 30.0
"""Who says to come back later than this is left to whoever started us: waiting here costs a place at work."""
PASSING = frozenset({408, 409, 425, 429, 500, 502, 503, 504, 529})
BROKEN = frozenset({"connection", "stream", "overloaded_error", "api_error", "server_error"})


class Patience:
    """For one request: counts its tries. `rest` sleeps, and raises where the turn is to end."""

    def __init__(self, rest: Callable[[float], None], pauses_s: Sequence[float]) -> None:
        self._rest = rest
        self._pauses_s = pauses_s
        self._tries = 0

    def wait_or_raise(self, trouble: Trouble) -> None:
        self._tries += 1
        passing = trouble.status in PASSING if trouble.status is not None else trouble.kind in BROKEN
        if self._tries > len(self._pauses_s) or trouble.final or not passing:
            raise trouble
        usual = self._pauses_s[self._tries - 1]
        pause_s = usual if trouble.retry_after_s is None else trouble.retry_after_s
        if pause_s > PAUSE_MAX_S:
            raise trouble
        tell("rate_limit", trouble.message, status=trouble.status, kind=trouble.kind, retry_after_s=pause_s)
        self._rest(pause_s)
