"""A conversation: kept on disk entry by entry, so that it can be gone on with, and cut to what a model can read."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from codeswarm.agents.api.loop.answer import Answer, Message, mapping, mappings, whole_number, words

FULL, EMPTIED = 0.8, 0.5
"""Of the window: where older output is left out, and down to where, so that it is seldom done."""
KEPT = 4
"""The newest results of tools are never left out."""
CHARACTERS_PER_TOKEN = 3.5
"""Until the model has told how many tokens something had."""
SHORT = 200
"""Characters of a result that are worth keeping anyway."""


class Conversation:
    """Messages and what they cost. `window` is how many tokens the model reads at a time, as far as we know."""

    def __init__(self, file: Path, window: int) -> None:
        self._file = file
        self.window = window
        self.messages: list[Message] = []
        self.input_tokens: int | None = None
        self.output_tokens: int | None = None
        self._per_token = CHARACTERS_PER_TOKEN

    def load(self) -> None:
        """Go on with what is on disk. A line that was cut off by a sudden end counts as never said."""
        if not self._file.exists():
            return
        for line in self._file.read_text(encoding="utf-8", errors="replace").splitlines():
            try:
                found = mapping(json.loads(line))
            except (ValueError, RecursionError):
                continue
            if found.get("type") == "usage":
                self.input_tokens = whole_number(found.get("input_tokens"))
                self.output_tokens = whole_number(found.get("output_tokens"))
            elif (message := _checked(found)) is not None:
                self.messages.append(message)
        self.settle()

    def add(self, message: Message) -> None:
        self.messages.append(message)
        self._write(message)

    def take(self, answer: Answer) -> None:
        """An answer of the model's, and what it cost."""
        for place, part in enumerate(answer.parts):
            if part["type"] == "call":
                part["id"] = part["id"] or f"call_{len(self.messages)}_{place}"
        sent = self.characters()
        if answer.input_tokens:
            self._per_token = max(0.25, sent / answer.input_tokens)
        self.input_tokens = _sum(self.input_tokens, answer.input_tokens)
        self.output_tokens = _sum(self.output_tokens, answer.output_tokens)
        self.add({"role": "assistant", "parts": answer.parts})
        self._write({"type": "usage", **self.usage()})

    def usage(self) -> dict[str, int | None]:
        return {"input_tokens": self.input_tokens, "output_tokens": self.output_tokens}

    def settle(self) -> None:
        """Every call has a result: what was interrupted says so. No API takes a call without one."""
        last: Message = self.messages[-1] if self.messages else {"role": "user"}
        if last["role"] == "assistant":
            calls = [part for part in last["parts"] if part["type"] == "call"]
            if calls:
                self.add(
                    {"role": "tool", "results": [result(call["id"], "[interrupted]", failed=True) for call in calls]}
                )

    def characters(self) -> int:
        return sum(_size(message) for message in self.messages)

    def shorten(self) -> bool:
        """Leave out old output where the window gets full. Whether anything was."""
        if self.characters() / self._per_token <= self.window * FULL:
            return False
        return self._empty(self.window * EMPTIED)

    def shrink(self) -> bool:
        """The model reads less than was thought. Whether there was anything left to leave out."""
        self.window = int(self.characters() / self._per_token * FULL)
        return self._empty(self.window * EMPTIED)

    def _empty(self, down_to: float) -> bool:
        results = [r for message in self.messages if message["role"] == "tool" for r in message["results"]]
        changed = False
        for old in results[:-KEPT]:
            if len(old["text"]) > SHORT:
                old["text"] = (
                    f"[{len(old['text'])} characters of output, left out to save room: run it again if needed]"
                )
                changed = True
                if self.characters() / self._per_token <= down_to:
                    break
        return changed

    def _write(self, entry: dict[str, Any]) -> None:
        self._file.parent.mkdir(parents=True, exist_ok=True)
        with self._file.open("a", encoding="utf-8", errors="replace") as file:
            file.write(json.dumps(entry) + "\n")


def result(id_: str, text: str, *, failed: bool = False) -> dict[str, Any]:
    return {"id": id_, "text": text, "failed": failed}


def _sum(before: int | None, now: int | None) -> int | None:
    return before if now is None else (before or 0) + now


def _size(message: Message) -> int:
    if message["role"] == "user":
        return len(message["text"])
    if message["role"] == "tool":
        return sum(len(r["text"]) for r in message["results"]) + len(message.get("said") or "")
    return sum(
        len(part.get("text") or part.get("thinking") or part.get("arguments") or "") for part in message["parts"]
    )


def _checked(found: dict[str, Any]) -> Message | None:
    """An entry as this very program writes it; None for anything else, as the agent can write to the file, too."""
    if found.get("role") == "user" and isinstance(found.get("text"), str):
        return {"role": "user", "text": found["text"]}
    if found.get("role") == "tool":
        results = [result(words(r.get("id")), words(r.get("text")), failed=bool(r.get("failed")))
                   for r in mappings(found.get("results"))]  # fmt: skip
        return {"role": "tool", "results": results, "said": words(found.get("said"))} if results else None
    if found.get("role") == "assistant":
        return {"role": "assistant", "parts": [p for part in mappings(found.get("parts")) if (p := _part(part))]}
    return None


def _part(part: dict[str, Any]) -> dict[str, Any] | None:
    keys = {"text": ("text",), "thinking": ("thinking", "signature"), "call": ("id", "name", "arguments")}
    wanted = keys.get(words(part.get("type")))
    return {"type": part["type"], **{key: words(part.get(key)) for key in wanted}} if wanted else None
