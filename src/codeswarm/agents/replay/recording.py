"""Recorded attempts: what `--record` writes and `replay:DIR` plays.

`DIR/TICKET/PHASE.N.jsonl` is the N-th attempt at a phase of a ticket. Each line is one step with `t`, the seconds
since the attempt began:

    {"t": 0.2, "type": "assistant", "text": …}                  any activity, as the agent said it
    {"t": 1.0, "type": "write", "path": …, "text": … | "base64": …, "mode": "100644" | "100755" | "120000"}
    {"t": 1.1, "type": "delete", "path": …}
    {"t": 1.2, "type": "await", "event": KIND, "match": {…}}    go on only when that has happened in the session
    {"t": 2.0, "type": "result", "value": {…}}                  the structured answer
    {"t": 2.1, "type": "end", "exit": N} or {…, "signal": N}    how the agent ended; or {"type": "hang"}
"""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

from codeswarm.agents.base import Activity
from codeswarm.clock import Clock
from codeswarm.redaction import Secrets


def recording_path(directory: Path, ticket: str, phase: str, attempt: int) -> Path:
    return directory / ticket / f"{phase}.{attempt}.jsonl"


class Recorder:
    """Writes one attempt as it happens. The file appears under its name only when the attempt has ended."""

    def __init__(self, path: Path, clock: Clock, secrets: Secrets | None = None) -> None:
        """`secrets`: what no recorded file or answer may hold; what an agent said comes without them."""
        self._secrets = Secrets() if secrets is None else secrets
        self._path = path
        self._clock = clock
        self._began = clock.monotonic()
        path.parent.mkdir(parents=True, exist_ok=True)
        self._partial = path.with_suffix(".partial")
        self._file = self._partial.open("w", encoding="utf-8")

    def step(self, type_: str, /, **fields: Any) -> None:
        t = round(self._clock.monotonic() - self._began, 3)
        self._file.write(json.dumps({"t": t, "type": type_, **fields}) + "\n")

    def activity(self, activity: Activity) -> None:
        data = {key: value for key, value in activity.data.items() if key not in ("t", "type", "text")}
        self.step(activity.type, text=activity.text, **(data if activity.type == "usage" else {}))

    def written(self, path: str, mode: str, data: bytes) -> None:
        """A file that now stands in the workspace; `mode` is git's."""
        self.step("write", path=path, mode=mode, **content_of(self._secrets.data(data)))

    def deleted(self, path: str) -> None:
        self.step("delete", path=path)

    def end(self, result: dict[str, Any] | None, exit_code: int) -> None:
        if result is not None:
            self.step("result", value=self._secrets.within(result))
        self.step("end", exit=exit_code)
        self._file.close()
        self._partial.replace(self._path)

    def close(self) -> None:
        """Let go of the file; what was not ended stays as `.partial`. Idempotent."""
        self._file.close()


def content_of(data: bytes) -> dict[str, str]:
    try:
        return {"text": data.decode()}
    except UnicodeDecodeError:
        return {"base64": base64.b64encode(data).decode()}
