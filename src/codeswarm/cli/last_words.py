"""What a host that no terminal belongs to said last of a session, for `status` to tell."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from codeswarm.domain.ids import SessionId


def _path(root: Path, session: str) -> Path:
    return root / "words" / f"{session}.json"


def leave_words(root: Path, session: SessionId, version: int, at_ms: int, exit_code: int, words: Sequence[str]) -> None:
    """`version`: the session's, for they hold only until something more happens. A full disk takes no words."""
    path = _path(root, session)
    said = {"version": version, "at_ms": at_ms, "exit_code": exit_code, "words": list(words)}
    with contextlib.suppress(OSError):
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        new = path.with_suffix(f".{os.getpid()}")
        new.write_text(json.dumps(said, ensure_ascii=False), encoding="utf-8")
        new.replace(path)


def last_words(root: Path, session: str, version: int) -> dict[str, Any] | None:
    """What was said after the last thing that happened, if anything was."""
    try:
        said = json.loads(_path(root, session).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return said if isinstance(said, dict) and said.get("version") == version else None
