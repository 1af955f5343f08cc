"""The line between this program and the adapter that started it: JSON objects, one a line, both ways.

In: `{"type": "turn", "prompt"}`, `{"type": "say", "text"}`, `{"type": "interrupt"}`; the end of input is the end.
Out: activities as any agent has them, and `{"type": "ended", …}` at the end of each turn.
"""

from __future__ import annotations

import json
import queue
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

from codeswarm.agents.api.loop.answer import mapping, words

PIECE = 1000
"""Characters that are told at once, where they come faster than once in `PAUSE_S`."""
PAUSE_S = 1.0


class Ear:
    """Reads standard input in a thread of its own, so that a word can reach a turn that is under way."""

    def __init__(self, cut: Callable[[], None], mend: Callable[[], None]) -> None:
        self._cut, self._mend = cut, mend
        self._lock = threading.Lock()
        self._running = False
        self._words: list[str] = []
        self._turns: queue.Queue[tuple[str, bool] | None] = queue.Queue()
        self.heard = 0
        """How many words have become part of a turn."""

    def listen(self) -> None:
        threading.Thread(target=self._listen, daemon=True).start()

    def next_turn(self) -> str | None:
        """Wait for what to do next; None: nothing more will come."""
        turn = self._turns.get()
        if turn is None:
            return None
        text, was_said = turn
        self.heard += was_said
        return text

    def said(self) -> str:
        """What was said meanwhile, and not taken yet."""
        with self._lock:
            text = "\n\n".join(self._words)
            self.heard += len(self._words)
            self._words.clear()
        return text

    def end_turn(self) -> bool:
        """Whether the turn may end: not where a word came in at the last moment."""
        with self._lock:
            self._running = bool(self._words)
            return not self._running

    def stop_turn(self) -> str:
        """The turn ends in any case. What was said and not taken is the last of the conversation."""
        with self._lock:
            self._running = False
        return self.said()

    def _listen(self) -> None:
        for line in sys.stdin:
            try:
                self._take(mapping(json.loads(line)))
            except (ValueError, RecursionError):
                continue
        self._cut()
        self._turns.put(None)

    def _take(self, message: dict[str, Any]) -> None:
        text = words(message.get("prompt")) or words(message.get("text"))
        with self._lock:
            match message.get("type"):
                case "turn":
                    self._begin(text, was_said=False)
                case "say" if self._running:
                    self._words.append(text)
                case "say":
                    self._begin(text, was_said=True)
                case "interrupt" if self._running:
                    self._cut()
                case _:
                    pass

    def _begin(self, text: str, *, was_said: bool) -> None:
        self._mend()
        self._running = True
        self._turns.put((text, was_said))


def tell(type_: str, text: str = "", /, **data: Any) -> None:
    sys.stdout.write(json.dumps({"type": type_, **({"text": text} if text else {}), **data}) + "\n")
    sys.stdout.flush()


class Voice:
    """Tells what a model says as it says it, in pieces that are worth a line."""

    def __init__(self) -> None:
        self._kind, self._text = "", ""
        self._told = time.monotonic()

    def hear(self, kind: str, text: str) -> None:
        if kind != self._kind:
            self.flush()
        self._kind, self._text = kind, self._text + text
        if len(self._text) >= PIECE or time.monotonic() - self._told >= PAUSE_S:
            self.flush()

    def flush(self) -> None:
        if self._text:
            tell(self._kind, self._text)
        self._text, self._told = "", time.monotonic()
